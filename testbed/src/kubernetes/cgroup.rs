//! The cgroup that a node's kubelet takes for the root: two kubelets on one kernel must not share theirs.

use crate::host::Host;
use crate::paths;
use crate::process::Process;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MOUNTS: &str = "/sys/fs/cgroup";

/// A cgroup could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make the cgroup {}", path.display())]
pub struct CgroupError {
    path: PathBuf,
    source: std::io::Error,
}

/// The kubelet's `cgroupRoot` on this host.
pub fn root(host: Host) -> String {
    format!("{}/{}", paths::CGROUP, host.name)
}

/// Makes it in every hierarchy of the machine.
pub fn bring_up(host: Host) -> Result<(), CgroupError> {
    for hierarchy in hierarchies() {
        let mut path = hierarchy;
        for name in root(host).split('/').filter(|name| !name.is_empty()) {
            let parent = path.clone();
            path.push(name);
            let made = match std::fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                result => result,
            };
            made.and_then(|()| inherit(&parent, &path)).map_err(|source| CgroupError { path: path.clone(), source })?;
        }
    }
    Ok(())
}

/// Kills what a former host of this name left running: containers outlive the host's own processes.
pub fn end_strays(host: Host, patience: Duration) {
    let end = Instant::now() + patience;
    loop {
        let mut strays = Vec::new();
        for hierarchy in hierarchies() {
            collect(&hierarchy.join(root(host).trim_start_matches('/')), &mut strays);
        }
        if strays.is_empty() || Instant::now() >= end {
            return;
        }
        strays.iter().for_each(|stray| stray.signal(rustix::process::Signal::KILL));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn collect(folder: &Path, processes: &mut Vec<Process>) {
    let present = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    processes.extend(present.lines().filter_map(|line| line.parse().ok()).filter_map(Process::find));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), processes);
        }
    }
}

/// v2: the one root. v1 and hybrid: each hierarchy.
fn hierarchies() -> Vec<PathBuf> {
    if Path::new(MOUNTS).join("cgroup.controllers").exists() {
        return vec![PathBuf::from(MOUNTS)];
    }
    let entries = std::fs::read_dir(MOUNTS).into_iter().flatten().flatten();
    // Links such as cpu -> cpu,cpuacct would only name the same one again.
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// v1: a new cpuset is empty, and takes no process before it has cores and memory nodes.
/// v2: a controller is there only if the parent passes it on.
fn inherit(parent: &Path, path: &Path) -> std::io::Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = path.join(name);
        if std::fs::read_to_string(&file).is_ok_and(|text| text.trim().is_empty())
            && let Ok(text) = std::fs::read_to_string(parent.join(name))
            && !text.trim().is_empty()
        {
            std::fs::write(file, text)?;
        }
    }
    let v2 = parent.join("cgroup.subtree_control");
    if Path::new(MOUNTS).join("cgroup.controllers").exists() {
        let all = std::fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in all.split_whitespace() {
            std::fs::write(&v2, format!("+{controller}"))?;
        }
    }
    Ok(())
}
