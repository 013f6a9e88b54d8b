//! The task's end: what Slurm sees.
//!
//! It keeps Slurm's limits and signals for the process in the Pod, gives it Slurm's descriptors, and ends exactly as
//! that one ends.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use slurm_k8s_agent::link::message::{End, Failure, Message, Role, Stage};
use slurm_k8s_agent::link::socket::{Link, LinkError};
use slurm_k8s_core::exit_code;
use slurm_k8s_core::message::{Refusal, refuse};
use slurm_k8s_posix::Received;

use crate::held::Held;
use crate::hello::hello;
use crate::task::plain;

use self::start::{start, variable};
pub use self::words::fail;
use self::words::say;

mod start;
mod words;

/// The variable that makes this binary a shim: the Pod's run folder on the host.
pub const RUN_DIR: &str = "SPANK_K8S_SHIM_RUN_DIR";
const WINCH: i32 = 28;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;

pub fn main() -> ExitCode {
    // From here on no signal ends the shim before it decides to.
    let signals = match slurm_k8s_posix::take_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(&refuse::shim(format!("cannot take signals: {error}"))),
    };
    match run(&signals) {
        Ok(code) => code,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
            fail(&refuse::shim(format!("{error}{cause}")))
        }
    }
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
    words::settle();
    Ok(conclude(end))
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

/// Relays signals until the end is told; none if the link ends without that.
fn serve(link: &mut Link, signals: &OwnedFd, task: u32, terminal: bool) -> Result<Option<Message>, LinkError> {
    let mut started = false;
    // What came before the process in the Pod, signal n as bit n - 1.
    let mut early = 0_u64;
    loop {
        let open = wait(link, signals)?;
        let had_started = started;
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
            // Read together with the start, nobody knows which was first; one that can wait comes to no harm by it.
            let waits = !had_started && matches!(before_start(received.signo), Early::Waits);
            early |= pass_on(link, received, task, heard && !waits)?;
        }
        if started && early != 0 {
            link.send(&Message::Pending { task, signals: early }, Vec::new())?;
            early = 0;
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
        Some(Message::Refused(refusal)) => fail(&refusal),
        _ => fail(&refuse::lost()),
    }
}

/// A signal goes to the process in the Pod. While there is none, one that is to end it does that at once: cancelled before
/// the start is cancelled. One that tells something is kept for it, and returned as its bit.
fn pass_on(link: &mut Link, received: Received, task: u32, heard: bool) -> Result<u64, LinkError> {
    const PIPE: i32 = 13;
    const CHLD: i32 = 17;
    const URG: i32 = 23;
    let Received { signo, sender } = received;
    // The first is our own: a message could not be printed. The others are between the kernel and a process.
    if (signo == PIPE && sender == std::process::id()) || matches!(signo, CHLD | URG) {
        return Ok(0);
    }
    if heard {
        return link.send(&Message::Signal { task, signo }, Vec::new()).map(|()| 0);
    }
    let bit = 1 << (signo - 1);
    let ignored = slurm_k8s_posix::ignored() & bit != 0;
    match before_start(signo) {
        Early::Ends if !ignored => slurm_k8s_posix::die_by(signo),
        Early::Waits => Ok(bit),
        _ => Ok(0),
    }
}

/// What becomes of a signal that comes before the process.
enum Early {
    /// It ends the task.
    Ends,
    /// It waits for the process.
    Waits,
    /// Nothing.
    Passes,
}

fn before_start(signo: i32) -> Early {
    const USR1: i32 = 10;
    const USR2: i32 = 12;
    const ALRM: i32 = 14;
    const CONT: i32 = 18;
    const TSTP: i32 = 20;
    const TTOU: i32 = 22;
    const XCPU: i32 = 24;
    const PWR: i32 = 30;
    const REAL_TIME: i32 = 32;
    match signo {
        WINCH | CONT | TSTP..=TTOU => Early::Passes,
        // XFSZ, VTALRM, PROF and IO are in between.
        USR1 | USR2 | ALRM | XCPU..=PWR | REAL_TIME.. => Early::Waits,
        _ => Early::Ends,
    }
}

fn not_started(failure: &Failure) -> ExitCode {
    let what = String::from_utf8_lossy(&failure.what);
    let why = plain(&std::io::Error::from_raw_os_error(failure.errno));
    match failure.stage {
        Stage::Exec if failure.errno == ENOENT => fail(&refuse::not_found(what, why)),
        Stage::Exec if failure.errno == EACCES => fail(&refuse::not_executable(what, why)),
        // As plain Slurm: the errno is the exit code.
        Stage::Exec => {
            let code = u8::try_from(failure.errno).unwrap_or(exit_code::NOT_STARTED);
            fail(&Refusal { code, ..refuse::no_program(what, why) })
        }
        Stage::Workdir => fail(&refuse::workdir(what, why)),
        Stage::Limits => fail(&refuse::limits(what, why)),
        Stage::Spawn => fail(&refuse::no_process(what, why)),
    }
}
