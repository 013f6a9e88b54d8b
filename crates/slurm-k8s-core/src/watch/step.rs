//! What comes next for a claim, by what is found of it: the same for a new one, for one that waits, and for one that a
//! watcher left when it was killed.
//!
//! A claim is a folder with
//!
//! 1. `claim.json`, before anything else: what the file is called;
//! 2. `script`, by rename: from then on the file is taken;
//! 3. `attempt.json`, before sbatch is started: from then on there may be a job;
//! 4. `answer`, sbatch's own standard output;
//! 5. `end.json`: the job, or why there is none. The file is moved away after that.

use super::answer::Job;

/// What is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The file is there.
    pub script: bool,
    /// sbatch may have been started.
    pub attempt: bool,
    /// What sbatch said.
    pub answer: Option<Job>,
    /// It is decided.
    pub end: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing was taken, or all is done: the folder goes.
    Remove,
    /// The file is to be read, judged and submitted.
    Submit,
    /// Slurm is to be asked whether there is a job.
    Ask,
    /// It has this job, which is to be written down.
    Decide(Job),
    /// The file is to be moved where it belongs.
    Move,
}

/// Decides.
#[must_use]
pub fn next(found: &Found) -> Next {
    match found {
        // Also one that was moved already.
        Found { script: false, .. } => Next::Remove,
        Found { end: true, .. } => Next::Move,
        Found { answer: Some(job), .. } => Next::Decide(job.clone()),
        Found { attempt: true, .. } => Next::Ask,
        Found { .. } => Next::Submit,
    }
}

/// So often sbatch may come to no end before the file is refused.
pub const MOST_DOUBTS: u32 = 3;

/// What Slurm knows of a submission's job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The job.
    Job(Job),
    /// There is none in slurmctld's table, which has all jobs of so many seconds, nor in the accounting if that could be
    /// asked.
    None {
        /// How long slurmctld keeps a job that has ended.
        kept: u64,
        /// Why the accounting was not asked, if so.
        unasked: Option<String>,
    },
}

/// Whether "there is no such job" can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// There is none.
    Sure,
    /// It may have been, and be forgotten.
    Unsure(String),
}

/// Decides by the time since sbatch was started, in seconds.
#[must_use]
pub fn absence(age: u64, kept: u64, unasked: Option<&str>, elsewhere: bool) -> Absence {
    if elsewhere {
        return Absence::Unsure("the script names another cluster".into());
    }
    // Half of it: the clocks are two hosts'.
    match unasked {
        Some(why) if age >= kept / 2 => {
            Absence::Unsure(format!("slurmctld keeps jobs for {kept} s, and the accounting cannot be asked: {why}"))
        }
        _ => Absence::Sure,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_state_has_one_next_step() {
        let job = Job { id: 7, cluster: None };
        let found = Found { script: true, ..Found::default() };
        assert_eq!(next(&Found::default()), Next::Remove);
        assert_eq!(next(&found), Next::Submit);
        assert_eq!(next(&Found { attempt: true, ..found.clone() }), Next::Ask);
        assert_eq!(next(&Found { attempt: true, answer: Some(job.clone()), ..found.clone() }), Next::Decide(job));
        assert_eq!(next(&Found { attempt: true, end: true, ..found.clone() }), Next::Move);
        assert_eq!(next(&Found { end: true, ..Found::default() }), Next::Remove);
    }

    proptest! {
        /// After an attempt nothing is submitted before Slurm was asked.
        #[test]
        fn an_attempt_is_never_followed_by_another(script: bool, end: bool, number: Option<u16>) {
            let answer = number.map(|id| Job { id: id.into(), cluster: None });
            let found = Found { script, attempt: true, answer, end };
            prop_assert_ne!(next(&found), Next::Submit);
        }
    }

    #[test]
    fn what_was_forgotten_is_not_taken_for_absent() {
        assert_eq!(absence(10, 300, Some("no accounting"), false), Absence::Sure);
        assert_eq!(absence(10_000, 300, None, false), Absence::Sure);
        assert!(matches!(absence(150, 300, Some("no accounting"), false), Absence::Unsure(_)));
        assert!(matches!(absence(0, 300, None, true), Absence::Unsure(_)));
    }
}
