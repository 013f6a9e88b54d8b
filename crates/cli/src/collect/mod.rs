//! `slurm-k8s collect`: when the job of a Pod has ended, its results folder gets a summary and checksums, Slurm's accounting gets
//! what it used, and the site's own programs are run. What it decides is in `slurm_k8s_core::collect`.
//!
//! Jobs name themselves in a folder ([`queue`]); [`slurm`] says which of them have ended; [`work`] brings one to its end, with
//! a process that is the job's user ([`child`], [`gather`]), and runs the site's programs ([`hook`], [`keeper`]); [`service`] does
//! that for several at once. Everything may be done twice with the same result, so that one who was killed is simply followed
//! by the next.

mod child;
mod gather;
mod hook;
mod keeper;
mod order;
mod queue;
mod service;
mod slurm;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use slurm_k8s_core::config;

use crate::disk::DiskError;
use crate::journal::Journal;
use crate::report;
use crate::site::{self, SiteError};
use queue::Queue;
use service::Service;
use work::{Work, WorkError};

pub use child::COMMAND;
pub use gather::run as gather;
pub use keeper::{COMMAND as KEEPER, run as keep};

/// The log's name.
const LOG: &str = "job_collector.log";

/// What is asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --once it runs until a SIGTERM: the service on the controller. With it, exit code 1 says \
                        that jobs wait for something of the site's."
)]
pub struct Arguments {
    /// Collect the jobs that have ended, and end
    #[arg(long)]
    once: bool,
    /// The site's configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// Why it does not collect.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The configuration.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There is nothing to collect.
    #[error("results.folder is not set in {}", .0.display())]
    Folder(PathBuf),
    /// The folder of jobs' names.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another user's, or one in which users could take away others' names.
    #[error(
        "{path} must belong to uid {me}, the collector's user, and have the mode {expected:04o} (it is uid {owner}'s, mode {mode:04o})"
    )]
    Queue {
        /// The folder.
        path: String,
        /// Whose it is.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// This process.
        me: u32,
        /// What it should have.
        expected: u32,
    },
    /// A call of the collector's.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// Another one is at work.
    #[error("another collector works on {}", .0.display())]
    Busy(PathBuf),
    /// SIGTERM cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

impl CollectError {
    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Site(SiteError::Read { .. }) => "this command needs the site's k8s.toml; --config names another",
            Self::Folder(_) => "without it, jobs have no folders to collect in",
            Self::Queue { .. } => "chown and chmod it, or remove it: the collector makes it anew",
            Self::Busy(_) => "that one does the work; the service would wait for its end",
            _ => return None,
        })
    }
}

/// Runs the subcommand.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, CollectError> {
    let config = site::read(&arguments.config)?;
    let folder = config.results.folder.clone().ok_or_else(|| CollectError::Folder(arguments.config.clone()))?;
    // What is made has the mode that it is made with.
    rustix::process::umask(rustix::fs::Mode::empty());
    let queue = Queue::open(&folder)?;
    let journal = Journal::of(&config, LOG);
    let work = Work::new(queue, folder, config, journal);
    if !arguments.once {
        work.journal.line(&format!("begins     {}", work.folder.display()));
    }
    let result = Service::new(&work).run(arguments.once).await;
    match &result {
        Ok(_) if arguments.once => {}
        Ok(_) => work.journal.line("ends"),
        Err(error) => work.journal.line(&format!("fails      {}", report::chain(error))),
    }
    result
}
