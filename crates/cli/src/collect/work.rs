//! One job, from the word that it has ended to the last thing that is done for it.

use std::path::PathBuf;

use slurm_k8s_core::collect::job::Job;
use slurm_k8s_core::collect::summary::{Summary, USAGE};
use slurm_k8s_core::config::Config;

use super::child::{self, ChildError};
use super::hook::{self, Outcome};
use super::order::Order;
use super::queue::{Entry, Queue};
use super::slurm;
use crate::account::{Account, AccountError};
use crate::clock;
use crate::disk::DiskError;
use crate::journal::Journal;
use crate::report;
use crate::slurm::SlurmError;

/// Between two lines on how far a large job is, in bytes.
const STRIDE: u64 = 100 << 30;

/// All that it works with.
pub struct Work {
    /// The jobs' names.
    pub queue: Queue,
    /// `results.folder`.
    pub folder: PathBuf,
    /// The site's configuration.
    pub config: Config,
    /// The log.
    pub journal: Journal,
}

/// Why a job could not be collected now.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The folder of names.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Slurm.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// The name service.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The work as the user.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The accounting does not have it yet.
    #[error("the accounting does not have the job yet")]
    Unaccounted,
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    /// It is collected.
    Collected {
        /// What was written.
        summary: Box<Summary>,
        /// How each of the site's programs came out.
        hooks: Vec<Outcome>,
    },
    /// It runs again.
    Runs,
    /// It cannot be collected: why.
    Never(String),
}

/// How far it has come; an attempt after a failure goes on from there.
#[derive(Debug, Default)]
pub struct Memory {
    summary: Option<Box<Summary>>,
    recorded: bool,
}

impl Work {
    /// Collects a job that has ended. `job` is what is known of it, if slurmctld has forgotten it.
    pub async fn collect(&self, entry: &mut Entry, job: Option<Job>, memory: &mut Memory) -> Result<Done, WorkError> {
        self.queue.take(entry)?;
        let Some(account) = Account::find(entry.uid)? else {
            self.queue.remove(entry)?;
            return Ok(Done::Never(format!("uid {} has no account on this host", entry.uid)));
        };
        let user = &account.owner.name;
        let job = match job {
            Some(job) => job,
            // Between the two questions it may have begun anew.
            None => match slurm::shown(&entry.id).await? {
                Some(job) if !slurm_k8s_core::collect::job::is_over(&job.state) => {
                    self.queue.put_back(entry)?;
                    return Ok(Done::Runs);
                }
                Some(job) => job,
                None => Job::forgotten(&entry.id, user, entry.uid),
            },
        };
        let folder = self.folder.join(&entry.id);
        let summary = match memory.summary.take() {
            Some(summary) => summary,
            None => match self.gather(&folder, &job, &account).await {
                Err(ChildError::Failed { why, forever: true }) => {
                    self.queue.remove(entry)?;
                    return Ok(Done::Never(why));
                }
                summary => summary?,
            },
        };
        if self.config.results.accounting && !memory.recorded {
            let recorded = self.record(&entry.id, &summary).await;
            memory.recorded = recorded.is_ok();
            memory.summary = Some(summary.clone());
            recorded?;
        }
        let mut hooks = Vec::new();
        for program in &self.config.after_job.run {
            let outcome = hook::run(program, &self.config.after_job, &job, &folder, &account).await;
            let name = program.display();
            match &outcome {
                Outcome::Well => {}
                Outcome::Failed(why) => self.journal.line(&format!("after      {} {name} failed: {why}", entry.id)),
                Outcome::Timeout => {
                    let seconds = self.config.after_job.timeout.as_secs();
                    self.journal.line(&format!("after      {} {name} was killed after {seconds} s", entry.id));
                }
            }
            hooks.push(outcome);
        }
        self.queue.remove(entry)?;
        Ok(Done::Collected { summary, hooks })
    }

    async fn gather(&self, folder: &std::path::Path, job: &Job, account: &Account) -> Result<Box<Summary>, ChildError> {
        let results = &self.config.results;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let order = Order {
            folder: folder.to_owned(),
            job: job.clone(),
            copy: results.copy_bytes(),
            threads: (threads / results.parallel as usize).clamp(1, 8),
            now: i64::try_from(clock::now()).unwrap_or(0),
        };
        let mut told = 0;
        let mut progress = |done: u64, of: u64| {
            if done >= told + STRIDE {
                told = done;
                self.journal.line(&format!("reads      {}: {} of {} GiB", job.id, done >> 30, of >> 30));
            }
        };
        child::gather(&order, account, &mut progress).await
    }

    /// What the job used, where `sacct` shows it. What somebody else has written there stays.
    async fn record(&self, id: &str, summary: &Summary) -> Result<(), WorkError> {
        if summary.steps.is_empty() {
            return Ok(());
        }
        match slurm::comment(id).await {
            // A site without accounting.
            Err(SlurmError::Failed { said, .. }) if said.contains("accounting storage is disabled") => Ok(()),
            Err(error) => Err(error.into()),
            Ok(None) => Err(WorkError::Unaccounted),
            Ok(Some(there)) if !there.is_empty() && !there.starts_with(USAGE) => Ok(()),
            Ok(Some(_)) => Ok(slurm::set_comment(id, &summary.usage()).await?),
        }
    }

    /// A line for the log.
    pub fn tell(&self, entry: &Entry, done: &Done) {
        let id = &entry.id;
        match done {
            Done::Runs => {}
            Done::Never(why) => self.journal.line(&format!("leaves     {id}: {why}")),
            Done::Collected { summary, .. } => {
                let (job, files) = (&summary.job, summary.files);
                let text = format!("{} of {}, {} files, {} bytes", job.state, job.user, files.count, files.bytes);
                let warnings = match summary.warnings.len() {
                    0 => String::new(),
                    count => format!(", {count} warnings in {}/{id}/{}", self.folder.display(), "job_summary.txt"),
                };
                self.journal.line(&format!("collected  {id}: {text}{warnings}"));
            }
        }
    }

    /// A line for the log: it is tried again.
    pub fn tell_failure(&self, entry: &Entry, error: &WorkError) {
        self.journal.line(&format!("waits      {}: {}", entry.id, report::chain(error)));
    }
}

impl WorkError {
    /// Whether the other jobs would fail alike.
    pub fn is_slurms(&self) -> bool {
        matches!(self, Self::Slurm(_))
    }
}
