//! Takes the testbed away: processes, namespaces with their mounts and interfaces, cgroups, files.

use crate::host::{ALL, keeper};
use crate::process::{self, Process};
use crate::site;
use crate::step::step;
use crate::{kubernetes, paths};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What stays in spite of everything.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    /// Processes do not end.
    #[error("{count} processes in the testbed's cgroups do not end, for example {pid}")]
    Processes {
        /// How many.
        count: usize,
        /// One of them.
        pid: i32,
    },
    /// A cgroup can't be removed.
    #[error("could not remove the cgroup {}", path.display())]
    Cgroup {
        /// The cgroup.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The state folder can't be removed.
    #[error("could not remove {}", paths::STATE)]
    State(#[source] std::io::Error),
}

/// Takes everything away; nothing to do is fine.
pub fn run() -> Result<(), Box<dyn Error>> {
    if leftovers().is_empty() {
        eprintln!("the testbed is not there");
        return Ok(());
    }
    let lock = site::lock(Duration::from_secs(600))?;
    if let Err(error) = kubernetes::down() {
        eprintln!("    Kubernetes did not end by itself: {error}");
    }
    step("processes", || {
        kill_in_cgroups(Duration::from_secs(15)).map_err(Box::<dyn Error>::from)?;
        ALL.iter().try_for_each(|host| host.kill_all(Duration::from_secs(15)))?;
        for keeper in keeper::every() {
            keeper.end(Duration::from_secs(2));
        }
        // Between the two, a daemon may have started something.
        kill_in_cgroups(Duration::from_secs(15)).map_err(Box::<dyn Error>::from)
    })?;
    step("cgroups", remove_cgroups)?;
    step("files", || remove_files().map_err(DownError::State))?;
    drop(lock);
    Ok(())
}

/// The lock's file goes last: as soon as it is gone, the next run may begin.
fn remove_files() -> std::io::Result<()> {
    for entry in std::fs::read_dir(paths::STATE)? {
        let entry = entry?;
        if entry.file_name() == site::LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_file(paths::state(site::LOCK))?;
    match std::fs::remove_dir(paths::STATE) {
        // The next run has begun.
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result,
    }
}

/// The mount points of the cgroup hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let path = fields.next()?;
            fields.next()?.starts_with("cgroup").then(|| PathBuf::from(path))
        })
        .collect()
}

/// Our cgroups, the inner ones first: the testbed's own, and those that slurmd makes for its node.
fn cgroups() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for hierarchy in hierarchies() {
        collect(&hierarchy.join(paths::CGROUP.trim_start_matches('/')), &mut all);
        for host in ALL {
            collect(&hierarchy.join(format!("slurm_{}", host.name)), &mut all);
        }
    }
    all
}

fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), all);
        }
    }
    all.push(folder.to_owned());
}

/// Kills what is in the testbed's own cgroups: the containers, whose root is not a host's.
fn kill_in_cgroups(patience: Duration) -> Result<(), DownError> {
    let end = Instant::now() + patience;
    loop {
        let own = paths::CGROUP.trim_start_matches('/');
        let left: Vec<Process> = cgroups()
            .iter()
            .filter(|path| path.components().any(|part| part.as_os_str() == own))
            .filter_map(|path| std::fs::read_to_string(path.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
            .filter_map(Process::find)
            .collect();
        let Some(first) = left.first() else { return Ok(()) };
        if Instant::now() >= end {
            return Err(DownError::Processes { count: left.len(), pid: first.pid });
        }
        thaw();
        left.iter().for_each(|process| process.signal(rustix::process::Signal::KILL));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A frozen process does not die.
fn thaw() {
    for path in cgroups() {
        let state = path.join("freezer.state");
        if state.exists() {
            let _ = std::fs::write(state, "THAWED");
        }
    }
}

fn remove_cgroups() -> Result<(), DownError> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        // The last process's exit is noted a little after it has gone.
        let failed = cgroups().into_iter().find_map(|path| match std::fs::remove_dir(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Some(DownError::Cgroup { path, source }),
            _ => None,
        });
        match failed {
            None => return Ok(()),
            Some(error) if Instant::now() >= end => return Err(error),
            Some(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What of ours is there, for tests that `down` leaves nothing: processes, cgroups, files.
pub fn leftovers() -> Vec<String> {
    let processes =
        process::all().into_iter().filter_map(|pid| keeper::mark(pid).map(|host| format!("process {pid} of {host}")));
    let keepers = keeper::every().into_iter().map(|keeper| format!("process {} (a keeper)", keeper.pid));
    let cgroups = cgroups().into_iter().map(|path| format!("cgroup {}", path.display()));
    let state = Path::new(paths::STATE).exists().then(|| format!("folder {}", paths::STATE));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter(|line| line.contains(paths::STATE)).map(|line| format!("mount {line}"));
    processes.chain(keepers).chain(cgroups).chain(state).chain(mounts.collect::<Vec<_>>()).collect()
}
