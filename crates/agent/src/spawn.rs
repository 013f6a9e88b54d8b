//! Starting one task: the second stage, and the pipes around it.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use slurm_k8s_agent::link::message::{Failure, Io, Stage, Start};

use crate::output::{self, Pumps};

/// A started task.
pub struct Spawned {
    /// Its first process.
    pub pid: i32,
    /// What copies its output; none with direct io.
    pub pumps: Option<Pumps>,
}

/// Starts the task and returns when its command runs, or why it does not.
pub fn spawn(start: &Start, streams: [OwnedFd; 3], notify: &std::io::PipeWriter) -> Result<Spawned, Failure> {
    let failed = |what: &str, error: &std::io::Error| Failure {
        stage: Stage::Spawn,
        what: what.into(),
        errno: error.raw_os_error().unwrap_or(5),
    };
    let pipe = || std::io::pipe().map_err(|error| failed("pipe", &error));
    let (spec_in, mut spec_out) = pipe()?;
    let (mut result_in, result_out) = pipe()?;
    let [stdin, stdout, stderr] = streams;
    let (stdout, stderr, pumps) = match start.io {
        Io::Direct => (stdout, stderr, None),
        Io::Tee => {
            let (stdout, stderr, pumps) = output::tee(stdout, stderr).map_err(|error| failed("pipe", &error))?;
            (stdout, stderr, Some(pumps))
        }
    };
    // These two are for the child alone; it closes them on its execve.
    for fd in [rustix::fd::AsFd::as_fd(&spec_in), rustix::fd::AsFd::as_fd(&result_out)] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).map_err(|e| failed("pipe", &e.into()))?;
    }
    let program = std::env::current_exe().map_err(|error| failed("agent", &error))?;
    let child = Command::new(program)
        .arg("exec")
        .arg(spec_in.as_raw_fd().to_string())
        .arg(result_out.as_raw_fd().to_string())
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0)
        .spawn()
        .map_err(|error| failed("agent", &error))?;
    drop((spec_in, result_out));
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let bytes = postcard::to_stdvec(start)
        .map_err(|error| failed("command", &std::io::Error::other(error)))?;
    // If the second stage died before it read, its result tells.
    let _ = spec_out.write_all(&bytes);
    drop(spec_out);
    let mut told = Vec::new();
    result_in.read_to_end(&mut told).map_err(|error| failed("result", &error))?;
    if told.is_empty() {
        return Ok(Spawned { pid, pumps: pumps.map(|pumps| pumps.start(notify)) });
    }
    Err(postcard::from_bytes(&told)
        .unwrap_or_else(|error| failed("result", &std::io::Error::other(error))))
}
