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

/// Where the kernel shows them.
struct Views<'a> {
    cgroups: &'a Path,
    processes: &'a Path,
}

impl Views<'_> {
    fn of_this_node() -> Views<'static> {
        Views { cgroups: Path::new(ROOT), processes: Path::new("/proc") }
    }

    /// The cgroup of a process for one controller.
    fn of(&self, pid: i32, controller: &'static str) -> Result<Cgroup, CgroupError> {
        let file = self.processes.join(pid.to_string()).join("cgroup");
        let text = std::fs::read_to_string(&file).map_err(|source| CgroupError::Read { file, source })?;
        find(&text, controller, self.cgroups).ok_or(CgroupError::None { pid, controller })
    }

    fn confine(&self, agent: i32, shim: i32) -> Result<String, CgroupError> {
        let from = self.of(shim, "cpuset")?;
        // In v2, what a parent has not enabled for its children is not there, and the parent's holds.
        let file = from.nearest("cpuset.effective_cpus", "cpuset.cpus.effective", self.cgroups);
        let cores = read(file)?;
        let cores = cores.trim().to_owned();
        write(self.of(agent, "cpuset")?.folder.join("cpuset.cpus"), &cores)?;
        Ok(cores)
    }

    fn is_frozen(&self, pid: i32) -> Result<bool, CgroupError> {
        let cgroup = self.of(pid, "freezer")?;
        let text = read(cgroup.file("freezer.state", "cgroup.events"))?;
        Ok(if cgroup.v1 { text.trim() == "FROZEN" } else { text.lines().any(|line| line == "frozen 1") })
    }

    fn freeze(&self, agent: i32, frozen: bool) -> Result<(), CgroupError> {
        let cgroup = self.of(agent, "freezer")?;
        let text = match (cgroup.v1, frozen) {
            (true, true) => "FROZEN",
            (true, false) => "THAWED",
            (false, true) => "1",
            (false, false) => "0",
        };
        write(cgroup.file("freezer.state", "cgroup.freeze"), text)
    }

    fn memory(&self, agent: i32) -> Result<Memory, CgroupError> {
        let cgroup = self.of(agent, "memory")?;
        let number = |v1: &str, v2: &str| read(cgroup.file(v1, v2)).ok().and_then(|text| text.trim().parse().ok());
        let events = read(cgroup.file("memory.oom_control", "memory.events"))?;
        Ok(Memory {
            killed: field(&events, "oom_kill").unwrap_or(0),
            peak: number("memory.max_usage_in_bytes", "memory.peak"),
            limit: number("memory.limit_in_bytes", "memory.max"),
        })
    }
}

impl Views<'_> {
    fn cpu_us(&self, agent: i32) -> Result<u64, CgroupError> {
        let cgroup = self.of(agent, "cpuacct")?;
        let file = cgroup.file("cpuacct.usage", "cpu.stat");
        let text = read(file.clone())?;
        let time =
            if cgroup.v1 { text.trim().parse().ok().map(|ns: u64| ns / 1000) } else { field(&text, "usage_usec") };
        time.ok_or_else(|| CgroupError::Read { file, source: std::io::ErrorKind::InvalidData.into() })
    }
}

/// One cgroup.
struct Cgroup {
    folder: PathBuf,
    v1: bool,
}

impl Cgroup {
    /// The file with this name in the one version, and that in the other.
    fn file(&self, v1: &str, v2: &str) -> PathBuf {
        self.folder.join(if self.v1 { v1 } else { v2 })
    }

    /// The same of the nearest cgroup that has it, up to `root`.
    fn nearest(&self, v1: &str, v2: &str, root: &Path) -> PathBuf {
        let name = if self.v1 { v1 } else { v2 };
        let folders = self.folder.ancestors().take_while(|folder| folder.starts_with(root));
        let mut files = folders.map(|folder| folder.join(name));
        files.find(|file| file.exists()).unwrap_or_else(|| self.folder.join(name))
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
    Views::of_this_node().confine(agent, shim)
}

/// Whether a process is frozen, as `scontrol suspend` leaves it.
pub fn is_frozen(pid: i32) -> Result<bool, CgroupError> {
    Views::of_this_node().is_frozen(pid)
}

/// Freezes or thaws the container.
pub fn freeze(agent: i32, frozen: bool) -> Result<(), CgroupError> {
    Views::of_this_node().freeze(agent, frozen)
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
    Views::of_this_node().memory(agent)
}

/// The processor time of the container so far, in microseconds.
pub fn cpu_us(agent: i32) -> Result<u64, CgroupError> {
    Views::of_this_node().cpu_us(agent)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
