//! The product itself on the testbed's hosts, from this checkout's build.

use crate::account::{self, SystemUser, UnknownUser};
use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::folder::{self, FolderError};
use crate::host::{CTL, Host, HostError};
use crate::paths;
use crate::site::Site;
use crate::slurm;
use crate::status::Row;
use std::path::PathBuf;

const PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/slurm-wlm/spank_k8s.so";
const SUBMIT_PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/slurm-wlm/job_submit_k8s.so";
const SUBMIT_BUILT: &str = "target/release/libjob_submit_k8s.so";
const PLUGSTACK: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";
const CLI: &str = "/usr/bin/slurm-k8s";
const LIBEXEC: &str = "/usr/libexec/slurm-k8s";
const RUN: &str = "/run/slurm-k8s";

/// The site's configuration; every other key has its default.
const CONFIGURATION: &str = "cluster = \"testbed\"\n\n[registry]\nplain_http = [\"nas-hub.local:5407\"]\n\n\
                             [pod]\nmounts = [\"/home\", \"/mnt/nas\"]\n\n\
                             [watch]\npoll = \"1s\"\nsettle = \"500ms\"\nmetrics = \"/var/lib/node-exporter/watch.prom\"\n";
/// What the watcher of the submit folder writes into on the controller, with its mode; its user's. It would make the last
/// three itself, but not take them from another owner.
const WATCHED: [(&str, u32); 6] = [
    ("/var/log/slurm-k8s", 0o755),
    ("/var/lib/node-exporter", 0o755),
    ("/mnt/nas/slurm-jobs", 0o755),
    ("/mnt/nas/slurm-jobs/submit", 0o1777),
    ("/mnt/nas/slurm-jobs/processed", 0o755),
    ("/mnt/nas/slurm-jobs/failed", 0o755),
];

/// Why the product could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// There is no build.
    #[error("{} is not built (run `make build`)", path.display())]
    NotBuilt {
        /// The missing file.
        path: PathBuf,
    },
    /// A file of the build or checkout could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of a host.
    #[error(transparent)]
    File(#[from] HostError),
    /// A folder of a host.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run folder could not be mounted.
    #[error(transparent)]
    Mount(#[from] CommandError),
    /// A service on the controller does not run.
    #[error(transparent)]
    Service(#[from] DaemonError),
    /// The services' user.
    #[error(transparent)]
    User(#[from] UnknownUser),
}

/// A file that is installed: what it is, where it comes from, where it goes, its mode.
struct Artifact {
    source: &'static str,
    target: &'static str,
    mode: u32,
    on: On,
}

/// The hosts that need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    All,
    Nodes,
    Controller,
}

impl On {
    fn includes(self, host: Host) -> bool {
        match self {
            Self::All => true,
            Self::Nodes => host.is_node(),
            Self::Controller => host == CTL,
        }
    }
}

/// What changed, so that a daemon must start anew.
#[derive(Debug, Default, Clone, Copy)]
pub struct Changed {
    /// The plugin or its line on a node: slurmd reads it when it starts.
    pub plugin: bool,
    /// The plugin of slurmctld.
    pub submit: bool,
    /// The command line.
    pub cli: bool,
}

/// The plugin's line comes last: Slurm must not find it before the plugin is there.
const ARTIFACTS: &[Artifact] = &[
    Artifact {
        source: "target/static/x86_64-unknown-linux-gnu/release/slurm-k8s-agent",
        target: "/usr/libexec/slurm-k8s/slurm-k8s-agent",
        mode: 0o755,
        on: On::Nodes,
    },
    Artifact {
        source: "target/static/x86_64-unknown-linux-gnu/release/slurm-k8s-runtime",
        target: "/usr/libexec/slurm-k8s/slurm-k8s-runtime",
        mode: 0o755,
        on: On::Nodes,
    },
    Artifact { source: "target/release/slurm-k8s", target: CLI, mode: 0o755, on: On::All },
    Artifact { source: "target/release/libspank_k8s.so", target: PLUGIN, mode: 0o644, on: On::All },
    Artifact { source: SUBMIT_BUILT, target: SUBMIT_PLUGIN, mode: 0o644, on: On::Controller },
    Artifact { source: "plugstack.conf.d/k8s.conf", target: PLUGSTACK, mode: 0o644, on: On::All },
];

/// Makes the folders, the configuration and the run file system; they need no build.
pub fn prepare(site: &Site) -> Result<(), ProductError> {
    for host in site.hosts() {
        host.write("/etc/slurm/k8s.toml", CONFIGURATION.as_bytes(), 0o644, 0, 0)?;
    }
    let SystemUser { uid, gid } = account::system(CTL, "slurm")?;
    for (path, mode) in WATCHED {
        folder::make(CTL, path, mode, uid, gid)?;
    }
    for node in site.nodes() {
        folder::make(*node, LIBEXEC, 0o755, 0, 0)?;
        folder::make(*node, "/var/log/slurm-k8s", 0o755, 0, 0)?;
        if !mounted(*node) {
            folder::make(*node, RUN, 0o711, 0, 0)?;
            let options = "size=64m,nr_inodes=10k,mode=0711,nosuid,nodev";
            command::run(node.command("mount", ["-t", "tmpfs", "-o", options, "slurm-k8s", RUN]))?;
        }
    }
    Ok(())
}

/// Installs the build on all hosts; running jobs keep the files they have open.
pub fn install(site: &Site) -> Result<Changed, ProductError> {
    let mut files = Vec::new();
    for artifact in ARTIFACTS {
        let path = paths::checkout().join(artifact.source);
        if !path.exists() {
            return Err(ProductError::NotBuilt { path });
        }
        let bytes = std::fs::read(&path).map_err(|source| ProductError::Read { path, source })?;
        files.push((artifact, bytes));
    }
    let mut all = Changed::default();
    for host in site.hosts() {
        for (artifact, bytes) in &files {
            if !artifact.on.includes(host) {
                continue;
            }
            let changed = host.write(artifact.target, bytes, artifact.mode, 0, 0)?;
            all.plugin |= changed && host.is_node() && [PLUGIN, PLUGSTACK].contains(&artifact.target);
            all.submit |= changed && artifact.target == SUBMIT_PLUGIN;
            all.cli |= changed && artifact.target == CLI;
        }
    }
    Ok(all)
}

/// `slurm-k8s gc`, as the site's unit runs it but with times that tests can wait for.
fn gc() -> Daemon {
    let user = ["setpriv", "--reuid=slurm", "--regid=slurm", "--init-groups"];
    let command = [CLI, "gc", "--watch", "--finished-after=5s", "--orphan-after=10s", "--slurm-every=5s"];
    let metrics = ["--metrics=/var/lib/node-exporter/gc.prom"];
    Daemon::new(CTL, "slurm-k8s-gc", user.into_iter().chain(command).chain(metrics))
}

/// `slurm-k8s watch`, as the site's unit runs it: as slurm, with the rights to become a file's owner and to end their sbatch.
fn watch() -> Daemon {
    let rights = "+setuid,+setgid,+kill";
    let user = ["setpriv", "--reuid=slurm", "--regid=slurm", "--init-groups"].map(str::to_owned);
    let rights = [format!("--inh-caps={rights}"), format!("--ambient-caps={rights}")];
    Daemon::new(CTL, "slurm-k8s-watch", user.into_iter().chain(rights).chain([CLI.to_owned(), "watch".to_owned()]))
}

/// Starts the services on the controller if the program is installed; anew if it changed.
pub fn start_services(changed: Changed) -> Result<(), ProductError> {
    if !CTL.path(CLI).exists() {
        return Ok(());
    }
    for service in [gc(), watch()] {
        if changed.cli {
            service.stop(slurm::PATIENCE)?;
        }
        service.start()?;
    }
    Ok(())
}

/// Whether slurmctld has, or will have, its plugin: slurm.conf must not name one that is not there.
pub fn has_submit_plugin() -> bool {
    CTL.path(SUBMIT_PLUGIN).exists() || paths::checkout().join(SUBMIT_BUILT).exists()
}

/// Restarts slurmctld, which reads its plugins when it starts.
pub fn restart_slurmctld(site: &Site) -> Result<(), slurm::SlurmError> {
    slurm::slurmctld().stop(slurm::PATIENCE)?;
    slurm::slurmctld().start()?;
    slurm::wait_ready(site)
}

/// Restarts slurmd on the nodes, which reads the plugin when it starts.
pub fn restart_slurmd(site: &Site) -> Result<(), slurm::SlurmError> {
    for node in site.nodes() {
        slurm::slurmd(*node).stop(slurm::PATIENCE)?;
        slurm::slurmd(*node).start()?;
    }
    slurm::wait_ready(site)
}

fn mounted(node: Host) -> bool {
    command::succeeds(node.command("mountpoint", ["--quiet", RUN]))
}

/// Whether the installed files are the build's.
pub fn status(site: &Site) -> Vec<Row> {
    let row = |host: Host| {
        let wrong = ARTIFACTS
            .iter()
            .filter(|artifact| artifact.on.includes(host))
            .find(|artifact| {
                let built = std::fs::read(paths::checkout().join(artifact.source)).ok();
                let installed = std::fs::read(host.path(artifact.target)).ok();
                installed.is_none() || (built.is_some() && installed != built)
            })
            .map(|artifact| artifact.target);
        match wrong {
            None if host.is_node() && !mounted(host) => {
                Row::new(host.name, "spank-k8s", false, format!("{RUN} is not mounted"))
            }
            None => Row::new(host.name, "spank-k8s", true, "as built"),
            Some(path) if host.path(path).exists() => {
                Row::new(host.name, "spank-k8s", true, format!("{path} is older than the build"))
            }
            Some(path) => Row::new(host.name, "spank-k8s", false, format!("{path} is not installed")),
        }
    };
    let mut rows: Vec<Row> = site.hosts().into_iter().map(row).collect();
    for (name, service) in [("slurm-k8s gc", gc()), ("slurm-k8s watch", watch())] {
        let runs = service.running();
        rows.push(Row::new(CTL.name, name, runs, if runs { "runs" } else { "does not run" }));
    }
    rows
}
