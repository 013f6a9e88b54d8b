//! The watcher: looks at the folder, takes what is complete, and brings each file to its end.

mod round;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use slurm_k8s_core::watch::metrics::Figures;
use slurm_k8s_core::watch::{id, reason};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, sleep_until};

use super::WatchError;
use super::claim::Claim;
use super::instance::Pulse;
use super::look::{Ready, Submit};
use super::slurm::Slurm;
use super::trouble::pause;
use super::troubles::Troubles;
use super::turns::Turns;
use super::wake::Wake;
use super::work::{Outcome, Work, WorkError};
use crate::clock;
use crate::journal::Journal;

/// Between two looks at what the kernel tells of: many files at once are one look.
const GATHER: Duration = Duration::from_millis(50);
/// How often the figures are written.
const FIGURES: Duration = Duration::from_secs(5);

/// What is to be done for one user.
enum Task {
    Take(Ready),
    GoOn(Claim),
}

type Running<'a> = FuturesUnordered<LocalBoxFuture<'a, (u32, Claim, Result<Outcome, WorkError>)>>;

/// A run of the watcher.
pub struct Service<'a, S> {
    work: &'a Work<S>,
    journal: &'a Journal,
    submit: Submit,
    turns: Turns<Task>,
    /// Claims that wait for something.
    later: Vec<(Instant, Claim)>,
    /// The claims that are in hand.
    known: BTreeSet<String>,
    troubles: Troubles<'a>,
    figures: Figures,
    pulse: Pulse,
    begin: Instant,
    look_at: Instant,
    overtake_at: Instant,
    figures_at: Instant,
    looks: u64,
}

impl<'a, S: Slurm> Service<'a, S> {
    /// With nothing taken yet.
    pub fn new(work: &'a Work<S>, journal: &'a Journal) -> Self {
        let now = Instant::now();
        Self {
            work,
            journal,
            submit: Submit::default(),
            turns: Turns::default(),
            later: Vec::new(),
            known: BTreeSet::new(),
            troubles: Troubles::new(journal),
            figures: Figures { slurm: true, ..Figures::default() },
            pulse: Pulse::of(work.config.watch.lease),
            begin: now,
            look_at: now,
            overtake_at: now,
            figures_at: now,
            looks: 0,
        }
    }

    /// Runs until SIGTERM or SIGINT, or until all is done if it is to run `once`.
    pub async fn run(mut self, once: bool) -> Result<ExitCode, WatchError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(WatchError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchError::Signals)?;
        let wake = Wake::on(&self.work.folders.submit);
        let mut running = Running::new();
        loop {
            self.round(&running)?;
            self.start(&mut running);
            if once && running.is_empty() && self.nothing_more() {
                break;
            }
            let next = self.next();
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some((uid, claim, result)) = running.next() => self.ended(uid, claim, result)?,
                () = wake.wait() => {
                    sleep(GATHER).await;
                    self.look_at = Instant::now();
                }
                () = sleep_until(next.into()) => {}
            }
        }
        // What has begun comes to its end; it is bounded by sbatch's deadline.
        while let Some((uid, claim, result)) = running.next().await {
            self.ended(uid, claim, result)?;
        }
        self.write_figures();
        let left = self.later.len();
        if left > 0 {
            self.journal
                .line(&format!("leaves     {left} files that are taken and wait; the next watcher goes on with them"));
        }
        self.work.instance.end(&self.work.disk, &self.work.folders)?;
        let well = !self.troubles.any();
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Begins as much as may be done at once.
    fn start(&mut self, running: &mut Running<'a>) {
        let now = Instant::now();
        if self.troubles.slurm.until().is_none() {
            for (at, claim) in std::mem::take(&mut self.later) {
                if at <= now {
                    self.turns.push(claim.uid, Task::GoOn(claim));
                } else {
                    self.later.push((at, claim));
                }
            }
        }
        let work = self.work;
        while let Some((uid, task)) = self.turns.next() {
            let claim = match task {
                Task::GoOn(claim) => Ok(Some(claim)),
                Task::Take(file) => take(work, &file).inspect(|_| self.troubles.taken()),
            };
            match claim {
                Ok(Some(mut claim)) => {
                    self.known.insert(claim.id.clone());
                    running.push(Box::pin(async move {
                        let result = work.go_on(&mut claim).await;
                        (uid, claim, result)
                    }));
                }
                Ok(None) => self.turns.done(uid),
                Err(error) => {
                    self.turns.done(uid);
                    self.troubles.not_taken(&error);
                    // The others would fail alike; they stay where they are.
                    self.give_back();
                    return;
                }
            }
        }
    }

    /// Claims that waited for their turn wait for another one; files stay in the folder.
    fn give_back(&mut self) {
        let now = Instant::now();
        for task in self.turns.drain() {
            if let Task::GoOn(claim) = task {
                self.later.push((now, claim));
            }
        }
    }

    fn ended(&mut self, uid: u32, mut claim: Claim, result: Result<Outcome, WorkError>) -> Result<(), WatchError> {
        self.turns.done(uid);
        match result {
            Ok(Outcome::Done(end)) => {
                self.known.remove(&claim.id);
                let failing = self.later.iter().any(|(_, claim)| claim.memory.failures > 0);
                self.troubles.done(failing);
                self.figures.slurm = true;
                if let Some(end) = end {
                    self.journal.line(&end.log);
                    match end.why.as_deref().and_then(|why| reason::LABELS.iter().find(|label| **label == why)) {
                        Some(label) => *self.figures.refused.entry(label).or_default() += 1,
                        None => self.figures.submitted += 1,
                    }
                }
            }
            Ok(Outcome::Later(pause)) => self.later.push((Instant::now() + pause, claim)),
            Err(WorkError::Superseded) => return Err(WorkError::Superseded.into()),
            Err(error) => {
                self.troubles.claim(&error);
                let mut at = Instant::now();
                if error.is_slurms() {
                    self.figures.slurm = false;
                    self.give_back();
                } else {
                    claim.memory.failures += 1;
                    at += pause(claim.memory.failures);
                }
                self.later.push((at, claim));
            }
        }
        Ok(())
    }

    /// When something is to be done without anybody saying so.
    fn next(&self) -> Instant {
        let troubles = self.troubles.slurm.until();
        let claims = self.later.iter().map(|(at, _)| *at).min();
        let claims = claims.map(|at| troubles.map_or(at, |until| until.max(at)));
        let fixed = [self.look_at, self.overtake_at, self.figures_at];
        fixed.into_iter().chain(claims).min().unwrap_or(self.look_at)
    }

    /// For `--once`: every file was looked at twice, and what is left waits for Slurm or for its own end.
    fn nothing_more(&self) -> bool {
        let settled = self.begin.elapsed() > self.work.config.watch.settle + Duration::from_millis(100);
        self.looks >= 2 && settled && (self.troubles.any() || self.later.is_empty())
    }
}

/// Takes a file; none if another watcher was faster.
pub fn take<S: Slurm>(work: &Work<S>, file: &Ready) -> Result<Option<Claim>, WorkError> {
    let random = clock::random().map_err(|error| crate::disk::DiskError::of("read", "/dev/urandom".as_ref(), error))?;
    let id = id::make(&clock::compact(clock::now()), random);
    let claim = Claim::take(&work.disk, &work.instance, &work.folders.submit, (&file.name, file.uid, file.look), id)?;
    Ok(claim.map(|mut claim| {
        claim.settled_before(work.config.watch.settle);
        claim
    }))
}
