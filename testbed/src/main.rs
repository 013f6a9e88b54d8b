//! `cargo testbed`: a real Slurm and a real Kubernetes on one machine.

mod account;
mod api_proxy;
mod command;
mod daemon;
mod database;
mod down;
mod exec;
mod fault;
mod folder;
mod go_program;
mod host;
mod image;
mod kubernetes;
mod logs;
mod munge;
mod network;
mod packages;
mod paths;
mod process;
mod product;
mod site;
mod slurm;
mod status;
mod step;
mod system;
mod up;
mod wait;

use clap::{Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
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
    Up {
        /// The Slurm version: 22.05, 24.11 or 26.05; another one than before begins anew
        #[arg(long, default_value = "22.05")]
        slurm: String,
        /// How many compute nodes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
        nodes: u8,
    },
    /// Show what is ready; exit code 1 when something is not
    Status,
    /// Take everything away
    Down,
    /// Install the present build of spank-k8s on the hosts
    Install,
    /// Run a command on a host
    Exec {
        /// The user: alice, bob, root
        #[arg(long, default_value = "alice")]
        user: String,
        /// The host: login, ctl, node1, node2
        #[arg(long, default_value = "login")]
        host: String,
        /// The working directory there; the user's home without it
        #[arg(long)]
        cwd: Option<String>,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show the daemons' logs
    Logs {
        /// Of this host
        host: Option<String>,
        /// Of this daemon, the whole of it
        daemon: Option<String>,
    },
    /// Print the full reference of an image in the testbed's registry
    Image {
        /// busybox, distroless, userland or hostile
        name: String,
    },
    /// Print the folder of the system with this Slurm, making it if need be: its headers are in usr/include/slurm
    #[command(hide = true)]
    System { slurm: String },
    /// Break something on purpose
    Fault {
        /// apiserver, kubelet, containerd, registry, slurmd, slurmctld, network, disk, registry-slow, credentials,
        /// api-slow, api-error=CODE, api-cut or api-silent; @HOST chooses the host
        ///
        /// The last four are the API server as the plugin finds it, on all nodes without @HOST: each answer is
        /// 3 seconds late (api-slow=MS: so many milliseconds; 0: it only stands in the way), is an error, or does not
        /// come and the connection is closed, or stays open. To start one while another is on changes at once what is asked. To stop
        /// one ends them all; jobs that began meanwhile lose the API server, so let them end with api-slow=0 first.
        name: String,
        /// Begin or end it
        action: Phase,
    },
    /// What of the testbed is on this machine
    #[command(hide = true)]
    Leftovers,
    /// Stand in front of the API server
    #[command(hide = true)]
    ApiProxy,
    /// Be a slow way to the registry
    #[command(hide = true)]
    RegistryRelay,
    /// Hold a host's namespaces
    #[command(hide = true)]
    Keeper { name: String, system: Option<std::path::PathBuf> },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    Start,
    Stop,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match act(arguments.action) {
        Ok(code) => code,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(error.as_ref());
            while let Some(present) = cause {
                eprintln!("testbed: {present}");
                cause = present.source();
            }
            ExitCode::from(error.downcast_ref().map_or(1, exec::ExecError::exit_code))
        }
    }
}

fn act(action: Action) -> Result<ExitCode, Box<dyn Error>> {
    let all_well = match action {
        Action::Up { slurm, nodes } => {
            limits();
            up::run(&slurm, nodes.into())?
        }
        Action::Status => {
            let rows = status::rows(&site::Site::load()?);
            print!("{}", status::table(&rows));
            rows.iter().all(|row| row.ready)
        }
        Action::Down => down::run().map(|()| true)?,
        Action::Install => {
            limits();
            up::install().map(|()| true)?
        }
        Action::Exec { user, host, cwd, command } => match exec::run(&user, &host, cwd.as_deref(), &command)? {},
        Action::Logs { host, daemon } => logs::run(host.as_deref(), daemon.as_deref()).map(|()| true)?,
        Action::Image { name } => up::image(&name).map(|()| true)?,
        Action::System { slurm } => up::system(&slurm).map(|()| true)?,
        Action::Fault { name, action } => {
            limits();
            fault::run(&name, action == Phase::Start).map(|()| true)?
        }
        Action::Leftovers => {
            let left = down::leftovers();
            left.iter().for_each(|line| println!("{line}"));
            left.is_empty()
        }
        Action::ApiProxy => match api_proxy::run()? {},
        Action::RegistryRelay => match image::relay::run()? {},
        Action::Keeper { name, system } => match host::keeper::run(&name, system.as_deref())? {},
    };
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What every daemon inherits, whoever calls: a usual umask, no files, and the right to open all that are allowed.
fn limits() {
    process::close_inherited();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let files = getrlimit(Resource::Nofile);
    // With fewer files the daemons still run.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}
