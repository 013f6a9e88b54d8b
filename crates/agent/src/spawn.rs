//! Starting one task: the second stage, and the pipes around it.

use std::io::{self, PipeReader, PipeWriter, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use slurm_k8s_agent::link::message::{Failure, Io, Stage, Start};

use crate::output::{self, Pumps};
use crate::terminal::{self, Terminal};

/// A task whose second stage runs.
pub struct Spawned {
    /// Its first process.
    pub pid: i32,
    /// What copies its streams.
    pub pumps: Pumps,
    /// Its terminal, if Slurm gave it one.
    pub terminal: Option<Terminal>,
    /// Ends when the command runs; before that, a [`Failure`] may come. It does not block.
    pub result: PipeReader,
}

/// A second stage that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The start message, as a file.
    #[error("the start message as a file")]
    Spec(#[source] io::Error),
    /// A pipe for its result or its output.
    #[error("a pipe")]
    Pipe(#[source] io::Error),
    /// Its terminal.
    #[error("a terminal")]
    Terminal(#[source] io::Error),
    /// The process.
    #[error("the agent's second stage")]
    Process(#[source] io::Error),
    /// A thread for its output.
    #[error("a thread for the output")]
    Thread(#[source] io::Error),
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        const EIO: i32 = 5;
        let what = error.to_string().into();
        let (SpawnError::Spec(cause)
        | SpawnError::Pipe(cause)
        | SpawnError::Terminal(cause)
        | SpawnError::Process(cause)
        | SpawnError::Thread(cause)) = error;
        Self { stage: Stage::Spawn, what, errno: cause.raw_os_error().unwrap_or(EIO) }
    }
}

/// Starts the second stage and does not wait for it.
pub fn spawn(start: &Start, streams: [OwnedFd; 3], notify: &PipeWriter) -> Result<Spawned, SpawnError> {
    let spec = spec(start).map_err(SpawnError::Spec)?;
    let (result, tell) = io::pipe().map_err(SpawnError::Pipe)?;
    rustix::io::ioctl_fionbio(&result, true).map_err(|error| SpawnError::Pipe(error.into()))?;
    let mut pumps = Pumps::new().map_err(SpawnError::Pipe)?;
    let (streams, terminal) = match start.terminal {
        None => (streams, None),
        Some(held) => {
            let (streams, own) = terminal::open(streams, held, &mut pumps).map_err(SpawnError::Terminal)?;
            (streams, Some(own))
        }
    };
    let [stdin, stdout, stderr] = streams;
    let (stdout, stderr) = match start.io {
        Io::Direct => (stdout, stderr),
        Io::Tee => output::tee(stdout, stderr, &mut pumps).map_err(SpawnError::Pipe)?,
    };
    // These two are for this child alone: no other thread starts processes, and here they are closed again below.
    for fd in [spec.as_fd(), tell.as_fd()] {
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).map_err(|error| SpawnError::Pipe(error.into()))?;
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("exec")
        .arg(spec.as_raw_fd().to_string())
        .arg(tell.as_raw_fd().to_string())
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    // With a terminal it makes a session of its own, which the leader of a group cannot.
    if terminal.is_none() {
        command.process_group(0);
    }
    let child = command.spawn().map_err(SpawnError::Process)?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    if let Err(error) = pumps.start(notify) {
        let _ = slurm_k8s_posix::kill(pid, 9);
        return Err(SpawnError::Thread(error));
    }
    Ok(Spawned { pid, pumps, terminal, result })
}

fn spec(start: &Start) -> io::Result<OwnedFd> {
    let bytes = postcard::to_stdvec(start).map_err(io::Error::other)?;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("start", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file.into())
}
