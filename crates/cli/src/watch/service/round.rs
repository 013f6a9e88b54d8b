//! What a watcher does from time to time: it shows that it lives, takes over from those that do not, looks at the folder, and
//! writes its figures.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use slurm_k8s_core::watch::metrics::render;

use super::{FIGURES, Running, Service, Task};
use crate::clock;
use crate::disk::DiskError;
use crate::textfile;
use crate::watch::WatchError;
use crate::watch::claim::Claim;
use crate::watch::slurm::Slurm;
use crate::watch::work::WorkError;

impl<S: Slurm> Service<'_, S> {
    /// What is done from time to time.
    pub(super) fn round(&mut self, running: &Running<'_>) -> Result<(), WatchError> {
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
        let mut failed = Vec::new();
        let lease = work.config.watch.lease;
        let taken = work.instance.take_over(&work.disk, &work.folders, lease, &mut |error| failed.push(error));
        let taken = taken.unwrap_or_else(|error| {
            failed.push(error);
            Vec::new()
        });
        match failed.first() {
            Some(error) => self.troubles.aside("take over", error),
            None => self.troubles.well("take over"),
        }
        let watchers: BTreeSet<_> = taken.iter().map(|one| one.from.clone()).collect();
        for watcher in watchers {
            let claims = taken.iter().filter(|one| one.from == watcher).map(|one| one.id.as_str());
            let claims = claims.collect::<Vec<_>>().join(" ");
            self.journal.line(&format!("takes over from {watcher}, which is gone: {claims}"));
        }
        for one in taken {
            self.figures.taken_over += 1;
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

    /// Replaces the metrics' file.
    pub(super) fn write_figures(&mut self) {
        let Some(path) = &self.work.config.watch.metrics else { return };
        self.figures.troubles = self.troubles.count;
        match textfile::write(path, &render(&self.figures)) {
            Ok(()) => self.troubles.well("figures"),
            Err(source) => self.troubles.aside("figures", &DiskError::of("write", path, source)),
        }
    }
}
