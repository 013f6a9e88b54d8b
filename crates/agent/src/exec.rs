//! The second stage: this binary again, which makes itself what Slurm's task would have been and then becomes the
//! user's command.
//!
//! It reads a [`Start`] from one inherited pipe and tells a failure on another; execve closes that one, and the agent
//! then knows that the command runs.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use slurm_k8s_agent::link::message::{Failure, Stage, Start, Workdir};

use crate::environment;

/// `exec <number of the pipe to read> <number of the pipe to write>`
pub fn main() -> ExitCode {
    let number = |at| std::env::args().nth(at).and_then(|word| word.parse().ok());
    let (Some(spec), Some(result)) = (number(2), number(3)) else {
        return ExitCode::from(2);
    };
    let (Ok(spec), Ok(result)) = (slurm_k8s_posix::inherited(spec), slurm_k8s_posix::inherited(result)) else {
        return ExitCode::from(2);
    };
    let failure = match read(spec) {
        Ok(start) => become_command(&start),
        Err(failure) => failure,
    };
    if let Ok(bytes) = postcard::to_stdvec(&failure) {
        let _ = std::fs::File::from(result).write_all(&bytes);
    }
    ExitCode::from(125)
}

fn failure(stage: Stage, what: impl Into<Vec<u8>>, error: &std::io::Error) -> Failure {
    const EIO: i32 = 5;
    Failure { stage, what: what.into(), errno: error.raw_os_error().unwrap_or(EIO) }
}

fn read(spec: OwnedFd) -> Result<Start, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::from(spec)
        .read_to_end(&mut bytes)
        .map_err(|error| failure(Stage::Spawn, "the command cannot be read", &error))?;
    postcard::from_bytes(&bytes)
        .map_err(|error| failure(Stage::Spawn, "the command cannot be read", &std::io::Error::other(error)))
}

fn become_command(start: &Start) -> Failure {
    if let Err(failure) = take_over(start) {
        return failure;
    }
    let image: Vec<_> =
        std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
    let env = environment::merge(&start.env, &image);
    let Some((first, rest)) = start.argv.split_first() else {
        return failure(Stage::Exec, "", &std::io::Error::from_raw_os_error(2));
    };
    let name = OsStr::from_bytes(first);
    let path = env.get(b"PATH".as_slice()).map_or(environment::DEFAULT_PATH.as_bytes(), Vec::as_slice);
    let program = match look_up(name, path) {
        Ok(program) => program,
        Err(error) => return failure(Stage::Exec, first.to_vec(), &error),
    };
    let owned = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
    let error = Command::new(program)
        .arg0(name)
        .args(rest.iter().map(|word| OsStr::from_bytes(word)))
        .env_clear()
        .envs(env.iter().map(|(name, value)| (owned(name), owned(value))))
        .exec();
    failure(Stage::Exec, first.to_vec(), &error)
}

/// Limits, cores, nice value, mask and folder of the shim. Limits come last: a small one could stop the rest.
fn take_over(start: &Start) -> Result<(), Failure> {
    let folder = match &start.workdir {
        Workdir::Explicit(path) => Some((path, true)),
        Workdir::Inherited(path) => Some((path, false)),
    };
    if let Some((path, explicit)) = folder
        && let Err(error) = std::env::set_current_dir(OsStr::from_bytes(path))
    {
        if explicit {
            return Err(failure(Stage::Workdir, path.to_vec(), &error));
        }
        // Slurm's own fall-back, in its words.
        let shown = String::from_utf8_lossy(path);
        let reason = rustix::io::Errno::from_io_error(&error).map_or_else(|| error.to_string(), |e| e.to_string());
        let _ = writeln!(
            std::io::stderr(),
            "spank-k8s: couldn't chdir to `{shown}': {reason}: going to /tmp instead"
        );
        std::env::set_current_dir("/tmp")
            .or_else(|_| std::env::set_current_dir("/"))
            .map_err(|error| failure(Stage::Workdir, "/tmp", &error))?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(start.umask));
    let mut cpus = rustix::thread::CpuSet::new();
    for cpu in start.cpus.iter().filter_map(|cpu| usize::try_from(*cpu).ok()) {
        if cpu < rustix::thread::CpuSet::MAX_CPU {
            cpus.set(cpu);
        }
    }
    if !start.cpus.is_empty() {
        rustix::thread::sched_setaffinity(None, &cpus)
            .map_err(|error| failure(Stage::Limits, "the task's cores", &error.into()))?;
    }
    // A nice value below the container's own cannot be had without rights; Slurm's are 0 or above.
    let _ = rustix::process::setpriority_process(None, start.nice);
    for (resource, soft, hard) in &start.rlimits {
        // The grant has set hard limits already; where the kernel refuses (one was lower before), the soft one counts.
        let own = slurm_k8s_posix::limit(*resource).map_or(*hard, |(_, own)| own);
        let hard = (*hard).min(own);
        slurm_k8s_posix::set_limit(*resource, (*soft).min(hard), hard)
            .map_err(|error| failure(Stage::Limits, format!("limit {resource}"), &error))?;
    }
    Ok(())
}

/// execvp(3)'s search, but with its first error kept: EACCES tells more than ENOENT.
fn look_up(name: &OsStr, path: &[u8]) -> std::io::Result<PathBuf> {
    const ENOENT: i32 = 2;
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let mut error = std::io::Error::from_raw_os_error(ENOENT);
    if name.is_empty() {
        return Err(error);
    }
    for folder in path.split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        let program = Path::new(OsStr::from_bytes(folder)).join(name);
        if !program.is_file() {
            continue;
        }
        match rustix::fs::access(&program, rustix::fs::Access::EXEC_OK) {
            Ok(()) => return Ok(program),
            Err(found) => error = found.into(),
        }
    }
    Err(error)
}
