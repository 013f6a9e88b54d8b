//! Debian's packages, installed without starting any of their daemons.

use crate::command::{self, CommandError};
use crate::kubernetes;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the testbed itself works with, on this machine.
const TOOLS: &[&str] = &["busybox-static", "debootstrap", "openssl", "prometheus", "skopeo", "systemd", "umoci"];

/// What the hosts run, be it this machine's or that of another release of Debian.
pub const OF_HOSTS: &[&str] = &[
    "ca-certificates",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "docker-registry",
    "etcd-server",
    "iproute2",
    "iptables",
    "libslurm-dev",
    "mariadb-client",
    "mariadb-server",
    "munge",
    "procps",
    "python3",
    "runc",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurm-wlm-mysql-plugin",
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "slurmrestd",
    "util-linux",
];

/// Debian asks this program whether an installed daemon may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_SAVED: &str = "/usr/sbin/policy-rc.d.before-testbed";
const POLICY_TEXT: &str = "#!/bin/sh\n# cargo testbed: no daemon starts by an install.\nexit 101\n";

/// Why this machine is not fit, or the packages could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// Namespaces, mounts and daemons need root.
    #[error("the testbed needs root: it makes network and mount namespaces (try `sudo -E cargo testbed up`)")]
    NotRoot,
    /// Another system.
    #[error("the testbed runs on Debian 12 (bookworm); this is {found}")]
    System {
        /// The system's own name for itself.
        found: String,
    },
    /// No Go, or an old one, and Kubernetes has yet to be built.
    #[error(
        "Kubernetes and containerd 2 are built with Go 1.25 or newer, found {found}: install one from https://go.dev/dl and put it first in PATH"
    )]
    Go {
        /// What `go version` says.
        found: String,
    },
    /// The guard against starting daemons could not be set.
    #[error("could not write {POLICY}")]
    Policy(#[source] std::io::Error),
    /// apt-get failed.
    #[error("could not install {names}")]
    Install {
        /// The missing packages.
        names: String,
        /// What apt-get said.
        source: CommandError,
    },
}

/// Refuses machines the testbed can't work on.
pub fn check_machine() -> Result<(), PackagesError> {
    if !rustix::process::getuid().is_root() {
        return Err(PackagesError::NotRoot);
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "VERSION_CODENAME=bookworm") {
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        return Err(PackagesError::System { found: name.unwrap_or("unknown").trim_matches('"').to_owned() });
    }
    check_go()
}

fn check_go() -> Result<(), PackagesError> {
    if kubernetes::all_built() {
        return Ok(());
    }
    let mut go = std::process::Command::new("go");
    go.args(["env", "GOVERSION"]).current_dir("/");
    let found = command::run(go).unwrap_or_else(|_| "none".to_owned()).trim().to_owned();
    let mut numbers = found.trim_start_matches("go").split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(1), Some(25)) {
        return Ok(());
    }
    Err(PackagesError::Go { found })
}

/// The packages that are not installed.
pub fn missing() -> Vec<&'static str> {
    let mut query = command::clean("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status} ${Package}\n"]).args(TOOLS).args(OF_HOSTS);
    // It ends with an error when one is unknown, and lists the others all the same.
    let listed = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let installed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    TOOLS.iter().chain(OF_HOSTS).copied().filter(|name| !installed.contains(name)).collect()
}

/// Installs what is missing.
pub fn install() -> Result<(), PackagesError> {
    unguard();
    let names = missing();
    if names.is_empty() {
        return Ok(());
    }
    guard().map_err(PackagesError::Policy)?;
    let result = apt(&names).or_else(|_| {
        // The lists may be absent or old.
        let mut update = command::clean("apt-get");
        update.args(["--quiet", "update"]);
        proxies(&mut update);
        command::run(update)?;
        apt(&names)
    });
    unguard();
    result.map_err(|source| PackagesError::Install { names: names.join(" "), source })
}

fn apt(names: &[&str]) -> Result<(), CommandError> {
    let mut install = command::clean("apt-get");
    install
        .args(["--quiet", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "install"])
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive");
    proxies(&mut install);
    command::run(install).map(|_| ())
}

/// apt-get may need the caller's way to the network.
fn proxies(command: &mut std::process::Command) {
    for name in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

fn guard() -> std::io::Result<()> {
    if Path::new(POLICY).exists() {
        std::fs::rename(POLICY, POLICY_SAVED)?;
    }
    std::fs::write(POLICY, POLICY_TEXT)?;
    std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
}

/// Takes our guard away, also one that a killed run left, and puts the machine's own back.
fn unguard() {
    if std::fs::read_to_string(POLICY).is_ok_and(|text| text == POLICY_TEXT) {
        let _ = std::fs::remove_file(POLICY);
    }
    if Path::new(POLICY_SAVED).exists() && !Path::new(POLICY).exists() {
        let _ = std::fs::rename(POLICY_SAVED, POLICY);
    }
}
