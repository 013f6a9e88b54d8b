//! Processes that outlive this program: found again by id and start time, ended with a deadline.

use crate::paths;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A process that some run of the testbed started. The start time tells it from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// Clock ticks between the machine's boot and the process's start (field 22 of `/proc/<pid>/stat`).
    pub started: u64,
}

impl Process {
    /// The living process with this id; a zombie counts as dead.
    pub fn find(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        Some(Self { pid, started: fields.nth(18)?.parse().ok()? })
    }

    /// Whether it still runs.
    pub fn alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Sends a signal if it still runs.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.alive()) {
            // It may have just ended by itself, which is what the caller is after.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end, and kills it when it still runs after `patience`. True when it is gone.
    pub fn end(self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        if self.gone_within(patience) {
            return true;
        }
        self.signal(Signal::KILL);
        self.gone_within(Duration::from_secs(5))
    }

    fn gone_within(self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while self.alive() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// The ids of all processes of the machine.
pub fn all() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Closes what this program's caller had open: a daemon must not keep a caller's lock or pipe for ever.
pub fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The folder's own is among them, and already closed.
    numbers.into_iter().filter(|number| *number > 2).for_each(|number| drop(slurm_k8s_posix::inherited(number)));
}

/// Where [`copy_of_this`] puts it.
pub fn path_of_copy() -> PathBuf {
    paths::state("bin").join("testbed")
}

/// A copy of this program, for daemons: cargo may replace or remove the program's own file while they run, or before
/// that. An error comes with the path.
pub fn copy_of_this() -> Result<PathBuf, (PathBuf, std::io::Error)> {
    let path = path_of_copy();
    let copy = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        std::fs::copy("/proc/self/exe", &new)?;
        std::fs::rename(new, &path)
    };
    copy().map_err(|source| (path.clone(), source))?;
    Ok(path)
}
