//! What a killed slurmstepd left on its node: the run folder, mounts of its user's, a grant that was never used, and an
//! agent that was stopped or frozen and so could not see its link end.
//!
//! Every later step of the node looks while its container starts. Whose slurmstepd lives is told by the lock on its run
//! folder, which the kernel drops with the process: no process id that another may have by now, no age, no clock. The
//! run folder is made first and removed last, so what has none is nobody's.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use slurm_k8s_core::grant::Grant;

use crate::{cgroup, mounts, rundir};

/// The file in a run folder that says which process the agent is; root's alone.
const AGENT: &str = "agent.pid";

/// Keeps in the run folder which process the agent is, for a sweep.
pub fn note_agent(run_dir: &Path, agent: Pid) {
    let path = run_dir.join(AGENT);
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        write!(file, "{} {}", agent.as_raw_pid(), begun(agent).unwrap_or_default())
    };
    if let Err(error) = write() {
        log::warn!("cannot write {}: {error}", path.display());
    }
}

/// When a process began, in proc(5)'s words: with its number it is that process and no other.
fn begun(pid: Pid) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name in parentheses may have anything in it.
    let text = String::from_utf8_lossy(&stat).into_owned();
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19).map(str::to_owned)
}

/// Kills the agent that is noted there, and with it all that its container runs.
fn kill_agent(run_dir: &Path) -> Option<()> {
    let text = std::fs::read_to_string(run_dir.join(AGENT)).ok()?;
    let (number, noted) = text.split_once(' ')?;
    let pid = Pid::from_raw(number.parse().ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // From here on the number is that process's.
    if begun(pid)? == noted {
        // A frozen process does not die.
        let _ = cgroup::freeze(pid.as_raw_pid(), false);
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
    Some(())
}

/// Removes what is left below the folder `run`. Gives the names of the Pods' folders.
pub fn sweep(run: &Path) -> Vec<String> {
    let (pods, mounts) = (run.join("pods"), run.join("mounts"));
    let names: BTreeSet<String> = entries(&pods).chain(entries(&mounts)).collect();
    let dead: Vec<(String, Option<OwnedFd>)> = names
        .into_iter()
        .filter_map(|name| match rundir::lock(&pods.join(&name)) {
            Ok(lock) => Some((name, Some(lock))),
            Err(Errno::NOENT) if mounts.join(&name).exists() => Some((name, None)),
            Err(_) => None,
        })
        .collect();
    if !dead.is_empty() {
        remove_grants(&run.join("grants"), &|name| dead.iter().any(|(dead, _)| dead == name));
    }
    // Each lock is held until its folder is gone.
    dead.into_iter()
        .map(|(name, _lock)| {
            let _ = kill_agent(&pods.join(&name));
            remove_mounts(&mounts.join(&name));
            remove_folder(&pods.join(&name));
            log::info!("removed what a killed slurmstepd left of {name}");
            name
        })
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Never recursively: below a mount that would not go are the user's files.
fn remove_mounts(folder: &Path) {
    for number in entries(folder) {
        let place = folder.join(number);
        // Not a mount: slurmstepd was killed before it was.
        let _ = mounts::detach(&place);
        if let Err(error) = std::fs::remove_dir(&place).or_else(|_| std::fs::remove_file(&place)) {
            log::warn!("cannot remove the mount point {}: {error}", place.display());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

fn remove_folder(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}

/// The grants whose run folder has one of these names. Another step of the same job may be about to put its own in the
/// place of one: a folder that somebody writes to is left to the next sweep.
fn remove_grants(grants: &Path, dead: &dyn Fn(&str) -> bool) {
    for namespace in entries(grants) {
        let folder = grants.join(namespace);
        let Ok(lock) = std::fs::File::open(&folder) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        for name in entries(&folder) {
            let path = folder.join(name);
            let grant = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Grant>(&text).ok());
            // A grant is written after its run folder is made, and goes before that.
            let nobodys = |run_dir: &Path| {
                !run_dir.exists() || run_dir.file_name().and_then(|name| name.to_str()).is_some_and(dead)
            };
            if grant.is_some_and(|grant| nobodys(&grant.run_dir)) {
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rundir::{RunDir, Sockets};

    fn make(run: &Path, pod: &str) -> (RunDir, Sockets) {
        let me = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        RunDir::make(run, pod, "n", "ns", me, b"secret").unwrap()
    }

    fn grant(pod: &str, run_dir: &RunDir) -> Grant {
        let identity = serde_json::json!({"user": "a", "home": "/", "shell": "/bin/sh", "gecos": "", "groups": {}});
        serde_json::from_value(serde_json::json!({
            "namespace": "ns", "pod": pod, "nonce": "n", "uid": 1, "gid": 1, "groups": [], "identity": identity,
            "rlimits": {}, "env": {}, "entrypoint": false, "oom_score_adj": null, "shm_bytes": null, "run_dir": run_dir.path(),
            "agent": "/agent", "mounts": [],
        }))
        .unwrap()
    }

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let run = tempfile::tempdir().unwrap();
        let (mut alive, _sockets) = make(run.path(), "alive");
        let (mut killed, sockets) = make(run.path(), "killed");
        alive.write_grant(&grant("alive", &alive)).unwrap();
        killed.write_grant(&grant("killed", &killed)).unwrap();
        for name in ["alive-n", "killed-n", "older-n"] {
            std::fs::create_dir_all(run.path().join("mounts").join(name).join("0")).unwrap();
        }
        // As a killed process leaves it.
        drop((killed, sockets));
        // A process of another test, forked this moment, may have the lock until it executes its program.
        let mut swept = BTreeSet::new();
        for _ in 0..1000 {
            swept.extend(sweep(run.path()));
            if swept.len() == 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert_eq!(swept.into_iter().collect::<Vec<_>>(), ["killed-n", "older-n"]);
        for folder in ["pods", "mounts"] {
            assert_eq!(entries(&run.path().join(folder)).collect::<Vec<_>>(), ["alive-n"], "{folder}");
        }
        assert_eq!(entries(&run.path().join("grants/ns")).collect::<Vec<_>>(), ["alive.json"]);
        assert_eq!(sweep(run.path()), [] as [&str; 0]);
    }

    #[test]
    fn a_noted_agent_is_killed_and_another_process_of_its_number_is_not() {
        use std::os::unix::process::ExitStatusExt as _;
        let run = tempfile::tempdir().unwrap();
        let mut agent = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&agent);
        let (killed, sockets) = make(run.path(), "killed");
        std::fs::write(killed.path().join(AGENT), format!("{} 1", pid.as_raw_pid())).unwrap();
        drop((killed, sockets));
        sweep(run.path());
        assert_eq!(agent.try_wait().unwrap(), None);
        let (killed, sockets) = make(run.path(), "killed");
        note_agent(killed.path(), pid);
        drop((killed, sockets));
        sweep(run.path());
        assert_eq!(agent.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_mount_point_with_something_in_it_is_never_emptied() {
        let run = tempfile::tempdir().unwrap();
        let file = run.path().join("mounts/p-n/0/precious");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, b"x").unwrap();
        sweep(run.path());
        assert!(file.exists());
    }

    #[test]
    fn a_folder_that_is_swept_while_it_is_made_is_made_again() {
        let run = tempfile::tempdir().unwrap();
        let sweeper = run.path().to_owned();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sweeping = std::thread::spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                sweep(&sweeper);
            }
        });
        for number in 0..200 {
            let (run_dir, _sockets) = make(run.path(), &format!("p{number}"));
            assert!(run_dir.path().join("token").exists());
        }
        drop(stop);
        sweeping.join().unwrap();
    }
}
