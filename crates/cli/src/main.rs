//! `slurm-k8s`: the command line for users and admins.

mod account;
mod clock;
mod cluster;
mod collect;
mod disk;
mod doctor;
mod entry;
mod gc;
mod journal;
mod man;
mod namespace;
mod report;
mod site;
mod slurm;
mod style;
mod textfile;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "slurm-k8s", version, about = "Slurm jobs in Kubernetes Pods", max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the summaries of jobs that have ended, with checksums, into their results folders
    Collect(collect::Arguments),
    /// One job, as its user
    #[command(name = collect::COMMAND, hide = true)]
    CollectJob,
    /// One of the site's programs, after a job
    #[command(name = collect::KEEPER, hide = true)]
    CollectHook,
    /// Say what is wrong on this host, and what mends it
    Doctor(doctor::Arguments),
    /// Delete Pods that Slurm left behind
    Gc(gc::Arguments),
    /// Write the man pages, for packages
    #[command(hide = true)]
    Man(man::Arguments),
    /// Make users' own namespaces
    #[command(subcommand)]
    Namespace(namespace::Command),
    /// Check batch scripts before they are submitted
    Validate(validate::Arguments),
    /// Submit the batch scripts that users put into the site's submit folder
    Watch(watch::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Collect(arguments) => {
            collect::run(&arguments).await.unwrap_or_else(|error| failed(&error, error.hint()))
        }
        Command::CollectJob => collect::gather(),
        Command::CollectHook => collect::keep(),
        Command::Doctor(arguments) => doctor::run(&arguments).await,
        Command::Gc(arguments) => gc::run(&arguments).await.unwrap_or_else(|error| failed(&error, error.hint())),
        Command::Man(arguments) => {
            man::run(&arguments, Arguments::command()).unwrap_or_else(|error| failed(&error, None))
        }
        Command::Namespace(command) => {
            namespace::run(&command).await.unwrap_or_else(|error| failed(&error, error.hint()))
        }
        Command::Validate(arguments) => validate::run(&arguments).await.unwrap_or_else(|error| {
            report::error(&error, error.hint());
            validate::unusable()
        }),
        Command::Watch(arguments) => watch::run(&arguments).await.unwrap_or_else(|error| failed(&error, error.hint())),
    }
}

fn failed(error: &dyn std::error::Error, hint: Option<&str>) -> ExitCode {
    report::error(error, hint);
    ExitCode::FAILURE
}
