//! A Slurm whose jobs are a list.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;

use slurm_k8s_core::watch::answer::{End, Job};
use slurm_k8s_core::watch::id;
use slurm_k8s_core::watch::step::Known;

use super::Steps;
use crate::account::Account;
use crate::slurm::SlurmError;
use crate::watch::slurm::{Said, Slurm, Submission};

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes jobs.
    Well,
    /// slurmctld is down.
    Down,
    /// It takes the job, and its answer is lost.
    Deaf,
    /// It refuses jobs.
    Refusing,
    /// sbatch never ends.
    Hanging,
    /// sbatch ends well and makes no job.
    Idle,
}

/// A job of it: its comment, name and script.
#[derive(Debug, Clone)]
pub struct FakeJob {
    pub comment: String,
    pub name: Option<String>,
    pub script: Vec<u8>,
}

#[derive(Clone)]
pub struct FakeSlurm {
    pub jobs: Rc<RefCell<Vec<FakeJob>>>,
    pub mood: Rc<Cell<Mood>>,
    pub accounting: Rc<Cell<bool>>,
    /// Whether slurmctld has forgotten its jobs.
    pub forgetful: Rc<Cell<bool>>,
    pub calls: Rc<Cell<usize>>,
    steps: Steps,
}

impl Default for FakeSlurm {
    fn default() -> Self {
        Self {
            jobs: Rc::default(),
            mood: Rc::new(Cell::new(Mood::Well)),
            accounting: Rc::new(Cell::new(true)),
            forgetful: Rc::default(),
            calls: Rc::default(),
            steps: Steps::default(),
        }
    }
}

impl FakeSlurm {
    /// The same Slurm for another life.
    pub fn with(&self, steps: Steps) -> Self {
        Self { steps, ..self.clone() }
    }

    pub fn in_mood(mood: Mood) -> Self {
        Self { mood: Rc::new(Cell::new(mood)), ..Self::default() }
    }

    fn stopped(&self) -> Result<(), SlurmError> {
        let user = "nobody".to_owned();
        self.steps.step().map_err(|source| SlurmError::StartAs { program: "sbatch", user, source })
    }
}

impl Slurm for FakeSlurm {
    async fn submit(&self, submission: Submission<'_>) -> Result<Said, SlurmError> {
        self.stopped()?;
        self.calls.set(self.calls.get() + 1);
        let said = |end, stderr: &str| Ok(Said { end, stderr: stderr.as_bytes().to_vec() });
        match self.mood.get() {
            Mood::Down => {
                return said(
                    End::Code(1),
                    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
                );
            }
            Mood::Refusing => return said(End::Code(1), "sbatch: error: Invalid partition name specified"),
            Mood::Hanging => return said(End::Killed, ""),
            Mood::Idle => return said(End::Code(0), "sbatch: Job 7 to start"),
            Mood::Well | Mood::Deaf => {}
        }
        let Submission { script, comment, name, answer, .. } = submission;
        let number = {
            let mut jobs = self.jobs.borrow_mut();
            jobs.push(FakeJob { comment, name, script: script.to_vec() });
            1000 + jobs.len()
        };
        // Killed when slurmctld has the job and the answer is not written: the step after that is lost, too.
        if self.steps.step().is_err() || self.mood.get() == Mood::Deaf {
            return said(End::Killed, "");
        }
        writeln!(std::fs::File::from(answer), "{number}").unwrap();
        said(End::Code(0), "")
    }

    async fn find(&self, id: &str, _: &Account, _: u64) -> Result<Known, SlurmError> {
        self.stopped()?;
        if self.mood.get() == Mood::Down {
            return Err(SlurmError::Failed { program: "squeue", said: "Unable to contact slurm controller".into() });
        }
        let at = self.jobs.borrow().iter().position(|job| id::has_mark(&job.comment, id));
        let at = at.filter(|_| !self.forgetful.get() || self.accounting.get());
        Ok(match at.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Known::Job(Job { id: 1001 + at, cluster: None }),
            None => Known::None {
                kept: if self.forgetful.get() { 0 } else { 300 },
                unasked: (!self.accounting.get()).then(|| "there is no accounting".to_owned()),
            },
        })
    }
}
