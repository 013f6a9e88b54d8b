//! Bringing a claim to its end, from whatever state it is in. Each step is on disk before the next begins; after a failure
//! or a crash the same function goes on from what is there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use slurm_k8s_core::config::Config;
use slurm_k8s_core::finding::Severity;
use slurm_k8s_core::watch::answer::{self, Answer};
use slurm_k8s_core::watch::id;
use slurm_k8s_core::watch::reason::Refusal;
use slurm_k8s_core::watch::step::{Absence, Known, MOST_DOUBTS, Next, absence, next};

use super::claim::Claim;
use super::folders::Folders;
use super::instance::Instance;
use super::read::{Read, ReadError, as_owner, read};
use super::record::{Attempt, Ended};
use super::slurm::{Slurm, Submission};
use crate::account::{Account, AccountError};
use crate::clock;
use crate::disk::{Disk, DiskError};
use crate::entry::shown;
use crate::slurm::SlurmError;
use crate::{report, validate};

/// Between two answers that there is no job: what sbatch has sent may still be on its way.
pub const DOUBT: Duration = Duration::from_secs(5);

/// So often the accounting is asked before it is given up.
const PATIENCE: u32 = 24;

/// Why a claim waits.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A call.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Reading the file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The owner.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Slurm is not there, or cannot take this job now.
    #[error("Slurm does not take jobs: {why}")]
    Away {
        /// Its words.
        why: String,
        /// Whether it is not there.
        down: bool,
    },
    /// A command of Slurm's.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// Another watcher has taken over what this one had.
    #[error("another watcher has taken over: this one was silent for too long")]
    Superseded,
}

impl WorkError {
    /// What is wrong, without the file that it was met with.
    pub fn what(&self) -> String {
        match self {
            Self::Disk(error) | Self::Read(ReadError::Disk(error)) => error.what(),
            other => report::chain(other),
        }
    }

    /// Whether Slurm must come back before anything else can be submitted.
    pub fn is_slurms(&self) -> bool {
        match self {
            Self::Away { down, .. } => *down,
            // A program that does not start may be so for one user only.
            Self::Slurm(error) => !matches!(error, SlurmError::StartAs { .. }),
            _ => false,
        }
    }
}

/// What became of a claim.
#[derive(Debug)]
pub enum Outcome {
    /// It is done with; this is what the log says, if anything.
    Done(Option<Ended>),
    /// It is looked at again after this time.
    Later(Duration),
}

/// What all claims are worked on with.
pub struct Work<S> {
    /// The calls.
    pub disk: Disk,
    /// The folders.
    pub folders: Folders,
    /// This watcher.
    pub instance: Instance,
    /// The site's config.
    pub config: Config,
    /// Slurm.
    pub slurm: S,
    /// [`DOUBT`], or less in tests.
    pub doubt: Duration,
}

impl<S: Slurm> Work<S> {
    /// Goes on with a claim as far as it can.
    pub async fn go_on(&self, claim: &mut Claim) -> Result<Outcome, WorkError> {
        loop {
            match next(&claim.found(&self.disk)?) {
                Next::Remove => {
                    // One that was decided was moved by a watcher that could perhaps not tell it any more.
                    let end = claim.end(&self.disk)?;
                    claim.remove(&self.disk, &self.instance)?;
                    return Ok(Outcome::Done(end));
                }
                Next::Move => self.put_away(claim)?,
                Next::Decide(job) => self.decide(claim, &job)?,
                Next::Submit => match read(&self.disk, claim, &self.config.watch)? {
                    Read::Growing(rest) => return Ok(Outcome::Later(rest)),
                    Read::Refused(refusal) => self.refuse(claim, &refusal)?,
                    Read::Whole(script, account) => self.submit(claim, &script, &account).await?,
                },
                Next::Ask => {
                    if let Some(pause) = self.ask(claim).await? {
                        return Ok(Outcome::Later(pause));
                    }
                }
            }
        }
    }

    /// Submits a script that may be submitted, or refuses it.
    async fn submit(&self, claim: &mut Claim, script: &[u8], account: &Account) -> Result<(), WorkError> {
        let owner = &account.owner.name;
        let report = validate::of_owner(&self.config, shown(&claim.name), script, account.uid);
        let errors = report.count(Severity::Error);
        if errors > 0 {
            let count = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
            let first = report.findings.iter().find(|finding| finding.is_error());
            let first = first.map(ToString::to_string).unwrap_or_default();
            return self.refuse(claim, &Refusal::Findings { count, first, text: report.text() });
        }
        let folder = self.config.watch.start_in.clone().unwrap_or_else(|| account.home.clone());
        // With a dot the folder itself has to be entered.
        let inside = folder.join(".");
        let looked = as_owner(account, move || std::fs::metadata(inside).map(drop));
        let looked =
            looked.map_err(|source| ReadError::Rights { user: owner.clone(), source })?.ok_or(ReadError::Slow)?;
        if let Err(error) = looked {
            let folder = folder.display().to_string();
            return self.refuse(claim, &Refusal::Folder { user: owner.clone(), folder, why: error.to_string() });
        }
        self.attempt(claim, script, account, folder).await
    }

    async fn attempt(
        &self,
        claim: &mut Claim,
        script: &[u8],
        account: &Account,
        folder: PathBuf,
    ) -> Result<(), WorkError> {
        let elsewhere = id::names_cluster(script);
        let attempt = Attempt { uid: account.uid, at: clock::now(), elsewhere };
        let answer = claim.attempt(&self.disk, &attempt)?;
        if !self.instance.holds(&self.disk, &self.folders, &claim.id)? {
            return Err(WorkError::Superseded);
        }
        let name = (!id::names_job(script)).then(|| plain(&claim.name));
        let comment = id::comment(script, &claim.id);
        let submission = Submission { script, comment, name, account, folder, answer };
        let said = match self.slurm.submit(submission).await {
            Ok(said) => said,
            Err(error) => {
                // It was never started.
                claim.forget_attempt(&self.disk)?;
                return Err(error.into());
            }
        };
        if let Some(job) = claim.answer(&self.disk)? {
            return self.decide(claim, &job);
        }
        match answer::read(said.end, b"", &said.stderr) {
            Answer::Job(job) => self.decide(claim, &job),
            Answer::Refused(refusal) => self.refuse(claim, &refusal),
            // Where the answer was lost, there may be a job all the same: the attempt stays.
            Answer::Away { why, down } => Err(WorkError::Away { why, down }),
            Answer::Doubtful(why) => {
                match said.end {
                    answer::End::Killed => claim.memory.doubts += 1,
                    answer::End::Code(_) => claim.memory.ended_well = Some(why),
                }
                Ok(())
            }
        }
    }

    /// Asks Slurm whether an attempt has made a job. A pause, if it is to be asked once more.
    async fn ask(&self, claim: &mut Claim) -> Result<Option<Duration>, WorkError> {
        let Some(attempt) = claim.attempted(&self.disk)? else { return Ok(None) };
        let Some(account) = Account::find(attempt.uid)? else {
            let why = format!("uid {} has no account any more", attempt.uid);
            return self.refuse(claim, &Refusal::Unknown { why }).map(|()| None);
        };
        let age = clock::now().saturating_sub(attempt.at);
        let (kept, unasked) = match self.slurm.find(&claim.id, &account, age).await? {
            Known::Job(job) => return self.decide(claim, &job).map(|()| None),
            Known::None { kept, unasked } => (kept, unasked),
        };
        let now = Instant::now();
        if let Absence::Unsure(why) = absence(age, kept, unasked.as_deref(), attempt.elsewhere) {
            // The accounting may only be away for a while.
            let since = *claim.memory.unsure.get_or_insert(now);
            if unasked.is_some() && now.duration_since(since) < PATIENCE * self.doubt {
                return Ok(Some(self.doubt));
            }
            return self.refuse(claim, &Refusal::Unknown { why }).map(|()| None);
        }
        if let Some(wait) = claim.memory.not_before.and_then(|time| time.checked_duration_since(now)) {
            return Ok(Some(wait));
        }
        let since = *claim.memory.absent.get_or_insert(now);
        if let Some(wait) = self.doubt.checked_sub(now.duration_since(since)).filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        claim.memory.absent = None;
        if let Some(text) = claim.memory.ended_well.take() {
            return self.refuse(claim, &Refusal::NoJob { text }).map(|()| None);
        }
        if claim.memory.doubts >= MOST_DOUBTS {
            let seconds = self.config.watch.submit_timeout.as_secs();
            return self.refuse(claim, &Refusal::Stuck { times: claim.memory.doubts, seconds }).map(|()| None);
        }
        claim.forget_attempt(&self.disk)?;
        Ok(None)
    }
}

/// A job's name: its file's, without what Slurm could not print.
fn plain(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}
