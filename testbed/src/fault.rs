//! Faults on purpose: a daemon that is gone, a cable that is out, a disk that is full, an API server that fails.

use crate::api_proxy::mode::{Mode, ModeError};
use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::host::keeper::KeeperError;
use crate::host::{CTL, Host, NODE1};
use crate::image::relay::{self, RelayError};
use crate::kubernetes::api_fault::{self, ApiFaultError};
use crate::network::{self, NetworkError};
use crate::site::{self, Site, SiteError};
use crate::slurm::{self, SlurmError};
use crate::status::Row;
use crate::{kubernetes, up, wait};
use std::convert::Infallible;
use std::time::Duration;

/// The file that fills the run file system.
const FILL: &str = "/run/slurm-k8s/testbed-fill";
/// Where containerd, which has a root of its own in each version, puts what it pulls.
const PULLED: &str =
    "$(sed -n 's/^root = \"\\(.*\\)\"/\\1/p' /etc/containerd/config.toml)/io.containerd.content.v1.content/ingest";
/// Where each Pod has the folder of its logs.
const LOGS: &str = "/var/log/pods";
/// How long the certificate of the fault `credentials` is good: a job begins meanwhile.
const LIFE: Duration = Duration::from_secs(25);

/// Why there is no fault, or no end of it.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// No fault has this name.
    #[error(
        "there is no fault {name}; there are: apiserver, registry, slurmctld, and with @HOST kubelet, containerd, slurmd, network, reboot, disk, disk-images, disk-logs, registry-slow, credentials, api-slow, api-error=CODE[:VERB], api-cut[=VERB], api-silent[=VERB]"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// It has the wrong value.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// No host has this name.
    #[error("there is no host {name}, or {fault} does not run there")]
    NoHost {
        /// The host's name.
        name: String,
        /// The fault.
        fault: &'static str,
    },
    /// The testbed's state.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Slurm did not come back.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// Kubernetes did not come back.
    #[error(transparent)]
    Late(#[from] wait::WaitError<Infallible>),
    /// The slow way to the registry.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The proxy in front of the API server.
    #[error(transparent)]
    Api(#[from] ApiFaultError),
    /// A command on the host.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The host does not end.
    #[error(transparent)]
    Host(#[from] KeeperError),
    /// The host does not start.
    #[error("the host does not come up again")]
    Up(#[source] Box<dyn std::error::Error>),
}

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Daemon {
        name: &'static str,
        daemon: &'static str,
        on_nodes: bool,
    },
    Network,
    Reboot,
    Disk,
    /// Layers come slowly.
    SlowRegistry,
    /// The plugin's certificate ends in [`LIFE`].
    Credentials,
    /// A folder, in the shell's words, on a file system that takes nothing more.
    Full(&'static str),
}

impl Fault {
    fn named(name: &str) -> Result<Self, FaultError> {
        let daemon = |name, daemon, on_nodes| Ok(Self::Daemon { name, daemon, on_nodes });
        match name {
            "apiserver" => daemon("apiserver", "kube-apiserver", false),
            "registry" => daemon("registry", "registry", false),
            "slurmctld" => daemon("slurmctld", "slurmctld", false),
            "kubelet" => daemon("kubelet", "kubelet", true),
            "containerd" => daemon("containerd", "containerd", true),
            "slurmd" => daemon("slurmd", "slurmd", true),
            "network" => Ok(Self::Network),
            "reboot" => Ok(Self::Reboot),
            "disk" => Ok(Self::Disk),
            "registry-slow" => Ok(Self::SlowRegistry),
            "credentials" => Ok(Self::Credentials),
            "disk-images" => Ok(Self::Full(PULLED)),
            "disk-logs" => Ok(Self::Full(LOGS)),
            other => Err(FaultError::Unknown { name: other.to_owned() }),
        }
    }

    fn host(self, wish: Option<&str>) -> Result<Host, FaultError> {
        let (fault, default, fits): (_, _, fn(Host) -> bool) = match self {
            Self::Daemon { name, on_nodes: false, .. } => (name, CTL, |host| host == CTL),
            Self::Daemon { name, .. } => (name, NODE1, Host::is_node),
            Self::Network => ("network", NODE1, |_| true),
            Self::Reboot => ("reboot", NODE1, Host::is_node),
            Self::Disk | Self::Full(_) => ("disk", NODE1, Host::is_node),
            Self::SlowRegistry => ("a pull", NODE1, Host::is_node),
            Self::Credentials => ("the plugin of a node", NODE1, Host::is_node),
        };
        let Some(name) = wish else { return Ok(default) };
        let no_host = || FaultError::NoHost { name: name.to_owned(), fault };
        Host::named(name).filter(|host| fits(*host)).ok_or_else(no_host)
    }
}

/// Begins or ends the fault `wish`: a name, or a name and a host as in `kubelet@node2`.
pub fn run(wish: &str, start: bool) -> Result<(), FaultError> {
    let (name, host) = wish.split_once('@').map_or((wish, None), |(name, host)| (name, Some(host)));
    if let Some(mode) = Mode::named(name)? {
        return of_the_api(mode, host, start);
    }
    let fault = Fault::named(name)?;
    let host = fault.host(host)?;
    if fault == Fault::Reboot && !start {
        // What starts with a machine, and all that it needs.
        let site = Site::load()?;
        let ready = up::run(&site.slurm, site.nodes).map_err(FaultError::Up)?;
        println!("{} is up again{}", host.name, if ready { "" } else { ", not all of it ready" });
        return Ok(());
    }
    let _lock = site::lock(Duration::from_secs(60))?;
    let site = Site::load()?;
    match fault {
        Fault::Daemon { daemon, .. } if start => {
            Daemon::known(host, daemon)?.stop(slurm::PATIENCE)?;
            println!("{daemon} on {} is stopped", host.name);
        }
        Fault::Daemon { daemon, .. } => {
            Daemon::known(host, daemon)?.start()?;
            if daemon.starts_with("slurm") {
                slurm::wait_back(&site)?;
            } else {
                let here = |row: &Row| row.host == host.name && row.what == daemon;
                wait::until(daemon, Duration::from_secs(90), &[Daemon::known(host, daemon)?.log()], || {
                    Ok(kubernetes::status().iter().filter(|row| here(row)).all(|row| row.ready))
                })?;
            }
            println!("{daemon} on {} runs", host.name);
        }
        Fault::Network => {
            network::plug(host, !start)?;
            println!("{}'s cable is {}", host.name, if start { "out" } else { "in" });
        }
        Fault::Reboot => {
            host.kill_all(Duration::from_secs(15))?;
            println!("{} is off", host.name);
        }
        Fault::SlowRegistry => {
            if start {
                relay::start(host)?;
            } else {
                relay::stop(host)?;
            }
            println!("{} pulls {}", host.name, if start { "slowly" } else { "as ever" });
        }
        Fault::Credentials if start => {
            api_fault::shorten_credentials(host, LIFE)?;
            println!("the certificate of the plugin on {} is good for {} s", host.name, LIFE.as_secs());
        }
        Fault::Credentials => {
            api_fault::renew_credentials(host)?;
            println!("the plugin on {} has a new certificate", host.name);
        }
        Fault::Full(path) if start => {
            let line = format!("mount --types=tmpfs --options=size=4k,nr_inodes=1 tmpfs {path}");
            command::run(host.command("sh", ["-c", &line]))?;
            println!("{name} on {}: nothing more can be written", host.name);
        }
        Fault::Full(path) => {
            command::run(host.command("sh", ["-c", &format!("umount {path}")]))?;
            println!("{name} on {}: there is room again", host.name);
        }
        Fault::Disk if start => {
            // dd ends with an error when the file system is full, which is the aim.
            command::succeeds(host.command("dd", ["if=/dev/zero", &format!("of={FILL}"), "bs=64k"]));
            println!("/run/slurm-k8s on {} is full ({FILL})", host.name);
        }
        Fault::Disk => {
            command::run(host.command("rm", ["--force", FILL]))?;
            println!("/run/slurm-k8s on {} has room again", host.name);
        }
    }
    Ok(())
}

/// Without a host: on all nodes, or where such a fault is on already.
fn of_the_api(mode: Mode, host: Option<&str>, start: bool) -> Result<(), FaultError> {
    let no_host = |name: &str| FaultError::NoHost { name: name.to_owned(), fault: "the plugin of a node" };
    let host = host.map(|name| Host::named(name).filter(|host| host.is_node()).ok_or_else(|| no_host(name)));
    let host = host.transpose()?;
    let _lock = site::lock(Duration::from_secs(60))?;
    let site = Site::load()?;
    if !start {
        api_fault::stop()?;
        println!("the API server is as it is on all nodes");
        return Ok(());
    }
    let nodes = match host {
        Some(node) => vec![node],
        None if api_fault::affected().is_empty() => site.nodes().to_vec(),
        None => Vec::new(),
    };
    let affected: Vec<_> = api_fault::start(mode, &nodes)?.iter().map(|node| node.name).collect();
    println!("{mode} is on for the plugin on {}", affected.join(" and "));
    Ok(())
}
