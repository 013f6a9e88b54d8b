//! `slurm-k8s watch`: batch scripts that users put into a folder of the site's NAS become their jobs. What it decides is in
//! `slurm_k8s_core::watch`.
//!
//! A file is taken by a rename into a folder of this watcher's ([`instance`], [`claim`]), read once with its owner's rights
//! ([`read`]), and submitted by its owner's sbatch ([`slurm`]); [`work`] brings it from any state to its end, so that a
//! watcher that was killed, or another one, goes on where it was left. [`service`] does that for many at once.

mod claim;
mod end;
mod folders;
mod instance;
mod look;
mod lookup;
mod read;
mod record;
mod service;
mod slurm;
mod trouble;
mod troubles;
mod turns;
mod wake;
mod work;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use slurm_k8s_core::config;

use crate::disk::{Disk, DiskError};
use crate::journal::Journal;
use crate::report;
use crate::site::{self, SiteError};
use folders::{Folders, FoldersError};
use instance::{Instance, Process};
use service::Service;
use slurm::Commands;
use work::{DOUBT, Work, WorkError};

/// What is asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --once it runs until a SIGTERM: the service on the controller. With it, exit code 1 says \
                        that files wait for something of the site's."
)]
pub struct Arguments {
    /// Submit what is there, and end
    #[arg(long)]
    once: bool,
    /// The site's configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// Why it does not watch.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The configuration.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The folders.
    #[error(transparent)]
    Folders(#[from] FoldersError),
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A claim.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// SIGTERM cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

impl WatchError {
    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folders(error) => error.hint(),
            Self::Site(SiteError::Read { .. }) => {
                Some("this command needs the site's k8s.toml; --config names another")
            }
            _ => None,
        }
    }
}

/// Runs the subcommand.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, WatchError> {
    let config = site::read(&arguments.config)?;
    // What is made has the mode that it is made with.
    rustix::process::umask(rustix::fs::Mode::empty());
    let disk = Disk::default();
    let folders = Folders::open(&disk, &config.watch.folder)?;
    let journal = Journal::of(&config, "job_watcher.log");
    let instance = Instance::start(&disk, &folders, Process::this())?;
    let slurm = Commands::of(&config.watch);
    let name = instance.name.clone();
    let work = Work { disk, folders, instance, config, slurm, doubt: DOUBT };
    if !arguments.once {
        journal.line(&format!("begins     {} is watched by {name}", work.folders.submit.path.display()));
    }
    if !may_become_others() {
        let text = "warns      without CAP_SETUID and CAP_SETGID only this user's own files can be submitted";
        journal.line(text);
    }
    let result = Service::new(&work, &journal).run(arguments.once).await;
    match &result {
        Ok(_) if arguments.once => {}
        Ok(_) => journal.line(&format!("ends       {name}")),
        Err(error) => journal.line(&format!("fails      {name}: {}", report::chain(error))),
    }
    result
}

/// Whether files of other users can be read and submitted.
fn may_become_others() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}
