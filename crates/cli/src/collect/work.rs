//! One job, from the word that it has ended to the last thing that is done for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slurm_k8s_core::collect::job::{Job, is_over};
use slurm_k8s_core::collect::summary::{Summary, USAGE};
use slurm_k8s_core::config::{Config, HookUser};
use tokio::sync::Semaphore;
use tokio::time::timeout;

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
/// For one call of the file system or of the name service.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many of them may hang.
const HANGING: usize = 8;
/// What a job is called that nobody knows any more.
const UNKNOWN: &str = "UNKNOWN";

/// All that it works with.
pub struct Work {
    queue: Arc<Queue>,
    /// `results.folder`.
    pub folder: PathBuf,
    /// The site's configuration.
    pub config: Config,
    /// The log.
    pub journal: Journal,
    hanging: Arc<Semaphore>,
}

/// Why a job could not be collected now.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The folder of names.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file system or the name service says nothing.
    #[error("the {what} does not answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// Which.
        what: &'static str,
    },
    /// Slurm.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// The name service.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// It has no such account, perhaps not yet.
    #[error("uid {0} has no account on this host")]
    Nobody(u32),
    /// The work as the user.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// slurmctld has just forgotten it.
    #[error("slurmctld does not know the job any more")]
    Gone,
    /// The accounting does not have it yet.
    #[error("the accounting does not have the job yet")]
    Unaccounted,
    /// The accounting does not take what it used.
    #[error("what it used cannot be written into the accounting")]
    Accounting(#[source] SlurmError),
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    /// Everything is done.
    All,
    /// It runs again.
    Runs,
    /// It cannot be collected: why.
    Never(String),
}

/// How far it has come; an attempt after a failure goes on from there.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is to be counted, once.
    pub fresh: Option<Box<Summary>>,
    /// The same of the site's programs.
    pub hooks: Vec<Outcome>,
    /// What goes into the accounting; there is a summary then.
    usage: Option<String>,
    hooked: bool,
    /// Only its name is to go.
    pub given_up: bool,
}

impl Memory {
    /// Whether there is a summary: what is missing is for the site only.
    pub fn is_collected(&self) -> bool {
        self.usage.is_some()
    }
}

impl Work {
    /// With nothing in hand.
    pub fn new(queue: Queue, folder: PathBuf, config: Config, journal: Journal) -> Self {
        Self { queue: Arc::new(queue), folder, config, journal, hanging: Arc::new(Semaphore::new(HANGING)) }
    }

    /// Does something with the folder of names, which may be away.
    pub async fn on_disk<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Queue) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, WorkError> {
        let queue = Arc::clone(&self.queue);
        Ok(self.blocking("file system of the results", move || call(&queue)).await??)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let hanging = Arc::clone(&self.hanging);
        let answer = async move {
            let place = hanging.acquire_owned().await.ok()?;
            let work = move || {
                let answer = call();
                drop(place);
                answer
            };
            tokio::task::spawn_blocking(work).await.ok()
        };
        timeout(PATIENCE, answer).await.ok().flatten().ok_or(WorkError::Silent { what })
    }

    /// Collects a job that has ended. `job` is what is known of it, if slurmctld has forgotten it.
    pub async fn collect(&self, entry: &mut Entry, job: Option<Job>, memory: &mut Memory) -> Result<Done, WorkError> {
        let mut taken = entry.clone();
        *entry = self
            .on_disk(move |queue| {
                queue.take(&mut taken)?;
                Ok(taken)
            })
            .await?;
        if memory.given_up {
            self.finish(entry).await?;
            return Ok(Done::All);
        }
        let uid = entry.uid;
        let account = self.account(uid).await?;
        let mut job = match job {
            Some(job) => job,
            None => slurm::shown(&entry.id).await?.ok_or(WorkError::Gone)?,
        };
        if job.state != UNKNOWN && !is_over(&job.state) {
            // Between the two questions it has begun anew.
            let entry = entry.clone();
            self.on_disk(move |queue| queue.put_back(&entry)).await?;
            return Ok(Done::Runs);
        }
        // Who it is, is known better.
        (job.uid, job.user) = (Some(uid), account.owner.name.clone());
        let folder = self.folder.join(&entry.id);
        let usage = match memory.usage.clone() {
            Some(usage) => usage,
            None => match self.gather(&folder, &job, &account).await {
                Ok(mut summary) => {
                    summary.job = job.clone();
                    self.tell_collected(&entry.id, &summary);
                    let usage = summary.usage();
                    memory.usage = Some(usage.clone());
                    memory.fresh = Some(summary);
                    usage
                }
                Err(ChildError::Failed { why, forever: true }) => {
                    self.finish(entry).await?;
                    return Ok(Done::Never(why));
                }
                Err(error) => return Err(error.into()),
            },
        };
        // For a job that nobody knows, a user may have made it up.
        if !memory.hooked && job.state != UNKNOWN {
            memory.hooked = true;
            self.run_hooks(&job, &folder, &account, memory).await;
        }
        if self.config.results.accounting && job.state != UNKNOWN {
            self.record(&entry.id, uid, &usage).await?;
        }
        self.finish(entry).await?;
        Ok(Done::All)
    }

    async fn account(&self, uid: u32) -> Result<Account, WorkError> {
        self.blocking("name service", move || Account::find(uid)).await??.ok_or(WorkError::Nobody(uid))
    }

    /// Its name goes.
    pub async fn finish(&self, entry: &Entry) -> Result<(), WorkError> {
        let entry = entry.clone();
        self.on_disk(move |queue| queue.remove(&entry)).await
    }

    /// A job that neither slurmctld nor the accounting knows, or of which slurmctld's words cannot be trusted.
    pub fn unknown(id: &str, uid: u32) -> Job {
        Job { state: UNKNOWN.into(), ..Job::forgotten(id, "", uid) }
    }

    async fn gather(&self, folder: &Path, job: &Job, account: &Account) -> Result<Box<Summary>, ChildError> {
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
            if of > 0 && done >= told + STRIDE {
                told = done;
                self.journal.line(&format!("reads      {}: {} of {} GiB", job.id, done >> 30, of >> 30));
            }
        };
        child::gather(&order, account, &mut progress).await
    }

    async fn run_hooks(&self, job: &Job, folder: &Path, account: &Account, memory: &mut Memory) {
        let site = &self.config.after_job;
        let account = match site.user {
            HookUser::Job => Ok(account.clone()),
            // One that knows nobody holds up these programs only.
            HookUser::Service if !site.run.is_empty() => self.account(rustix::process::geteuid().as_raw()).await,
            HookUser::Service => return,
        };
        for program in &site.run {
            let outcome = match &account {
                Ok(account) => hook::run(program, site.timeout, job, folder, account).await,
                Err(error) => Outcome::Failed(report::chain(error)),
            };
            let name = program.display();
            match &outcome {
                Outcome::Well => {}
                Outcome::Failed(why) => self.journal.line(&format!("after      {} {name} failed: {why}", job.id)),
                Outcome::Timeout => {
                    let seconds = site.timeout.as_secs();
                    self.journal.line(&format!("after      {} {name} was killed after {seconds} s", job.id));
                }
            }
            memory.hooks.push(outcome);
        }
    }

    /// What the job used, where `sacct` shows it. What somebody else has written there stays.
    async fn record(&self, id: &str, uid: u32, usage: &str) -> Result<(), WorkError> {
        match slurm::comment(id, uid).await {
            Err(error) if slurm::is_off(&error) => Ok(()),
            Err(error) => Err(WorkError::Accounting(error)),
            Ok(None) => Err(WorkError::Unaccounted),
            Ok(Some(there)) if !there.is_empty() && !there.starts_with(USAGE) => Ok(()),
            Ok(Some(there)) if there == usage => Ok(()),
            Ok(Some(_)) => slurm::set_comment(id, usage).await.map_err(WorkError::Accounting),
        }
    }

    fn tell_collected(&self, id: &str, summary: &Summary) {
        let (job, files) = (&summary.job, summary.files);
        let text = format!("{} of {}, {} files, {} bytes", job.state, job.user, files.count, files.bytes);
        let warnings = match summary.warned {
            0 => String::new(),
            count => format!(", {count} warnings in {}/{id}/job_summary.txt", self.folder.display()),
        };
        self.journal.line(&format!("collected  {id}: {text}{warnings}"));
    }

    /// A line for the log: it is tried again.
    pub fn tell_failure(&self, entry: &Entry, error: &WorkError) {
        self.journal.line(&format!("waits      {}: {}", entry.id, report::chain(error)));
    }
}

impl WorkError {
    /// Whether Slurm is away, so that the other jobs would fail alike.
    pub fn is_slurms(&self) -> bool {
        matches!(self, Self::Slurm(_))
    }
}
