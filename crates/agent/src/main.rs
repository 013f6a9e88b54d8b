//! `slurm-k8s-agent`: one static binary for the task's end of the link and for the Pod's.

use std::process::ExitCode;

mod agent;
mod environment;
mod exec;
mod output;
mod shim;
mod spawn;
mod tree;

fn main() -> ExitCode {
    if std::env::var_os(shim::RUN_DIR).is_some() {
        return shim::main();
    }
    match std::env::args().nth(1).as_deref() {
        Some("exec") => exec::main(),
        None => agent::main(),
        Some("--version") => {
            println!("slurm-k8s-agent {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(_) => {
            eprintln!("slurm-k8s-agent is started by Slurm and by Kubernetes; it takes no arguments");
            ExitCode::from(2)
        }
    }
}
