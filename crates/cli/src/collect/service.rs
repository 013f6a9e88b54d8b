//! The collector: looks at the jobs' names, asks Slurm which of them have ended, and collects those.

mod look;
mod trial;

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::{LocalBoxFuture, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use slurm_k8s_core::collect::metrics::{Figures, Hook, render};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep_until, timeout};

use super::CollectError;
use super::hook::Outcome;
use super::queue::Entry;
use super::work::{Done, Memory, Work, WorkError};
use crate::textfile::Textfile;
use crate::{clock, report};
use look::{Look, Ready, look};
use trial::{Key, Trials};

/// At its end it waits so long for what has begun; the next one begins it anew.
const LEAVE: Duration = Duration::from_secs(60);

type Running<'a> = FuturesUnordered<LocalBoxFuture<'a, (Entry, Memory, Result<Done, WorkError>)>>;

/// A run of the collector.
pub struct Service<'a> {
    work: &'a Work,
    trials: Trials,
    /// Ended jobs that wait for a free place.
    backlog: VecDeque<Ready>,
    /// What is wrong with Slurm or the folder; told once.
    trouble: Option<String>,
    figures: Figures,
    file: Textfile,
}

impl<'a> Service<'a> {
    /// With nothing in hand.
    pub fn new(work: &'a Work) -> Self {
        let figures = Figures { slurm: true, ..Figures::default() };
        let file = Textfile::new(work.config.results.metrics.clone());
        Self { work, trials: Trials::default(), backlog: VecDeque::new(), trouble: None, figures, file }
    }

    /// Runs until SIGTERM or SIGINT, or until all is done if it is to run `once`.
    pub async fn run(mut self, once: bool) -> Result<ExitCode, CollectError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(CollectError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CollectError::Signals)?;
        let mut lock = None;
        let mut running = Running::new();
        let mut looking: Option<LocalBoxFuture<'_, _>> = None;
        let mut next = Instant::now();
        loop {
            if looking.is_none() && Instant::now() >= next {
                next = Instant::now() + self.work.config.results.poll;
                if lock.is_none() {
                    lock = self.work.on_disk(super::queue::Queue::lock).await?;
                    if lock.is_none() && once {
                        return Err(CollectError::Busy(self.work.folder.clone()));
                    }
                    let text = "another collector is at work; this one waits for its end";
                    self.trouble(lock.is_none().then(|| text.to_owned()));
                }
                if lock.is_some() {
                    let (busy, asked) = (self.busy(), self.trials.asked());
                    looking = Some(Box::pin(look(self.work, busy, asked)));
                }
            }
            if lock.is_some() && self.file.is_due() {
                self.write();
            }
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(result) = OptionFuture::from(looking.as_mut()) => {
                    looking = None;
                    self.looked(result);
                    self.start(&mut running);
                    if once && running.is_empty() {
                        break;
                    }
                }
                Some((entry, memory, result)) = running.next() => {
                    self.ended(&entry, memory, result).await;
                    self.start(&mut running);
                    // With `once` another look tells whether that was all.
                    next = if once && running.is_empty() { Instant::now() } else { next };
                }
                () = sleep_until(next.into()), if looking.is_none() => {}
            }
        }
        drop(looking);
        let rest = async {
            while let Some((entry, memory, result)) = running.next().await {
                self.ended(&entry, memory, result).await;
            }
        };
        let _ = timeout(LEAVE, rest).await;
        if lock.is_some() {
            self.write();
        }
        let well = self.trouble.is_none() && !self.trials.any_failed();
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What need not be looked at: it is in hand, or has its pause.
    fn busy(&self) -> Vec<Key> {
        let backlog = self.backlog.iter().map(|ready| ready.entry.key());
        backlog.chain(self.trials.resting()).collect()
    }

    fn looked(&mut self, result: Result<Look, WorkError>) {
        let look = match result {
            Ok(look) => look,
            Err(error) => {
                self.figures.slurm &= !error.is_slurms();
                return self.trouble(Some(report::chain(&error)));
            }
        };
        self.figures.looked = clock::now();
        self.figures.slurm = look.trouble.as_ref().is_none_or(|error| !error.is_slurms());
        self.trouble(look.trouble.as_ref().map(|error| report::chain(error)));
        self.trials.keep(&look.names);
        self.backlog.extend(look.ready);
        for entry in look.unknown {
            if self.trials.unknown(&entry.key()) {
                let job = Work::unknown(&entry.id, entry.uid);
                self.backlog.push_back(Ready { entry, job: Some(job) });
            }
        }
    }

    /// Begins what can be begun. One user never has all places.
    fn start(&mut self, running: &mut Running<'a>) {
        let places = self.work.config.results.parallel as usize;
        let share = places.saturating_sub(1).max(1);
        let mut later = VecDeque::new();
        while running.len() < places {
            let Some(ready) = self.backlog.pop_front() else { break };
            let key = ready.entry.key();
            if self.trials.is_running(&key) || self.trials.running_of(key.1) >= share {
                later.push_back(ready);
                continue;
            }
            let mut memory = self.trials.begin(&key);
            let (work, Ready { mut entry, job }) = (self.work, ready);
            running.push(Box::pin(async move {
                let result = work.collect(&mut entry, job, &mut memory).await;
                (entry, memory, result)
            }));
        }
        later.append(&mut self.backlog);
        self.backlog = later;
    }

    async fn ended(&mut self, entry: &Entry, mut memory: Memory, result: Result<Done, WorkError>) {
        let key = entry.key();
        memory.fresh.take().iter().for_each(|summary| self.figures.job(summary));
        for outcome in memory.hooks.drain(..) {
            self.figures.hook(match outcome {
                Outcome::Well => Hook::Ok,
                Outcome::Failed(_) => Hook::Failed,
                Outcome::Timeout => Hook::Timeout,
            });
        }
        let error = match result {
            Ok(done) => {
                self.trials.end(&key);
                return if let Done::Never(why) = done {
                    self.give_up(entry, &why);
                };
            }
            Err(error) => error,
        };
        self.figures.slurm &= !error.is_slurms();
        // The accounting is always a little late.
        self.figures.failed_attempts += u64::from(!matches!(error, WorkError::Unaccounted));
        let collected = memory.is_collected();
        let failed = self.trials.fail(&key, memory);
        if failed.since >= self.work.config.results.patience && !error.is_slurms() {
            if self.trials.give_up(&key) {
                let what = if collected { "it is collected, but " } else { "given up: " };
                self.give_up(entry, &format!("{what}{}", report::chain(&error)));
            }
            match self.work.finish(entry).await {
                Ok(()) => self.trials.end(&key),
                // Only its name is still to go; until then it has its pauses.
                Err(error) if failed.is_news => self.work.tell_failure(entry, &error),
                Err(_) => {}
            }
        } else if failed.is_news && !matches!(error, WorkError::Unaccounted) {
            self.work.tell_failure(entry, &error);
        }
    }

    fn give_up(&mut self, entry: &Entry, why: &str) {
        self.figures.given_up += 1;
        self.work.journal.line(&format!("leaves     {}: {why}", entry.id));
    }

    /// Replaces the metrics' file.
    fn write(&mut self) {
        let backlog = self.backlog.iter().map(|ready| ready.entry.key());
        let waiting: BTreeSet<Key> = backlog.chain(self.trials.begun().cloned()).collect();
        self.figures.waiting = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        if let Some(text) = self.file.replace(&render(&self.figures)) {
            self.work.journal.line(&format!("waits      {text}"));
        }
    }

    /// Something that stops all jobs: in the log when it begins and when it ends.
    fn trouble(&mut self, text: Option<String>) {
        if text != self.trouble {
            match &text {
                Some(text) => self.work.journal.line(&format!("waits      {text}")),
                None => self.work.journal.line("goes on"),
            }
            self.trouble = text;
        }
    }
}
