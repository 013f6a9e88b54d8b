use std::process::Command;
use std::time::{Duration, Instant};

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

const SHIM: i32 = 11;
const AGENT: i32 = 22;
/// As Slurm's cgroup/v2 and the kubelet with systemd make them.
const SHIMS: &str = "system.slice/slurmstepd.scope/job_7/step_0/user/task_0";
const AGENTS: &str = "kubepods.slice/kubepods-podx.slice/cri-containerd-x.scope";

/// A node with cgroup v2 only, made of plain files.
struct Node(tempfile::TempDir);

impl Node {
    fn make(files: &[(&str, &str)]) -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        for (pid, path) in [(SHIM, SHIMS), (AGENT, AGENTS)] {
            node.put(&format!("proc/{pid}/cgroup"), &format!("0::/{path}\n"));
            std::fs::create_dir_all(node.0.path().join("cgroups").join(path)).unwrap();
        }
        files.iter().for_each(|(path, text)| node.put(&format!("cgroups/{path}"), text));
        node
    }

    fn put(&self, path: &str, text: &str) {
        let file = self.0.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn look<T>(&self, at: impl FnOnce(&Views) -> T) -> T {
        let [cgroups, processes] = ["cgroups", "proc"].map(|name| self.0.path().join(name));
        at(&Views { cgroups: &cgroups, processes: &processes })
    }

    fn of_agent(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join("cgroups").join(AGENTS).join(name)).unwrap()
    }
}

#[test]
fn v2_cores_are_those_of_the_nearest_cgroup_that_has_some() {
    let step = "system.slice/slurmstepd.scope/job_7/step_0/cpuset.cpus.effective";
    let node = Node::make(&[(step, "2-3\n"), ("cpuset.cpus.effective", "0-63\n")]);
    assert_eq!(node.look(|at| at.confine(AGENT, SHIM)).unwrap(), "2-3");
    assert_eq!(node.of_agent("cpuset.cpus"), "2-3");
    // The task's own stands above the step's.
    node.put(&format!("cgroups/{SHIMS}/cpuset.cpus.effective"), "3\n");
    assert_eq!(node.look(|at| at.confine(AGENT, SHIM)).unwrap(), "3");
    assert!(matches!(Node::make(&[]).look(|at| at.confine(AGENT, SHIM)), Err(CgroupError::Read { .. })));
}

#[test]
fn v2_memory_is_read() {
    let at = |name: &str| format!("{AGENTS}/{name}");
    let (events, peak, max) = (at("memory.events"), at("memory.peak"), at("memory.max"));
    let node = Node::make(&[(&events, "oom 1\noom_kill 2\n"), (&peak, "1000\n"), (&max, "4096\n")]);
    let expected = Memory { killed: 2, peak: Some(1000), limit: Some(4096) };
    assert_eq!(node.look(|at| at.memory(AGENT)).unwrap(), expected);
    // Kernels before 5.19 have no peak; no limit is a word.
    let node = Node::make(&[(&events, "oom_kill 0\n"), (&max, "max\n")]);
    assert_eq!(node.look(|at| at.memory(AGENT)).unwrap(), Memory { killed: 0, peak: None, limit: None });
}

/// A cgroup v2 hierarchy of the kernel's own, which every machine has, with one cgroup for the test.
struct Kernel {
    mount: PathBuf,
    own: PathBuf,
    _folder: tempfile::TempDir,
}

impl Kernel {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().to_owned();
        let mounted = Command::new("mount").args(["-t", "cgroup2", "none"]).arg(&mount).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a cgroup v2 mount");
        let own = mount.join(format!("spank-k8s-test-{}", std::process::id()));
        std::fs::create_dir(&own).unwrap();
        Self { mount, own, _folder: folder }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.own);
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

#[test]
fn v2_processes_are_frozen_and_thawed_by_the_kernel() {
    if !rustix::process::getuid().is_root() {
        return eprintln!("only root can mount cgroups");
    }
    let kernel = Kernel::mount();
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = i32::try_from(sleeper.id()).unwrap();
    std::fs::write(kernel.own.join("cgroup.procs"), pid.to_string()).unwrap();
    // Its lines of v1 hierarchies, which this machine may have too, would stand above.
    let processes = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("0::")).unwrap();
    std::fs::create_dir(processes.path().join(pid.to_string())).unwrap();
    std::fs::write(processes.path().join(format!("{pid}/cgroup")), format!("{line}\n")).unwrap();
    let views = Views { cgroups: &kernel.mount, processes: processes.path() };

    for frozen in [true, false] {
        views.freeze(pid, frozen).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while views.is_frozen(pid).unwrap() != frozen {
            assert!(Instant::now() < deadline, "frozen: {frozen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}
