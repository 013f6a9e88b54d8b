//! Exactly Slurm's cores for the container: an affinity mask alone could be widened by the user.
//!
//! The cores are those of the shim's own cpuset cgroup, which Slurm's task/cgroup has set for the step; where Slurm sets
//! none, the container gets none either, as a task on the bare node. The agent has started nothing by then.

use std::path::{Path, PathBuf};

/// Where the cgroup hierarchies are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// A cpuset that cannot be read or set.
#[derive(Debug, thiserror::Error)]
pub enum CpusetError {
    /// A process has no cpuset.
    #[error("process {0} is in no cpuset")]
    None(i32),
    /// A file that cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {cores:?} to {}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What it should say.
        cores: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Gives the cgroup of `container` the cores of the cgroup of `task`; tells them.
pub fn confine(container: i32, task: i32) -> Result<String, CpusetError> {
    let (from, version) = folder(task)?;
    let (to, _) = folder(container)?;
    let effective = from.join(if version == 1 { "cpuset.effective_cpus" } else { "cpuset.cpus.effective" });
    let cores = std::fs::read_to_string(&effective).map_err(|source| CpusetError::Read { file: effective, source })?;
    let cores = cores.trim().to_owned();
    let file = to.join("cpuset.cpus");
    std::fs::write(&file, &cores).map_err(|source| CpusetError::Write { file, cores: cores.clone(), source })?;
    Ok(cores)
}

/// The folder of a process's cpuset, and the version of its hierarchy (cgroups(7)).
fn folder(pid: i32) -> Result<(PathBuf, u8), CpusetError> {
    let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
    let text = std::fs::read_to_string(&path).map_err(|source| CpusetError::Read { file: path, source })?;
    find(&text, Path::new(CGROUPS)).ok_or(CpusetError::None(pid))
}

fn find(text: &str, root: &Path) -> Option<(PathBuf, u8)> {
    let of = |controllers: fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let named = fields.next()?;
            let below = fields.next()?.trim_start_matches('/');
            controllers(named).then(|| below.to_owned())
        })
    };
    let v1 = of(|named| named.split(',').any(|name| name == "cpuset"));
    let v2 = || of(str::is_empty).map(|below| (root.join(below), 2));
    v1.map(|below| (root.join("cpuset").join(below), 1)).or_else(v2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpuset_is_found_in_both_versions() {
        let root = Path::new("/c");
        let hybrid = "4:memory:/a\n3:cpuset:/slurm/uid_1/job_2/step_0\n0::/\n";
        assert_eq!(find(hybrid, root), Some(("/c/cpuset/slurm/uid_1/job_2/step_0".into(), 1)));
        assert_eq!(find("0::/system.slice/x\n", root), Some(("/c/system.slice/x".into(), 2)));
        assert_eq!(find("1:name=systemd:/\n", root), None);
    }
}
