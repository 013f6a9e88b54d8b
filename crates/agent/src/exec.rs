//! The second stage: this binary again, which makes itself what Slurm's task would have been and then becomes the
//! user's command.
//!
//! It reads a [`Start`] from one inherited descriptor and tells a failure on another; execve closes that one, and the
//! agent then knows that the command runs.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::thread::CpuSet;
use slurm_k8s_agent::link::message::{Failure, Stage, Start, Workdir};
use slurm_k8s_core::grant::{COMMANDS, CONTAINER_RUN_DIR, ENTRYPOINT_FILE};

use crate::task::plain;
use crate::{environment, interpreter};

const ENOENT: i32 = 2;
const EIO: i32 = 5;

/// `exec <number of the file to read> <number of the pipe to write>`
pub fn main() -> ExitCode {
    let number = |at| std::env::args_os().nth(at)?.to_str()?.parse().ok();
    let (Some(spec), Some(result)) = (number(2), number(3)) else {
        return ExitCode::from(2);
    };
    let inherited = (slurm_k8s_posix::inherited(spec), slurm_k8s_posix::inherited(result));
    let (Ok(spec), Ok(result)) = inherited else {
        return ExitCode::from(2);
    };
    let Err(failure) = read(spec).and_then(|start| become_command(&start));
    if let Ok(bytes) = postcard::to_stdvec(&failure) {
        let _ = std::fs::File::from(result).write_all(&bytes);
    }
    ExitCode::from(125)
}

fn failed(stage: Stage, what: impl Into<Vec<u8>>) -> impl FnOnce(std::io::Error) -> Failure {
    let what = what.into();
    move |error| Failure { stage, what, errno: error.raw_os_error().unwrap_or(EIO) }
}

fn read(spec: OwnedFd) -> Result<Start, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::from(spec)
        .read_to_end(&mut bytes)
        .and_then(|_| postcard::from_bytes(&bytes).map_err(std::io::Error::other))
        .map_err(failed(Stage::Spawn, "the command cannot be read"))
}

fn become_command(start: &Start) -> Result<Infallible, Failure> {
    if start.terminal.is_some() {
        take_terminal().map_err(failed(Stage::Spawn, "its terminal"))?;
    }
    let mut lower = slurm_k8s_posix::environment();
    if let Some(meeting) = &start.meeting {
        // Above the image's own: these are facts of this step.
        lower.splice(..0, environment::meeting(meeting, &start.env, &lower));
    }
    let mut env = environment::merge(&start.env, &lower, &start.variables);
    let commands = Path::new(CONTAINER_RUN_DIR).join(COMMANDS);
    if commands.is_dir() {
        environment::append_to_path(&mut env, commands.as_os_str().as_bytes());
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(start.umask & 0o777));
    change_folder(&start.workdir)?;
    choose_cores(&start.cpus).map_err(failed(Stage::Limits, "the task's cores"))?;
    // A nice value below the container's own cannot be had without rights.
    let _ = rustix::process::setpriority_process(None, start.nice);
    let first = start.argv.first().map_or(b"".as_slice(), |first| first.as_slice());
    let on_exec = || failed(Stage::Exec, first);
    let (program, argv) = command(start, &env).map_err(on_exec())?;
    let env = strings(env.iter().map(Vec::as_slice)).map_err(on_exec())?;
    // As Slurm's tasks have them: none blocked, and what slurmd was started with stays ignored.
    slurm_k8s_posix::ignore_only(start.ignored);
    slurm_k8s_posix::unblock_signals().map_err(failed(Stage::Spawn, "its signals"))?;
    // Last: a small one could stop the rest.
    set_limits(&start.rlimits)?;
    Err(on_exec()(slurm_k8s_posix::execve(&program, &argv, &env)))
}

/// stdin becomes the terminal that controls this process's own session, as Slurm's task has it.
fn take_terminal() -> std::io::Result<()> {
    rustix::process::setsid()?;
    Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
}

fn strings<'a>(list: impl Iterator<Item = &'a [u8]>) -> std::io::Result<Vec<CString>> {
    list.map(|bytes| Ok(CString::new(bytes)?)).collect()
}

/// The program and its arguments. As Slurm has it, the path that was found is also the first argument.
fn command(start: &Start, env: &[Vec<u8>]) -> std::io::Result<(CString, Vec<CString>)> {
    let path = environment::value(env, b"PATH").unwrap_or(environment::DEFAULT_PATH.as_bytes());
    let mut before = entrypoint();
    if let Some(file) = start.argv.first().filter(|_| start.interpreted) {
        before.extend(interpreter::find(file)?);
    }
    let mut words = before.iter().map(Vec::as_slice).chain(start.argv.iter().map(|word| word.as_slice()));
    let first = words.next().ok_or(std::io::Error::from_raw_os_error(ENOENT))?;
    let program = CString::new(look_up(first, path)?.into_os_string().into_vec())?;
    let mut argv = vec![program.clone()];
    argv.extend(strings(words)?);
    Ok((program, argv))
}

/// The image's entrypoint, if the user wants it: the runtime has put it there then.
fn entrypoint() -> Vec<Vec<u8>> {
    let path = Path::new(CONTAINER_RUN_DIR).join(ENTRYPOINT_FILE);
    let text = std::fs::read(path).unwrap_or_default();
    let words = text.split_inclusive(|byte| *byte == 0);
    words.map(|word| word.strip_suffix(b"\0").unwrap_or(word).to_vec()).collect()
}

fn change_folder(workdir: &Workdir) -> Result<(), Failure> {
    let (path, explicit) = match workdir {
        Workdir::Explicit(path) => (path, true),
        Workdir::Inherited(path) => (path, false),
    };
    let Err(error) = std::env::set_current_dir(OsStr::from_bytes(path)) else {
        return Ok(());
    };
    if explicit {
        return Err(failed(Stage::Workdir, path.to_vec())(error));
    }
    // Slurm's own fall-back, in its words.
    let shown = String::from_utf8_lossy(path);
    let reason = plain(&error);
    let _ = writeln!(std::io::stderr(), "spank-k8s: couldn't chdir to `{shown}': {reason}: going to /tmp instead");
    std::env::set_current_dir("/tmp")
        .or_else(|_| std::env::set_current_dir("/"))
        .map_err(failed(Stage::Workdir, "/tmp"))
}

fn choose_cores(list: &[u32]) -> std::io::Result<()> {
    let mut cores = CpuSet::new();
    let known = list.iter().filter_map(|core| usize::try_from(*core).ok());
    for core in known.filter(|core| *core < CpuSet::MAX_CPU) {
        cores.set(core);
    }
    if cores.count() > 0 {
        rustix::thread::sched_setaffinity(None, &cores)?;
    }
    Ok(())
}

/// The grant has set the hard limits already; where one is lower all the same, no more than that can be had.
fn set_limits(list: &[(u32, u64, u64)]) -> Result<(), Failure> {
    for (resource, soft, hard) in list {
        let own = slurm_k8s_posix::limit(*resource).map_or(*hard, |(_, own)| own);
        let hard = (*hard).min(own);
        slurm_k8s_posix::set_limit(*resource, (*soft).min(hard), hard)
            .map_err(failed(Stage::Limits, format!("limit {resource}")))?;
    }
    Ok(())
}

/// execvp(3)'s search. EACCES tells more than ENOENT.
fn look_up(name: &[u8], path: &[u8]) -> std::io::Result<PathBuf> {
    let name = OsStr::from_bytes(name);
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
