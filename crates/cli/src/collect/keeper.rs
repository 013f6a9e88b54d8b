//! The process between the collector and one of the site's programs. What the program leaves behind becomes this one's child,
//! also what has a session of its own, so that nothing of it outlives the program.

use std::io::{BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, kill_process_group, pidfd_open, wait};
use serde::{Deserialize, Serialize};
use slurm_k8s_posix::{Login, start_as};

use crate::report;

/// The subcommand that it runs.
pub const COMMAND: &str = "collect-hook";
/// A killed process may hang in a file system.
const BURIAL: Duration = Duration::from_secs(4);
/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(5);

/// What is to be run; it has this process's environment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The program.
    pub program: PathBuf,
    /// As whom.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// After so many seconds it is killed, whatever else happens.
    pub seconds: u32,
}

/// How it came out.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started: why.
    Not(String),
}

/// Reads the order, does it, and tells; when nobody waits for that any more, the program is killed.
pub fn run() -> ExitCode {
    let mut text = String::new();
    let order = std::io::stdin().lock().read_line(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
    let Some(order) = order else { return ExitCode::FAILURE };
    let ended = keep(&order).unwrap_or_else(|error| Ended::Not(report::chain(&error)));
    let line = serde_json::to_string(&ended).unwrap_or_default();
    let _ = writeln!(std::io::stdout().lock(), "{line}");
    ExitCode::SUCCESS
}

fn keep(order: &Order) -> std::io::Result<Ended> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut command = Command::new(&order.program);
    let login = Login {
        uid: order.uid,
        gid: order.gid,
        groups: order.groups.clone(),
        folder: c"/".into(),
        umask: 0o022,
        seconds: order.seconds,
    };
    start_as(&mut command, login);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let waited = wait_for(&child);
    // Not reaped yet, so that the number is still its own.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    let status = waited.and_then(|()| child.wait());
    bury();
    let status = status?;
    Ok(status.signal().map_or_else(|| Ended::Code(status.code().unwrap_or(-1)), Ended::Signal))
}

/// Until it has ended, or the collector has closed its end.
fn wait_for(child: &Child) -> std::io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidData)?;
    let (pidfd, stdin) = (pidfd_open(pid, PidfdFlags::empty())?, std::io::stdin());
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::empty())];
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    Ok(())
}

/// Kills what it has left. What these have started is ours when they are gone.
fn bury() {
    let end = Instant::now() + BURIAL;
    while Instant::now() < end {
        // Nobody else reaps them, so the numbers are theirs.
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// This process's children (proc(5)).
fn children() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let numbers: Vec<_> =
        lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    numbers.iter().filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
}
