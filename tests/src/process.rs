//! The processes of a job on the nodes: hosts share the machine's process numbers.

use std::fs;
use std::process::Command;

use crate::until;

/// A process that has the job's environment, or is the parent of one that has it in a container.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number on the machine.
    pub pid: u32,
    /// Its name.
    pub name: String,
    parent: u32,
}

/// The shim and what runs in the Pod.
#[must_use]
pub fn processes(job: &str) -> Vec<Process> {
    let sign = format!("SLURM_JOB_ID={job}");
    let of_job = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == sign.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(of_job).filter_map(read).collect()
}

fn read(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
    Some(Process { pid, name: field("Name:")?, parent: field("PPid:")?.parse().ok()? })
}

/// The task as Slurm sees it.
#[must_use]
pub fn shim(job: &str) -> Process {
    let mut processes = processes(job).into_iter();
    processes.find(|process| process.name == "slurm-k8s-agent").unwrap_or_else(|| panic!("job {job} has no shim"))
}

/// The first process of the container.
#[must_use]
pub fn agent(job: &str) -> Process {
    let parents = processes(job).into_iter().filter_map(|process| read(process.parent));
    let mut agents = parents.filter(|parent| parent.name == "agent");
    agents.next().unwrap_or_else(|| panic!("job {job} has no agent: {:?}", processes(job)))
}

impl Process {
    /// SIGKILL.
    pub fn kill(&self) {
        self.signal("-KILL");
    }

    /// Sends it a signal, as in `kill -STOP`.
    pub fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([signal, &self.pid.to_string()]).status();
    }

    /// Whether it is still there.
    #[must_use]
    pub fn lives(&self) -> bool {
        read(self.pid).is_some_and(|process| process.parent == self.parent)
    }
}

/// Waits until nothing of the job runs.
pub fn no_process_of(job: &str) {
    until("no process of the job is left", || {
        let left = processes(job);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}
