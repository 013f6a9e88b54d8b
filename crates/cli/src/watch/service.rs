//! The watcher: looks at the folder, takes what is complete, and brings each file to its end.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use slurm_k8s_core::watch::metrics::Figures;
use slurm_k8s_core::watch::{id, reason};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, sleep_until};

use super::claim::Claim;
use super::clock;
use super::instance::Pulse;
use super::journal::Journal;
use super::look::{Ready, Submit};
use super::slurm::Slurm;
use super::trouble::pause;
use super::troubles::Troubles;
use super::turns::Turns;
use super::wake::Wake;
use super::work::{Outcome, Work, WorkError};
use super::{WatchError, figures};

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

    /// What is done from time to time.
    fn round(&mut self, running: &Running<'_>) -> Result<(), WatchError> {
        let now = Instant::now();
        if self.pulse.due()
            && let Err(error) = self.work.instance.beat(&self.work.disk, &self.work.folders)
        {
            if error.is_absent() {
                return Err(WorkError::Superseded.into());
            }
            self.troubles.aside("beat", &error);
        }
        if now >= self.overtake_at {
            self.overtake_at = now + self.work.config.watch.poll.max(Duration::from_secs(1));
            self.take_over();
        }
        if now >= self.look_at {
            self.look_at = now + self.work.config.watch.poll;
            self.look();
        }
        if now >= self.figures_at {
            self.figures_at = now + FIGURES;
            self.figures.taken = u64::try_from(self.later.len() + running.len()).unwrap_or(u64::MAX);
            self.write_figures();
        }
        Ok(())
    }

    fn take_over(&mut self) {
        let work = self.work;
        let taken = match work.instance.take_over(&work.disk, &work.folders, work.config.watch.lease) {
            Ok(taken) => taken,
            Err(error) => return self.troubles.aside("take over", &error),
        };
        self.troubles.well("take over");
        for one in taken {
            self.figures.taken_over += 1;
            self.journal.line(&format!("takes over {} from {}, which is gone", one.id, one.from));
            // Its sbatch may still run; it has this deadline.
            let deadline = (!one.surely).then(|| Instant::now() + work.config.watch.submit_timeout);
            self.resume(one.id, deadline);
        }
        // Also what this one has taken when something failed before it was in hand.
        match work.instance.claims(&work.disk) {
            Ok(claims) => claims.into_iter().for_each(|id| self.resume(id, None)),
            Err(error) => self.troubles.aside("claims", &error),
        }
    }

    fn resume(&mut self, id: String, not_before: Option<Instant>) {
        if self.known.contains(&id) {
            return;
        }
        match Claim::resume(&self.work.disk, &self.work.instance, id) {
            Ok(Some(mut claim)) => {
                claim.memory.not_before = not_before;
                self.known.insert(claim.id.clone());
                self.later.push((Instant::now(), claim));
            }
            Ok(None) => {}
            // The next round tries again.
            Err(error) => self.troubles.aside("resume", &error),
        }
    }

    fn look(&mut self) {
        let (work, journal) = (self.work, self.journal);
        let settle = work.config.watch.settle;
        let mut tell = |line: String| journal.line(&line);
        match self.submit.look(&work.disk, &work.folders, self.begin.elapsed(), settle, &mut tell) {
            Ok(ready) => {
                self.looks += 1;
                self.figures.looked = clock::now();
                self.figures.waiting = u64::try_from(self.submit.settling.len()).unwrap_or(u64::MAX);
                self.figures.unfinished = self.submit.unfinished;
                // What is there now is what can be taken.
                self.give_back();
                let busy = !self.later.is_empty() || self.turns.running() > 0;
                // One of those that have met it finds out when Slurm is back.
                let away = self.troubles.slurm.until().is_some() || (self.troubles.slurm.is_on() && busy);
                let waits = away || self.troubles.taking.until().is_some();
                self.troubles.well("look");
                if !waits {
                    ready.into_iter().for_each(|file| self.turns.push(file.uid, Task::Take(file)));
                }
            }
            Err(error) => self.troubles.aside("look", &error),
        }
        if let Some(next) = self.submit.settling.next(self.begin.elapsed(), settle) {
            self.look_at = self.look_at.min(self.begin + next + Duration::from_millis(1));
        }
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

    fn write_figures(&mut self) {
        let Some(path) = &self.work.config.watch.metrics else { return };
        self.figures.troubles = self.troubles.count;
        match figures::write(path, &self.figures) {
            Ok(()) => self.troubles.well("figures"),
            Err(error) => self.troubles.aside("figures", &error),
        }
    }
}

/// Takes a file; none if another watcher was faster.
pub fn take<S: Slurm>(work: &Work<S>, file: &Ready) -> Result<Option<Claim>, WorkError> {
    let random = clock::random().map_err(|error| super::disk::DiskError::of("read", "/dev/urandom".as_ref(), error))?;
    let id = id::make(&clock::compact(clock::now()), random);
    let claim = Claim::take(&work.disk, &work.instance, &work.folders.submit, (&file.name, file.uid, file.look), id)?;
    Ok(claim.map(|mut claim| {
        claim.settled_before(work.config.watch.settle);
        claim
    }))
}
