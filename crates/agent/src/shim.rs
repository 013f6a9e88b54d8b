//! The task's end: what Slurm sees.
//!
//! It keeps Slurm's limits and signals for the process in the Pod, gives it Slurm's descriptors, and ends exactly as
//! that one ends.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::CpuSet;
use serde_bytes::ByteBuf;
use slurm_k8s_agent::link::message::{
    End, Failure, Hello, Ids, Io, Message, Role, Scope, Stage, Start, Terminal, VERSION, Workdir,
};
use slurm_k8s_agent::link::socket::{Link, LinkError};
use slurm_k8s_core::{exit_code, option};
use slurm_k8s_posix::Received;

use crate::held::Held;
use crate::task::plain;

/// The variable that makes this binary a shim: the Pod's run folder on the host.
pub const RUN_DIR: &str = "SPANK_K8S_SHIM_RUN_DIR";
/// All of the shim's own variables start like this; the user's process gets none of them.
const PREFIX: &str = "SPANK_K8S_SHIM_";
/// How many limits there are: numbers 0 to this (getrlimit(2)).
const LIMITS: u32 = 16;
const WINCH: i32 = 28;
/// How often, and how far apart, it is looked whether our words were read.
const WORDS_TRIES: u32 = 10;
const WORDS_PAUSE: Duration = Duration::from_millis(50);

pub fn main() -> ExitCode {
    // From here on no signal ends the shim before it decides to.
    let signals = match slurm_k8s_posix::take_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(exit_code::LOST, &format!("cannot take signals: {error}"), None),
    };
    match run(&signals) {
        Ok(code) => code,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
            fail(exit_code::LOST, &format!("{error}{cause}"), None)
        }
    }
}

fn fail(code: u8, message: &str, hint: Option<&str>) -> ExitCode {
    say(message);
    if let Some(hint) = hint {
        say(&format!("hint: {hint}"));
    }
    ExitCode::from(code)
}

/// One line, in one write. The other ends' words must not move the user's cursor.
fn say(text: &str) {
    use std::io::Write as _;
    SAID.store(true, Ordering::Relaxed);
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let _ = std::io::stderr().write_all(format!("spank-k8s: {text}\n").as_bytes());
}

static SAID: AtomicBool = AtomicBool::new(false);

/// Slurm loses what a task writes right before a signal kills it, now and then also without us (22.05): our own words
/// get the time to be read.
fn settle_words() {
    if !SAID.load(Ordering::Relaxed) {
        return;
    }
    for _ in 0..WORDS_TRIES {
        let waiting = rustix::io::ioctl_fionread(rustix::stdio::stderr()).unwrap_or(0);
        std::thread::sleep(WORDS_PAUSE);
        if waiting == 0 {
            return;
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(format!("{PREFIX}{name}"))
}

fn run(signals: &OwnedFd) -> Result<ExitCode, LinkError> {
    let run_dir = PathBuf::from(variable("RUN_DIR").unwrap_or_default());
    let task = variable("TASK").and_then(|task| task.to_str()?.parse().ok()).unwrap_or(0);
    let mut link = Link::connect(&run_dir.join("shim.sock"))?;
    link.send(&hello(Role::Shim, task, &run_dir)?, Vec::new())?;
    let held = Held::stdin();
    let start = start(task, held.as_ref().map(Held::changed));
    link.send(&Message::Start(Box::new(start)), streams()?)?;
    release()?;
    let end = serve(&mut link, signals, task, held.is_some())?;
    // Before any last words.
    drop(held);
    settle_words();
    Ok(conclude(end))
}

/// The first message of either end.
pub fn hello(role: Role, task: u32, run_dir: &Path) -> Result<Message, LinkError> {
    let groups = rustix::process::getgroups().map_err(std::io::Error::from)?;
    let mut groups: Vec<u32> = groups.iter().map(|gid| gid.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    let ids = Ids { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw(), groups };
    let token = std::fs::read(run_dir.join("token"))?;
    Ok(Message::Hello(Hello { version: VERSION, role, task, token, ids }))
}

/// Slurm's descriptors. The Rust runtime has opened `/dev/null` in place of any that was closed.
fn streams() -> Result<Vec<OwnedFd>, LinkError> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let copies = streams.iter().map(std::os::fd::BorrowedFd::try_clone_to_owned);
    Ok(copies.collect::<Result<_, _>>()?)
}

/// Lets go of stdin and stdout: when the process in the Pod has closed them, they are closed. stderr stays, for
/// messages.
fn release() -> Result<(), LinkError> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd()).map_err(std::io::Error::from)?;
    rustix::stdio::dup2_stdout(null.as_fd()).map_err(std::io::Error::from)?;
    Ok(())
}

fn start(task: u32, terminal: Option<Terminal>) -> Start {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let env = slurm_k8s_posix::environment().into_iter().map(ByteBuf::from);
    let limit = |n| slurm_k8s_posix::limit(n).map(|(soft, hard)| (n, soft, hard));
    let direct = variable("IO").is_some_and(|io| io == "direct");
    let tree = variable("SCOPE").is_some_and(|scope| scope == "tree");
    Start {
        task,
        argv: command(),
        env: env.filter(|entry| !entry.starts_with(PREFIX.as_bytes())).collect(),
        variables: variables(),
        workdir: workdir(),
        umask: umask.as_raw_mode(),
        rlimits: (0..LIMITS).filter_map(limit).collect(),
        cpus: cores(),
        nice: rustix::process::getpriority_process(None).unwrap_or(0),
        terminal,
        io: if direct { Io::Direct } else { Io::Tee },
        scope: if tree { Scope::Tree } else { Scope::Task },
    }
}

/// The shim was put in front of the command, or in the place of its first word, which then has a variable.
fn command() -> Vec<ByteBuf> {
    let words = std::env::args_os().skip(1);
    variable("ARGV0").into_iter().chain(words).map(|word| ByteBuf::from(word.into_vec())).collect()
}

/// The plugin has checked them; what is no list all the same is none.
fn variables() -> Vec<(ByteBuf, Option<ByteBuf>)> {
    let text = variable("ENV").map(OsString::into_vec).unwrap_or_default();
    let list = if text.is_empty() { Vec::new() } else { option::variable::parse(&text).unwrap_or_default() };
    list.into_iter().map(|own| (ByteBuf::from(own.name.into_bytes()), own.value.map(ByteBuf::from))).collect()
}

fn workdir() -> Workdir {
    let bytes = |path: OsString| ByteBuf::from(path.into_vec());
    if let Some(path) = variable("WORKDIR") {
        return Workdir::Explicit(bytes(path));
    }
    // A folder that is gone, or that only root could have entered, still has its name.
    let named = || std::env::var_os("PWD").unwrap_or_else(|| "/".into());
    let here = std::env::current_dir().map_or_else(|_| named(), PathBuf::into_os_string);
    Workdir::Inherited(bytes(here))
}

fn cores() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).filter_map(|core| core.try_into().ok()).collect()
}

/// Relays signals until the end is told; none if the link ends without that.
fn serve(link: &mut Link, signals: &OwnedFd, task: u32, terminal: bool) -> Result<Option<Message>, LinkError> {
    let mut started = false;
    loop {
        let open = wait(link, signals)?;
        // Before the signals: one that was sent after the start must not be taken for one before it.
        while let Some((message, _)) = link.ready() {
            match message {
                Message::Started { .. } => started = true,
                Message::Notice { text, .. } => say(&text),
                Message::Exited { .. } | Message::NotStarted { .. } | Message::Refused(_) => return Ok(Some(message)),
                _ => {}
            }
        }
        while let Some(received) = slurm_k8s_posix::next_signal(signals) {
            // A new size counts before the start too: the agent may have read the old one.
            let heard = started || (terminal && received.signo == WINCH);
            pass_on(link, received, task, heard)?;
        }
        if !open {
            return Ok(None);
        }
    }
}

/// Sleeps until a message or a signal comes, and reads the messages; false at the end of the link.
fn wait(link: &mut Link, signals: &OwnedFd) -> Result<bool, LinkError> {
    let out = if link.pending() { PollFlags::OUT } else { PollFlags::empty() };
    let mut fds = [PollFd::new(&*link, PollFlags::IN | out), PollFd::new(signals, PollFlags::IN)];
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    let [linked, _] = fds.map(|fd| fd.revents());
    link.flush()?;
    if linked.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
        return link.read();
    }
    Ok(true)
}

/// Ends as the other end says.
fn conclude(end: Option<Message>) -> ExitCode {
    match end {
        Some(Message::Exited { end: End::Code(code), .. }) => ExitCode::from(code),
        Some(Message::Exited { end: End::Signal(signo), .. }) => slurm_k8s_posix::die_by(signo),
        Some(Message::NotStarted { failure, .. }) => not_started(&failure),
        Some(Message::Refused(refusal)) => fail(refusal.code, &refusal.message, refusal.hint.as_deref()),
        _ => {
            let message = "the link to the Pod ended without a status; how the command ended is not known";
            fail(exit_code::LOST, message, None)
        }
    }
}

/// A signal goes to the process in the Pod. While there is none, it does to the shim what it would do to a process
/// that has no handler yet: cancelled before the start is cancelled.
fn pass_on(link: &mut Link, received: Received, task: u32, heard: bool) -> Result<(), LinkError> {
    const PIPE: i32 = 13;
    const CHLD: i32 = 17;
    const URG: i32 = 23;
    let Received { signo, sender } = received;
    // The first is our own: a message could not be printed. The others are between the kernel and a process.
    if (signo == PIPE && sender == std::process::id()) || matches!(signo, CHLD | URG) {
        return Ok(());
    }
    if heard {
        return link.send(&Message::Signal { task, signo }, Vec::new());
    }
    if ends_by_default(signo) {
        slurm_k8s_posix::die_by(signo);
    }
    Ok(())
}

/// signal(7): what does not end a process by default.
fn ends_by_default(signo: i32) -> bool {
    const CHLD: i32 = 17;
    const CONT: i32 = 18;
    const TSTP: i32 = 20;
    const TTIN: i32 = 21;
    const TTOU: i32 = 22;
    const URG: i32 = 23;
    !matches!(signo, CHLD | CONT | TSTP | TTIN | TTOU | URG | WINCH)
}

fn not_started(failure: &Failure) -> ExitCode {
    let what = String::from_utf8_lossy(&failure.what);
    let why = plain(&std::io::Error::from_raw_os_error(failure.errno));
    match failure.stage {
        // As plain Slurm: the errno is the exit code.
        Stage::Exec => {
            let code = u8::try_from(failure.errno).unwrap_or(exit_code::NOT_STARTED);
            fail(code, &format!("cannot run `{what}': {why}"), None)
        }
        Stage::Workdir => fail(
            exit_code::OPTION,
            &format!("--k8s-workdir: cannot change to `{what}' in the Pod: {why}"),
            Some("name a folder that the image has, or one of the site's mounts"),
        ),
        Stage::Limits => fail(exit_code::NOT_STARTED, &format!("cannot set {what} in the Pod: {why}"), None),
        Stage::Spawn => {
            fail(exit_code::NOT_STARTED, &format!("cannot start a process in the Pod: {what}: {why}"), None)
        }
    }
}
