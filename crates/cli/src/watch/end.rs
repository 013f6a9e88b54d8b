//! The end of a claim: what becomes of the file is written down, and then done.

use slurm_k8s_core::watch::answer::Job;
use slurm_k8s_core::watch::name;
use slurm_k8s_core::watch::reason::{self, Refusal};

use super::claim::{Claim, SCRIPT};
use super::record::{Ended, Name, Processed};
use super::slurm::Slurm;
use super::work::{Work, WorkError};
use crate::account::Account;
use crate::clock;
use crate::disk::DiskError;
use crate::entry::shown;

impl<S: Slurm> Work<S> {
    /// Writes down that it has this job.
    pub fn decide(&self, claim: &Claim, job: &Job) -> Result<(), WorkError> {
        let attempt = claim.attempted(&self.disk)?;
        let (uid, at) = attempt.map_or((claim.uid, clock::now()), |attempt| (attempt.uid, attempt.at));
        let user = Account::find(uid)?.map_or_else(|| uid.to_string(), |account| account.owner.name);
        let record = Processed {
            version: 1,
            submission: claim.id.clone(),
            job: job.id,
            cluster: job.cluster.clone(),
            name: Name::of(&claim.name),
            user: user.clone(),
            uid,
            submitted: clock::text(at),
        };
        let note = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        let log = format!("submitted  {} of {user}: job {job} ({})", shown(&claim.name), claim.id);
        Ok(claim.decide(&self.disk, &Ended::of_job(job, note, log))?)
    }

    /// Writes down why it has none.
    pub fn refuse(&self, claim: &Claim, refusal: &Refusal) -> Result<(), WorkError> {
        let user = Account::find(claim.uid).ok().flatten();
        let user = user.map_or_else(|| format!("uid {}", claim.uid), |account| account.owner.name);
        let name = shown(&claim.name);
        let note = reason::text(&name, refusal, &claim.id, &clock::text(clock::now()));
        let log = format!("refused    {name} of {user}: {} ({})", refusal.brief(), claim.id);
        let why = Some(refusal.label().to_owned());
        Ok(claim.decide(&self.disk, &Ended { job: None, note, log, why })?)
    }

    /// Moves the file to where it stays, with what is written about it.
    pub fn put_away(&self, claim: &Claim) -> Result<(), WorkError> {
        let disk = &self.disk;
        let Some(end) = claim.end(disk)? else { return Ok(()) };
        let (folder, pairs) = match end.job {
            Some(job) => (&self.folders.processed, name::processed(job, &claim.id, &claim.name)),
            None => (&self.folders.failed, name::failed(&claim.id, &claim.name)),
        };
        let draft = format!(".{}", claim.id);
        for pair in &pairs {
            // Who has the note has the file's name, too.
            if disk.reserve(folder, &pair.note, draft.as_bytes(), end.note.as_bytes())? {
                disk.rename((&claim.folder, SCRIPT), (folder, &pair.file))?;
                disk.sync(folder)?;
                return Ok(());
            }
        }
        let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        Err(DiskError::of("write what became of a file into", &folder.path, there).into())
    }
}
