//! Runs commands on the testbed's hosts, as a user would, and waits for what must become true.
#![allow(clippy::missing_panics_doc, clippy::panic, clippy::expect_used)]

pub mod api_log;
mod broken;
pub mod error_texts;
mod job;
pub mod pages;
pub mod process;
pub mod prometheus;
pub mod registry;
pub mod results;
pub mod service;
pub mod slurm;
pub mod submit;
pub mod support;
pub mod watch;

pub use broken::{Away, Changed, Fault, SlurmConf, alone, together};
pub use job::Job;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No command of a test takes longer.
const LIMIT: Duration = Duration::from_mins(2);

/// A user on one of the testbed's hosts.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The login name.
    pub user: &'static str,
    /// `login`, `ctl`, `node1` or `node2`.
    pub host: &'static str,
}

/// The ordinary user on the login host.
pub const ALICE: At = At { user: "alice", host: "login" };
/// The admin on the login host.
pub const ROOT: At = At { user: "root", host: "login" };

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none if a signal killed it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Standard output as text, trimmed.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Standard error as text, trimmed.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }

    /// Fails the test unless the command ended with 0.
    #[must_use]
    pub fn ok(self) -> Self {
        self.ended_with(0)
    }
}

impl Ran {
    /// Fails the test unless the command ended with this code.
    #[must_use]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.text(), self.errors());
        self
    }

    /// Fails the test unless the task ended with this code, a line of ours on stderr that has this text, and every node
    /// still ready.
    pub fn fails(&self, code: i32, text: &str) {
        let errors = self.errors();
        assert_eq!(self.code, Some(code), "{errors}");
        assert!(errors.lines().any(|line| is_ours(line) && line.contains(text)), "{errors}");
        nodes_are_up();
    }
}

/// A line of the plugin's, or one that slurmctld has sent.
fn is_ours(line: &str) -> bool {
    line.starts_with("spank-k8s: ") || line.contains(": error: spank-k8s: ")
}

impl At {
    /// The command line that runs there.
    #[must_use]
    pub fn command(self, argv: &[&str]) -> Command {
        let mut command = Command::new(testbed());
        command.args(["exec", "--user", self.user, "--host", self.host, "--"]).args(argv);
        command
    }

    /// Runs a command there without input.
    #[must_use]
    pub fn run(self, argv: &[&str]) -> Ran {
        self.run_with(argv, b"")
    }

    /// Runs a command there with this input.
    #[must_use]
    pub fn run_with(self, argv: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the testbed's command starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = input.to_vec();
        // A command that does not read its input closes the pipe: that is its right.
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let pid = child.id();
        let (done, waited) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let output = child.wait_with_output();
            let _ = done.send(());
            output
        });
        if waited.recv_timeout(LIMIT).is_err() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
            panic!("{argv:?} did not end within {LIMIT:?}");
        }
        let Output { status, stdout, stderr } = reader.join().expect("the reader ends").expect("the output is read");
        let _ = writer.join();
        Ran { code: status.code(), stdout, stderr }
    }

    /// Runs an `sbatch` there and waits for its job's end, whose code it has then, as with `--wait`: that one asks Slurm
    /// after 2, 10 and 42 seconds only. Standard output is the job's number.
    #[must_use]
    pub fn batch(self, argv: &[&str], input: &str) -> Ran {
        let words = argv.iter().flat_map(|word| [Some(*word), (*word == "sbatch").then_some("--parsable")]).flatten();
        let mut ran = self.run_with(&words.collect::<Vec<_>>(), input.as_bytes());
        if ran.code == Some(0) {
            ran.code = Some(job::end(&ran.text()));
        }
        ran
    }
}

fn testbed() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../target/debug/testbed")
}

/// The admin on the first compute node, and on the second.
pub const NODE1: At = At { user: "root", host: "node1" };
/// As [`NODE1`].
pub const NODE2: At = At { user: "root", host: "node2" };

/// The admin on the controller.
pub const CTL: At = At { user: "root", host: "ctl" };

/// The full reference of one of the testbed's images.
#[must_use]
pub fn image(name: &str) -> String {
    let output = Command::new(testbed()).args(["image", name]).output().expect("the testbed answers");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `--k8s-image=` with one of the testbed's images.
#[must_use]
pub fn in_image(name: &str) -> String {
    format!("--k8s-image={}", image(name))
}

/// Polls until it is true; fails the test after a minute with what was last seen.
pub fn until(what: &str, mut check: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match check() {
            Ok(()) => return,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within 60 s; last: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// sacct's view of a job once it has ended there: one line per step, `JobID|State|ExitCode|DerivedExitCode`.
#[must_use]
pub fn accounting(job: &str) -> String {
    let mut seen = String::new();
    until("sacct knows the job's end", || {
        let fields = "--format=JobID,State,ExitCode,DerivedExitCode";
        seen = ALICE.run(&["sacct", "-n", "-P", "-j", job, fields]).text();
        let open = ["RUNNING", "PENDING", "COMPLETING"];
        let ended = !seen.is_empty() && !open.iter().any(|state| seen.contains(state));
        ended.then_some(()).ok_or_else(|| seen.clone())
    });
    seen
}

/// Lets a requeued job start again: Slurm holds it back for two minutes. Not at once either: a launch in the second of
/// the last run's end is taken for that run's, and the job fails.
pub fn start_again(job: &str) {
    let update = ["scontrol", "update", &format!("JobId={job}"), "StartTime=now+3"];
    until("the job is pending", || {
        let state = ROOT.run(&["squeue", "-h", "-o", "%T", "-j", job]).text();
        (state == "PENDING").then_some(()).ok_or(state)
    });
    let _ = ROOT.run(&update).ok();
}

/// Waits until both kubelets take Pods again. One that has lost the API server for half a minute may look for it only a
/// minute later (client-go's reflector: 30 s, and up to as much again by chance); the next test's Pod would wait.
pub fn kubelets_follow() {
    let _ = ALICE.run(&["srun", "-Q", "-N2", "--mem=50M", &in_image("busybox"), "true"]).ok();
}

/// The names of our Pods, all namespaces.
#[must_use]
pub fn pods() -> String {
    ROOT.run(&["kubectl", "get", "pods", "-A", "-l", "app=slurm-job", "-o", "name"]).ok().text()
}

/// Waits until a job's Pods are gone.
pub fn no_pod_of(job: &str) {
    until("the job's Pods are gone", || {
        let label = format!("job-id={job}");
        let left = ROOT.run(&["kubectl", "get", "pods", "-A", "-l", &label, "-o", "name"]).ok().text();
        left.is_empty().then_some(()).ok_or(left)
    });
}

/// What a job has on a node beside its processes: run folders, grants, mounts.
#[must_use]
pub fn left_on(node: At, job: &str) -> Vec<String> {
    let script = "cd /run/slurm-k8s; ls -d pods/* mounts/* grants/*/* 2>/dev/null; grep -o '/run/slurm-k8s/mounts[^ ]*' /proc/mounts";
    let text = node.run(&["sh", "-c", script]).text();
    let sign = format!("/slurm-job-{job}-");
    text.lines().filter(|line| line.contains(&sign)).map(str::to_owned).collect()
}

/// Fails the test if a node is not ready for jobs.
pub fn nodes_are_up() {
    until("no node is drained or down", || {
        let states = ALICE.run(&["sinfo", "-h", "-N", "-o", "%N %T"]).ok().text();
        let bad = states.lines().any(|line| line.contains("drain") || line.contains("down"));
        if bad { Err(states) } else { Ok(()) }
    });
}

/// A fresh folder of the ordinary user's on the shared file system.
#[must_use]
pub fn scratch(name: &str) -> String {
    ALICE.run(&["mktemp", "-d", &format!("/mnt/nas/{name}.XXXXXX")]).ok().text()
}
