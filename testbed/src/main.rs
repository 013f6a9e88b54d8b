//! `cargo testbed`: a real Slurm and a real Kubernetes on one machine.

mod account;
mod command;
mod daemon;
mod host;
mod image;
mod kubernetes;
mod network;
mod paths;
mod process;
mod status;
mod step;
mod wait;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo testbed", about = "A real Slurm and a real Kubernetes on one machine")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring everything up, or mend what is broken
    Up,
    #[command(hide = true)]
    Keeper { name: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result: Result<(), Box<dyn std::error::Error>> = match arguments.action {
        Action::Up => up(),
        Action::Keeper { name } => host::keeper::run(&name).map(|_| ()).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut error: Option<&dyn std::error::Error> = Some(error.as_ref());
            while let Some(cause) = error {
                eprintln!("testbed: {cause}");
                error = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}
fn up() -> Result<(), Box<dyn std::error::Error>> {
    account::make_shared()?;
    step::step("hosts", || host::ALL.iter().try_for_each(|h| h.bring_up().map(|_| ())))?;
    step::step("network", || network::bring_up(host::ALL))?;
    kubernetes::up(host::NODES)?;
    Ok(())
}
