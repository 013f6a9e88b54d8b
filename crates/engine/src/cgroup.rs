//! What the kernel's control groups know and do for the container, on the node and without any API server.
//!
//! slurmstepd is root, and the shim's and the agent's process ids come from the kernel (`SO_PEERCRED`), so nothing here
//! rests on what the user's processes say.

use std::path::{Path, PathBuf};

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup that cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A process is in no such cgroup.
    #[error("process {pid} is in no cgroup of the controller {controller}")]
    None {
        /// The process.
        pid: i32,
        /// The controller.
        controller: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {text:?} to {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What it should say.
        text: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The cgroup of a process for one controller.
struct Cgroup {
    folder: PathBuf,
    v1: bool,
}

impl Cgroup {
    fn of(pid: i32, controller: &'static str) -> Result<Self, CgroupError> {
        let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = std::fs::read_to_string(&file).map_err(|source| CgroupError::Read { file, source })?;
        find(&text, controller, Path::new(ROOT)).ok_or(CgroupError::None { pid, controller })
    }

    /// The file with this name in the one version, and that in the other.
    fn file(&self, v1: &str, v2: &str) -> PathBuf {
        self.folder.join(if self.v1 { v1 } else { v2 })
    }
}

fn read(file: PathBuf) -> Result<String, CgroupError> {
    std::fs::read_to_string(&file).map_err(|source| CgroupError::Read { file, source })
}

fn write(file: PathBuf, text: &str) -> Result<(), CgroupError> {
    std::fs::write(&file, text).map_err(|source| CgroupError::Write { file, text: text.to_owned(), source })
}

/// A process's line in cgroups(7): its own in a v1 hierarchy, else the v2 one.
fn find(text: &str, controller: &str, root: &Path) -> Option<Cgroup> {
    let below = |fits: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let named = fields.next()?;
            let path = fields.next()?.trim_start_matches('/');
            fits(named).then(|| path.to_owned())
        })
    };
    let v1 = below(&|named| named.split(',').any(|name| name == controller));
    let v2 = || below(&str::is_empty).map(|path| Cgroup { folder: root.join(path), v1: false });
    v1.map(|path| Cgroup { folder: root.join(controller).join(path), v1: true }).or_else(v2)
}

/// Gives the container exactly the cores of the step: an affinity mask alone could be widened by the user. They are those
/// of the shim's own cgroup, which Slurm's task/cgroup has set; where it sets none, the container gets none either.
/// Tells the cores.
pub fn confine(agent: i32, shim: i32) -> Result<String, CgroupError> {
    let from = Cgroup::of(shim, "cpuset")?;
    let cores = read(from.file("cpuset.effective_cpus", "cpuset.cpus.effective"))?;
    let cores = cores.trim().to_owned();
    write(Cgroup::of(agent, "cpuset")?.folder.join("cpuset.cpus"), &cores)?;
    Ok(cores)
}

/// Whether a process is frozen, as `scontrol suspend` leaves it.
pub fn is_frozen(pid: i32) -> Result<bool, CgroupError> {
    let cgroup = Cgroup::of(pid, "freezer")?;
    let text = read(cgroup.file("freezer.state", "cgroup.events"))?;
    Ok(if cgroup.v1 { text.trim() == "FROZEN" } else { text.lines().any(|line| line == "frozen 1") })
}

/// Freezes or thaws the container.
pub fn freeze(agent: i32, frozen: bool) -> Result<(), CgroupError> {
    let cgroup = Cgroup::of(agent, "freezer")?;
    let text = match (cgroup.v1, frozen) {
        (true, true) => "FROZEN",
        (true, false) => "THAWED",
        (false, true) => "1",
        (false, false) => "0",
    };
    write(cgroup.file("freezer.state", "cgroup.freeze"), text)
}

/// What the container's memory came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Processes that the kernel killed for want of memory.
    pub killed: u64,
    /// The most that was used, in bytes.
    pub peak: Option<u64>,
    /// What is allowed, in bytes.
    pub limit: Option<u64>,
}

/// What the container's memory has come to.
pub fn memory(agent: i32) -> Result<Memory, CgroupError> {
    let cgroup = Cgroup::of(agent, "memory")?;
    let number = |v1: &str, v2: &str| read(cgroup.file(v1, v2)).ok().and_then(|text| text.trim().parse().ok());
    let events = read(cgroup.file("memory.oom_control", "memory.events"))?;
    Ok(Memory {
        killed: field(&events, "oom_kill").unwrap_or(0),
        peak: number("memory.max_usage_in_bytes", "memory.peak"),
        limit: number("memory.limit_in_bytes", "memory.max"),
    })
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_found_in_both_versions() {
        let root = Path::new("/c");
        let hybrid = "4:memory:/a\n3:cpuset,cpu:/slurm/uid_1/job_2/step_0\n0::/\n";
        let found = |text: &str| find(text, "cpuset", root).map(|cgroup| (cgroup.folder, cgroup.v1));
        assert_eq!(found(hybrid), Some(("/c/cpuset/slurm/uid_1/job_2/step_0".into(), true)));
        assert_eq!(found("0::/system.slice/x\n"), Some(("/c/system.slice/x".into(), false)));
        assert_eq!(found("1:name=systemd:/\n"), None);
    }

    #[test]
    fn the_kernels_counts_are_read() {
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(field("low 0\noom 1\noom_kill 3\noom_group_kill 0\n", "oom_kill"), Some(3));
        assert_eq!(field("", "oom_kill"), None);
    }
}
