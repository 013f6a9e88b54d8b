//! What is asked of Slurm.

use std::collections::BTreeMap;

use slurm_k8s_core::collect::job::{self, Job, is_over};

use crate::slurm::{SlurmError, output};

/// Numbers and words that no user chooses.
const STATES: &str = "--format=%i|%U|%T";
/// So many jobs are asked for at once.
const AT_ONCE: usize = 200;

/// A job as slurmctld has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its user.
    pub uid: u32,
    /// Whether it has ended.
    pub over: bool,
}

/// What Slurm's word means for a name that a user has left.
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Word {
    /// The job has ended; what the accounting has, if slurmctld has forgotten it.
    Over(Option<Job>),
    /// It waits or runs.
    Open,
    /// It is another user's.
    Foreign,
    /// Nobody knows it.
    Unknown,
}

/// By what slurmctld and the accounting have.
pub fn judge(uid: u32, known: Option<&Known>, accounted: Option<Job>) -> Word {
    let (owner, over) = match (known, &accounted) {
        (Some(job), _) => (Some(job.uid), job.over),
        (None, Some(job)) => (job.uid, is_over(&job.state)),
        (None, None) => return Word::Unknown,
    };
    match (owner == Some(uid), over) {
        (false, _) => Word::Foreign,
        (true, false) => Word::Open,
        (true, true) => Word::Over(accounted.filter(|_| known.is_none())),
    }
}

/// All jobs that slurmctld knows. Also those that ended a while ago.
pub async fn known() -> Result<BTreeMap<String, Known>, SlurmError> {
    let table = ["--noheader", "--all", "--local", "--array", "--states=all", STATES];
    let mut known = BTreeMap::new();
    for (id, job) in output("squeue", &table).await?.lines().filter_map(known_of) {
        // A heterogeneous job is over when all its components are.
        known.entry(id).and_modify(|known: &mut Known| known.over &= job.over).or_insert(job);
    }
    Ok(known)
}

fn known_of(line: &str) -> Option<(String, Known)> {
    let mut fields = line.split('|').map(str::trim);
    let (id, uid, state) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?);
    Some((job::of_components(id).to_owned(), Known { uid, over: is_over(state) }))
}

/// All that slurmctld has to say of one job; none if it has forgotten it, or if its user has made that hard to read.
pub async fn shown(id: &str) -> Result<Option<Job>, SlurmError> {
    match output("scontrol", &["show", "job", id]).await {
        Ok(text) => Ok(Job::of_scontrol(id, &text)),
        Err(SlurmError::Failed { said, .. }) if said.contains("Invalid job id") => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the accounting has of jobs that slurmctld has forgotten; none at a site without one.
pub async fn accounted(ids: &[&str]) -> Result<BTreeMap<String, Job>, SlurmError> {
    let mut jobs = BTreeMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let (jobs_of, format) = (format!("--jobs={}", ids.join(",")), format!("--format={}", job::SACCT));
        let table = ["--noheader", "--parsable2", "--allocations", "--allusers", &jobs_of, &format];
        let text = match output("sacct", &table).await {
            Err(error) if is_off(&error) => return Ok(jobs),
            text => text?,
        };
        for line in text.lines() {
            jobs.extend(Job::of_sacct(line).map(|job| (job.id.clone(), job)));
        }
    }
    Ok(jobs)
}

/// What the accounting has as the admin's comment on a user's job; none if it has no such job yet.
pub async fn comment(id: &str, uid: u32) -> Result<Option<String>, SlurmError> {
    let jobs = format!("--jobs={id}");
    let table = ["--noheader", "--parsable2", "--allocations", "--allusers", &jobs, "--format=JobID,UID,AdminComment"];
    let text = output("sacct", &table).await?;
    let comment = |line: &str| {
        let mut fields = line.splitn(3, '|');
        let own = job::of_components(fields.next()?) == id && fields.next()? == uid.to_string();
        fields.next().filter(|_| own).map(str::to_owned)
    };
    Ok(text.lines().filter_map(comment).next_back())
}

/// A site without accounting.
pub fn is_off(error: &SlurmError) -> bool {
    matches!(error, SlurmError::Failed { said, .. } if said.contains("accounting storage is disabled"))
}

/// Makes this the admin's comment. slurmctld changes no job that has ended; slurmdbd does.
pub async fn set_comment(id: &str, text: &str) -> Result<(), SlurmError> {
    let (set, of) = (format!("AdminComment={text}"), format!("jobid={id}"));
    output("sacctmgr", &["--immediate", "--quiet", "modify", "job", "where", &of, "set", &set]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_if_its_owner_is_the_jobs() {
        let known = |over| Known { uid: 1000, over };
        let job = || Some(Job { uid: Some(1000), state: "FAILED".into(), ..Job::default() });
        assert_eq!(judge(1000, Some(&known(true)), None), Word::Over(None));
        assert_eq!(judge(1000, Some(&known(false)), job()), Word::Open);
        assert_eq!(judge(1001, Some(&known(true)), None), Word::Foreign);
        assert_eq!(judge(1000, None, job()), Word::Over(job()));
        assert_eq!(judge(1001, None, job()), Word::Foreign);
        assert_eq!(judge(1000, None, None), Word::Unknown);
    }

    #[test]
    fn lines_of_squeue() {
        let known = |line| known_of(line).unwrap();
        assert_eq!(known("7_2|1000|COMPLETED"), ("7_2".into(), Known { uid: 1000, over: true }));
        assert_eq!(known("7+0|0|COMPLETING"), ("7".into(), Known { uid: 0, over: false }));
        assert_eq!(known_of("slurm_load_jobs error"), None);
    }
}
