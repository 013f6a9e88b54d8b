//! What Slurm gave this task, for the process in the Pod.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::thread::CpuSet;
use serde_bytes::ByteBuf;
use slurm_k8s_agent::link::message::{Io, Scope, Start, Terminal, Workdir};
use slurm_k8s_core::option;

/// All of the shim's own variables start like this; the user's process gets none of them.
const PREFIX: &str = "SPANK_K8S_SHIM_";
/// How many limits there are: numbers 0 to this (getrlimit(2)).
const LIMITS: u32 = 16;
/// SIGPIPE: the Rust runtime has this process ignore it; Slurm gives it to each task by default.
const OWN: u64 = 1 << (13 - 1);

/// One of the shim's own variables.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(format!("{PREFIX}{name}"))
}

/// The whole of it: the shim is what the process in the Pod is to be.
pub fn start(task: u32, terminal: Option<Terminal>) -> Start {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let env = slurm_k8s_posix::environment().into_iter().map(ByteBuf::from);
    let limit = |n| slurm_k8s_posix::limit(n).map(|(soft, hard)| (n, soft, hard));
    let direct = variable("IO").is_some_and(|io| io == "direct");
    let tree = variable("SCOPE").is_some_and(|scope| scope == "tree");
    Start {
        task,
        argv: command(),
        interpreted: variable("FILE").is_some(),
        env: env.filter(|entry| !entry.starts_with(PREFIX.as_bytes())).collect(),
        variables: variables(),
        workdir: workdir(),
        umask: umask.as_raw_mode(),
        rlimits: (0..LIMITS).filter_map(limit).collect(),
        cpus: cores(),
        nice: rustix::process::getpriority_process(None).unwrap_or(0),
        ignored: slurm_k8s_posix::ignored() & !OWN,
        terminal,
        io: if direct { Io::Direct } else { Io::Tee },
        scope: if tree { Scope::Tree } else { Scope::Task },
        meeting: None,
    }
}

/// The shim was put in front of the command, or in the place of its first word, which then has a variable. A file that
/// a batch script without commands stands for is in that script's place.
fn command() -> Vec<ByteBuf> {
    let words = std::env::args_os().skip(1);
    let words = variable("ARGV0").into_iter().chain(words);
    let file = variable("FILE");
    let replaced = usize::from(file.is_some());
    file.into_iter().chain(words.skip(replaced)).map(|word| ByteBuf::from(word.into_vec())).collect()
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
