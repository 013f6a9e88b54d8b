//! `slurm-k8s`: the command line for users and admins.

mod cluster;
mod gc;
mod report;
mod site;
mod slurm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "slurm-k8s", version, about = "Slurm jobs in Kubernetes Pods", max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Delete Pods that Slurm left behind
    Gc(gc::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Gc(arguments) => gc::run(&arguments).await,
    };
    result.unwrap_or_else(|error| {
        report::error(&error, error.hint());
        ExitCode::FAILURE
    })
}
