//! The process at the other end of a connection, and what may be believed of it.
//!
//! `SO_PEERCRED` tells who called connect(2). The socket can have been handed on since, that process be gone, and its
//! number be another user's by now: what root would then kill or confine is not the job's.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Steps from a shim up to slurmstepd: none, unless something was put in front of it.
const GENERATIONS: u32 = 16;
/// No container's id is shorter.
const SHORTEST_ID: usize = 16;

/// A process that cannot be told to be the user's.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It ended.
    #[error("process {0} has ended")]
    Gone(i32),
    /// It is not, or not only, the user's.
    #[error("process {pid} is not only of uid {uid}")]
    Foreign {
        /// The process.
        pid: i32,
        /// The job's user.
        uid: u32,
    },
    /// It is somewhere else.
    #[error("process {0} is not in the container that took the grant")]
    Outside(i32),
}

/// A process that was the job's user's alone when it was opened, and whose number stays its own.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Opens the process that connected.
    pub fn open(pid: Pid, uid: u32) -> Result<Self, ProcessError> {
        let number = pid.as_raw_pid();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ProcessError::Gone(number))?;
        let this = Self { pid, pidfd };
        let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        if !this.alive() {
            return Err(ProcessError::Gone(number));
        }
        // A setuid program that the user has started is not the user's.
        let own = field(&status, "Uid:").is_some_and(|ids| ids.split_whitespace().all(|id| id.parse() == Ok(uid)));
        if own { Ok(this) } else { Err(ProcessError::Foreign { pid: number, uid }) }
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has not ended: until then its number is no one else's.
    pub fn alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
    }

    /// Whether slurmstepd, or one that it has forked, has forked it.
    pub fn descends_from(&self, ancestor: Pid) -> bool {
        let mut pid = self.pid.as_raw_pid();
        for _ in 0..GENERATIONS {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            match field(&status, "PPid:").and_then(|parent| parent.trim().parse().ok()) {
                Some(parent) if parent == ancestor.as_raw_pid() => return self.alive(),
                Some(parent) if parent > 1 => pid = parent,
                _ => return false,
            }
        }
        false
    }

    /// Fails unless it is in the container, or in the Pod, whose id root has left in this file.
    pub fn must_be_in(&self, file: &Path) -> Result<(), ProcessError> {
        let outside = ProcessError::Outside(self.pid.as_raw_pid());
        let id = std::fs::read_to_string(file).unwrap_or_default();
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid.as_raw_pid())).unwrap_or_default();
        if in_every_cgroup(&groups, id.trim()) && self.alive() { Ok(()) } else { Err(outside) }
    }

    /// Kills it.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// What poll(2) can wait with for its end.
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether each cgroup that we may write to is the container's or the Pod's: a name has the id, as `<id>`,
/// `cri-containerd-<id>.scope`, `pod<id>`, or, in systemd's spelling, `kubepods-pod<i_d>.slice`.
/// The v2 hierarchy beside v1 ones is often not used, and hierarchies without a controller are nobody's concern.
fn in_every_cgroup(text: &str, id: &str) -> bool {
    let systemds = id.replace('-', "_");
    let ours = |path: &str| path.split('/').any(|part| part.contains(id) || part.contains(&systemds));
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1: Vec<_> = lines.clone().filter(|(named, _)| !named.is_empty() && !named.starts_with("name=")).collect();
    let used = if v1.is_empty() { lines.filter(|(named, _)| named.is_empty()).collect() } else { v1 };
    id.len() >= SHORTEST_ID && !used.is_empty() && used.iter().all(|(_, path)| ours(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_containers_cgroups_have_its_id() {
        let v1 = format!("4:memory:/kubepods/pod1/{ID}\n3:cpuset,cpu:/kubepods/pod1/{ID}\n1:name=systemd:/x\n0::/\n");
        assert!(in_every_cgroup(&v1, ID));
        assert!(in_every_cgroup(&format!("0::/kubepods.slice/cri-containerd-{ID}.scope\n"), ID));
        let uid = "01234567-89ab-cdef-0123-456789abcdef";
        assert!(in_every_cgroup(&format!("2:cpuset:/kubepods/pod{uid}/{ID}\n"), uid));
        assert!(in_every_cgroup("0::/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/x.scope\n", uid));
        assert!(!in_every_cgroup(&v1.replacen(ID, "slurm", 1), ID));
        assert!(!in_every_cgroup(&v1, ""), "no id, no container");
        assert!(!in_every_cgroup("", ID));
        // Users make folders of any name where systemd lets them.
        assert!(!in_every_cgroup(&format!("4:memory:/user\n1:name=systemd:/user/{ID}\n0::/{ID}\n"), ID));
    }

    #[test]
    fn a_process_is_the_users_and_slurmstepds_or_it_is_not() {
        let me = rustix::process::getuid().as_raw();
        let own = rustix::process::getpid();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let process = Process::open(pid, me).unwrap();
        assert!(process.alive() && process.descends_from(own));
        assert!(!Process::open(own, me).unwrap().descends_from(pid));
        assert!(matches!(Process::open(pid, me + 1), Err(ProcessError::Foreign { .. })));
        assert!(matches!(process.must_be_in(Path::new("/nonexistent")), Err(ProcessError::Outside(_))));
        process.kill();
        let _ = child.wait().unwrap();
        assert!(!process.alive() && !process.descends_from(own));
        assert!(matches!(Process::open(pid, me), Err(ProcessError::Gone(_))));
    }
}
