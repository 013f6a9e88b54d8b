//! The process that holds a host's namespaces: they live exactly as long as it.

use super::{Host, HostError, root};
use crate::process::{self, Process};
use crate::{command, paths, wait};
use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a keeper is called in `ps`: this, a space and the host's name.
const TITLE: &str = "spank-k8s-testbed";

/// Why a host's namespaces could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The namespaces could not be made.
    #[error("could not make the namespaces of {name}")]
    Start {
        /// The host.
        name: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The keeper's record could not be written.
    #[error(transparent)]
    Record(#[from] HostError),
    /// The keeper did not get ready.
    #[error(transparent)]
    Late(#[from] wait::WaitError<Infallible>),
    /// Processes of a former keeper stay.
    #[error("{count} processes of the former {name} do not end")]
    Leftovers {
        /// The host.
        name: &'static str,
        /// How many.
        count: usize,
    },
    /// Inside the namespaces: the root could not be built.
    #[error("could not build the root of {name}")]
    Root {
        /// The host.
        name: String,
        /// Which action failed.
        source: root::RootError,
    },
    /// Inside the namespaces: the sleeping program could not be started.
    #[error("could not start sleep")]
    Sleep(#[source] std::io::Error),
}

fn record(name: &str) -> PathBuf {
    paths::state("run").join(name).join("keeper.json")
}

fn recorded(name: &str) -> Option<Process> {
    let process: Process = serde_json::from_slice(&std::fs::read(record(name)).ok()?).ok()?;
    process.alive().then_some(process)
}

/// The keeper of the network between the hosts, which has no root of its own.
pub fn lan() -> Option<Process> {
    recorded("lan").filter(|process| settled(process.pid, "lan"))
}

/// Starts the keeper of the network between the hosts. True when it was not there before.
pub fn start_lan() -> Result<bool, KeeperError> {
    if lan().is_some() {
        return Ok(false);
    }
    start("lan", &["--net"], None)?;
    Ok(true)
}

impl Host {
    /// The process that holds the host's namespaces, if the host is up.
    pub fn keeper(self) -> Option<Process> {
        recorded(self.name).filter(|process| settled(process.pid, self.name))
    }

    /// Makes the host's namespaces, with this system, if they are not there. Processes left over from a former keeper are
    /// killed first: nothing could reach them any more. True when the host is new.
    pub fn bring_up(self, system: &Path) -> Result<bool, KeeperError> {
        if self.keeper().is_some() {
            return Ok(false);
        }
        self.kill_all(Duration::from_secs(10))?;
        start(self.name, &["--mount", "--uts", "--net", "--propagation", "private"], Some(system))?;
        Ok(true)
    }

    /// Kills every process whose root is this host's, the keeper too.
    pub fn kill_all(self, patience: Duration) -> Result<(), KeeperError> {
        let end = Instant::now() + patience;
        loop {
            let left: Vec<Process> = process::all()
                .into_iter()
                .filter(|pid| mark(*pid).as_deref() == Some(self.name))
                .filter_map(Process::find)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(KeeperError::Leftovers { name: self.name, count: left.len() });
            }
            left.iter().for_each(|process| process.signal(rustix::process::Signal::KILL));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Which host's root this process has, if any: what its root is mounted from says so, whatever became of the
/// files there.
pub fn mark(pid: i32) -> Option<String> {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mounts")).ok()?;
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/"))?;
    let (_, below) = root.split_once(&format!("upperdir={}/hosts/", paths::STATE))?;
    below.split('/').next().map(ToOwned::to_owned)
}

/// Every keeper on the machine, also one whose record is lost.
pub fn every() -> Vec<Process> {
    let titled = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.strip_prefix(TITLE).is_some_and(|rest| rest.starts_with(' ')))
    };
    process::all().into_iter().filter(titled).filter_map(Process::find).collect()
}

/// Whether the keeper has finished its work: then it has its title.
fn settled(pid: i32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split('\0').next() == Some(&format!("{TITLE} {name}")))
}

fn start(name: &'static str, namespaces: &[&str], system: Option<&Path>) -> Result<(), KeeperError> {
    let failed = |source| KeeperError::Start { name, source };
    let log = paths::state("log").join(format!("{name}-keeper.log"));
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let output = std::fs::File::create(&log).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = command::clean("setsid")
        .arg("unshare")
        .args(namespaces)
        .arg("--")
        .arg(program)
        .args(["keeper", name])
        .args(system)
        .current_dir("/")
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    let path = record(name);
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, serde_json::to_vec(&Process::find(pid)).map_err(std::io::Error::other)?)
    };
    write().map_err(|source| HostError::Record { path: path.clone(), source })?;
    wait::until(&format!("{name} up"), Duration::from_secs(20), &[log], || {
        Ok(settled(pid, name) || child.try_wait().is_ok_and(|status| status.is_some()))
    })?;
    if settled(pid, name) {
        return Ok(());
    }
    let text = std::fs::read_to_string(paths::state("log").join(format!("{name}-keeper.log")));
    Err(failed(std::io::Error::other(text.unwrap_or_default().trim().to_owned())))
}

/// What the keeper does inside its fresh namespaces: builds the root, then sleeps for ever.
/// The sleeper is a program of the system, so that this one can be rebuilt meanwhile.
pub fn run(name: &str, system: Option<&Path>) -> Result<Infallible, KeeperError> {
    if let Some(host) = Host::named(name) {
        root::build(host, system.unwrap_or(Path::new("/")))
            .map_err(|source| KeeperError::Root { name: name.to_owned(), source })?;
    }
    let error = Command::new("/bin/sleep")
        .arg0(format!("{TITLE} {name}"))
        .arg("infinity")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .exec();
    Err(KeeperError::Sleep(error))
}
