//! `slurm-k8s-agent`: one static binary for the task's end of the link and for the Pod's.

use std::path::Path;
use std::process::ExitCode;

use slurm_k8s_core::grant::{CONTAINER_RUN_DIR, SLURM_COMMANDS};
use slurm_k8s_core::honour;
use slurm_k8s_core::message::refuse;

mod agent;
mod environment;
mod exec;
mod held;
mod hello;
mod interpreter;
mod kept;
mod log;
mod output;
mod shim;
mod spawn;
mod task;
mod terminal;
mod tree;

fn main() -> ExitCode {
    // First of all: the environment of a container is the image's, which must not make this binary something else.
    if std::process::id() == 1 {
        return agent::main(Path::new(CONTAINER_RUN_DIR));
    }
    if let Some(name) = slurm_command() {
        return no_slurm_here(name);
    }
    // Before the arguments: they are the user's command.
    if std::env::var_os(shim::RUN_DIR).is_some() {
        return shim::main();
    }
    if stands_for_a_command() {
        return no_plugin_here();
    }
    let mut words = std::env::args_os().skip(1);
    match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("exec") => exec::main(),
        // For Pods that share a process namespace, and for tests.
        Some("agent") => agent::main(Path::new(&words.next().unwrap_or_else(|| CONTAINER_RUN_DIR.into()))),
        Some("--version") => {
            println!("slurm-k8s-agent {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("slurm-k8s-agent is started by Slurm and by Kubernetes; it is no command for users");
            ExitCode::from(2)
        }
    }
}

/// Whether Slurm has started this in place of a command that it has not put back.
fn stands_for_a_command() -> bool {
    let argument = std::env::args_os().nth(1);
    std::env::var_os(honour::COMMAND).is_some()
        || argument.is_some_and(|argument| honour::is_of_script(argument.as_encoded_bytes()))
}

fn no_plugin_here() -> ExitCode {
    let node = std::env::var("SLURMD_NODENAME").unwrap_or_else(|_| "this node".to_owned());
    shim::fail(&refuse::not_loaded(node))
}

/// The command of Slurm's that this binary was called as, in a Pod.
fn slurm_command() -> Option<&'static str> {
    let called = std::env::args_os().next()?;
    let name = Path::new(&called).file_name()?;
    SLURM_COMMANDS.iter().copied().find(|command| *command == name)
}

/// What a shell says of a command that is not there, and what helps.
fn no_slurm_here(name: &str) -> ExitCode {
    const NOT_FOUND: u8 = 127;
    eprintln!("spank-k8s: {name} cannot be used in a Pod");
    eprintln!(
        "spank-k8s: hint: let the batch script stay on the node, sbatch --k8s-batch=host: each srun in it runs in a Pod"
    );
    ExitCode::from(NOT_FOUND)
}
