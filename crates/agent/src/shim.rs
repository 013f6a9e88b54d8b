//! The task's end: what Slurm sees.
//!
//! It keeps Slurm's descriptors, limits and signals for the process in the Pod, and ends exactly as that one ends.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use serde_bytes::ByteBuf;
use slurm_k8s_agent::link::message::{
    End, Failure, Hello, Ids, Io, Message, Role, Scope, Stage, Start, VERSION, Workdir,
};
use slurm_k8s_agent::link::socket::{Link, LinkError};

/// The variable that makes this binary a shim: the Pod's run folder on the host.
pub const RUN_DIR: &str = "SPANK_K8S_SHIM_RUN_DIR";
/// All of the shim's own variables start like this; the user's process gets none of them.
const PREFIX: &str = "SPANK_K8S_SHIM_";

const START: u8 = 123;
const OPTION: u8 = 124;
const LOST: u8 = 125;

pub fn main() -> ExitCode {
    // From here on no signal ends the shim before it decides to.
    let signals = match slurm_k8s_posix::take_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(LOST, &format!("cannot take signals: {error}"), None),
    };
    match run(&signals) {
        Ok(code) => code,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
            fail(LOST, &format!("{error}{cause}"), None)
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

/// One line, in one write.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(format!("spank-k8s: {text}\n").as_bytes());
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(format!("{PREFIX}{name}"))
}

fn run(signals: &OwnedFd) -> Result<ExitCode, LinkError> {
    let run_dir = PathBuf::from(variable("RUN_DIR").unwrap_or_default());
    let task = variable("TASK").and_then(|task| task.to_str()?.parse().ok()).unwrap_or(0);
    let mut link = Link::connect(&run_dir.join("shim.sock"))?;
    link.send(&hello(Role::Shim, task, &run_dir)?, &[])?;
    let spare = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let streams = streams(&spare);
    link.send(&Message::Start(Box::new(start(task))), &streams)?;
    drop(spare);
    serve(&mut link, signals, task)
}

/// The first message of either end.
pub fn hello(role: Role, task: u32, run_dir: &Path) -> Result<Message, LinkError> {
    let mut groups: Vec<u32> =
        rustix::process::getgroups().map_err(std::io::Error::from)?.iter().map(|gid| gid.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    let ids = Ids {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        groups,
    };
    let token = std::fs::read(run_dir.join("token"))?;
    Ok(Message::Hello(Hello { version: VERSION, role, task, token, ids }))
}

/// Slurm's descriptors; `/dev/null` for one that is closed.
fn streams(spare: &std::fs::File) -> [BorrowedFd<'_>; 3] {
    let open = |fd: BorrowedFd<'static>| rustix::io::fcntl_getfd(fd).is_ok().then_some(fd);
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .map(|fd| open(fd).unwrap_or_else(|| spare.as_fd()))
}

fn start(task: u32) -> Start {
    let mut argv: Vec<_> = std::env::args_os().map(|word| ByteBuf::from(word.into_vec())).collect();
    match (variable("ARGV0"), argv.first_mut()) {
        (Some(first), Some(word)) => *word = ByteBuf::from(first.into_vec()),
        _ => drop(argv.splice(..argv.len().min(1), [])),
    }
    let env = std::env::vars_os()
        .filter(|(name, _)| !name.as_bytes().starts_with(PREFIX.as_bytes()))
        .map(|(name, value)| ByteBuf::from([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect();
    let bytes = |path: PathBuf| ByteBuf::from(path.into_os_string().into_vec());
    let workdir = match variable("WORKDIR") {
        Some(path) => Workdir::Explicit(ByteBuf::from(path.into_vec())),
        None => Workdir::Inherited(bytes(std::env::current_dir().unwrap_or_else(|_| "/".into()))),
    };
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let cpus = rustix::thread::sched_getaffinity(None).map_or_else(
        |_| Vec::new(),
        |set| (0..4096).filter(|cpu| *cpu < rustix::thread::CpuSet::MAX_CPU && set.is_set(*cpu)).filter_map(|cpu| u32::try_from(cpu).ok()).collect(),
    );
    Start {
        task,
        argv,
        env,
        workdir,
        umask: umask.as_raw_mode(),
        rlimits: (0..16).filter_map(|n| slurm_k8s_posix::limit(n).map(|(soft, hard)| (n, soft, hard))).collect(),
        cpus,
        nice: rustix::process::getpriority_process(None).unwrap_or(0),
        io: if variable("IO").is_some_and(|io| io == "direct") { Io::Direct } else { Io::Tee },
        scope: if variable("SCOPE").is_some_and(|scope| scope == "tree") { Scope::Tree } else { Scope::Task },
    }
}

/// Relays signals until the end is told.
fn serve(link: &mut Link, signals: &OwnedFd, task: u32) -> Result<ExitCode, LinkError> {
    let mut started = false;
    loop {
        while let Some((message, _)) = link.ready() {
            match message {
                Message::Started { .. } => started = true,
                Message::Notice { text, .. } => say(&text),
                Message::Exited { end: End::Code(code), .. } => return Ok(ExitCode::from(code)),
                Message::Exited { end: End::Signal(signo), .. } => slurm_k8s_posix::die_by(signo),
                Message::NotStarted { failure, .. } => return Ok(not_started(&failure)),
                Message::Refused(refusal) => {
                    return Ok(fail(refusal.code, &refusal.message, refusal.hint.as_deref()));
                }
                _ => {}
            }
        }
        let mut fds = [PollFd::new(&*link, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let [linked, signalled] = fds.map(|fd| !fd.revents().is_empty());
        if signalled {
            while let Some(signo) = slurm_k8s_posix::next_signal(signals) {
                if started {
                    link.send(&Message::Signal { task, signo }, &[])?;
                } else if ends_by_default(signo) {
                    // There is no process yet: cancelled before the start is cancelled.
                    slurm_k8s_posix::die_by(signo);
                }
            }
        }
        if linked && !link.read()? {
            return Ok(fail(LOST, "the link to the Pod ended without a status; how the command ended is not known", None));
        }
    }
}

/// signal(7): what does not end a process by default.
fn ends_by_default(signo: i32) -> bool {
    const CHLD: i32 = 17;
    const CONT: i32 = 18;
    const TSTP: i32 = 20;
    const TTIN: i32 = 21;
    const TTOU: i32 = 22;
    const URG: i32 = 23;
    const WINCH: i32 = 28;
    !matches!(signo, CHLD | CONT | TSTP | TTIN | TTOU | URG | WINCH)
}

fn not_started(failure: &Failure) -> ExitCode {
    let what = String::from_utf8_lossy(&failure.what);
    let error = rustix::io::Errno::from_raw_os_error(failure.errno);
    match failure.stage {
        // As plain Slurm: the errno is the exit code.
        Stage::Exec => fail(
            u8::try_from(failure.errno).unwrap_or(START),
            &format!("cannot run {what:?} in the Pod: {error}"),
            None,
        ),
        Stage::Workdir => fail(
            OPTION,
            &format!("--k8s-workdir: cannot change to {what:?} in the Pod: {error}"),
            Some("name a folder that the image has, or one of the site's mounts"),
        ),
        Stage::Limits => fail(START, &format!("cannot set {what} in the Pod: {error}"), None),
        Stage::Spawn => fail(START, &format!("cannot start a process in the Pod: {what}: {error}"), None),
    }
}
