//! The collector: looks at the jobs' names, asks Slurm which of them have ended, and collects those.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use slurm_k8s_core::collect::job::Job;
use slurm_k8s_core::collect::metrics::{Figures, Hook, render};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep_until, timeout};

use super::hook::Outcome;
use super::queue::Entry;
use super::slurm::Word;
use super::work::{Done, Memory, Work, WorkError};
use super::{CollectError, slurm};
use crate::textfile::Textfile;
use crate::{clock, report};

/// At its end it waits so long for what has begun; the next one begins it anew.
const LEAVE: Duration = Duration::from_secs(60);
/// The pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// A job that nobody knows may be one of which slurmdbd has yet to hear.
const UNKNOWN: Duration = Duration::from_secs(600);

type Running<'a> = FuturesUnordered<LocalBoxFuture<'a, (Entry, Memory, Result<Done, WorkError>)>>;

/// What is remembered of an entry while the collector lives.
#[derive(Default)]
struct Trial {
    running: bool,
    memory: Memory,
    failures: u32,
    first: Option<Instant>,
    next: Option<Instant>,
    /// Since when nobody knows the job.
    unknown: Option<Instant>,
}

/// A run of the collector.
pub struct Service<'a> {
    work: &'a Work,
    trials: BTreeMap<(String, u32), Trial>,
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
        Self { work, trials: BTreeMap::new(), trouble: None, figures, file }
    }

    /// Runs until SIGTERM or SIGINT, or until all is done if it is to run `once`.
    pub async fn run(mut self, once: bool) -> Result<ExitCode, CollectError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(CollectError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CollectError::Signals)?;
        let mut lock = None;
        let mut running = Running::new();
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                next = Instant::now() + self.work.config.results.poll;
                if lock.is_none() {
                    lock = self.work.queue.lock()?;
                    if lock.is_none() && once {
                        return Err(CollectError::Busy(self.work.folder.clone()));
                    }
                    let text = "another collector is at work; this one waits for its end";
                    self.trouble(lock.is_none().then(|| text.to_owned()));
                }
                if lock.is_some() {
                    self.round(&mut running).await;
                }
                if once && running.is_empty() {
                    break;
                }
            }
            if lock.is_some() && self.file.is_due() {
                self.write();
            }
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some((entry, memory, result)) = running.next() => {
                    self.ended(&entry, memory, result);
                    // Its place is free; with `once` the next round sees whether that was all.
                    next = if once && running.is_empty() { Instant::now() } else { next };
                }
                () = sleep_until(next.into()) => {}
            }
        }
        let rest = async {
            while let Some((entry, memory, result)) = running.next().await {
                self.ended(&entry, memory, result);
            }
        };
        let _ = timeout(LEAVE, rest).await;
        if lock.is_some() {
            self.write();
        }
        let well = self.trouble.is_none() && self.trials.values().all(|trial| trial.failures == 0);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Looks, asks, and begins what can be begun.
    async fn round(&mut self, running: &mut Running<'a>) {
        let ready = match self.ready(running.len()).await {
            Ok(ready) => {
                self.trouble(None);
                ready
            }
            Err(error) => {
                self.figures.slurm &= !error.is_slurms();
                return self.trouble(Some(report::chain(&error)));
            }
        };
        for (mut entry, job) in ready {
            let trial = self.trials.entry((entry.id.clone(), entry.uid)).or_default();
            trial.running = true;
            let mut memory = std::mem::take(&mut trial.memory);
            let work = self.work;
            running.push(Box::pin(async move {
                let result = work.collect(&mut entry, job, &mut memory).await;
                (entry, memory, result)
            }));
        }
    }

    /// The jobs to begin with now; a job that slurmctld has forgotten comes with what the accounting has.
    async fn ready(&mut self, running: usize) -> Result<Vec<(Entry, Option<Job>)>, WorkError> {
        let free = (self.work.config.results.parallel as usize).saturating_sub(running);
        let now = Instant::now();
        let entries = self.work.queue.entries()?;
        self.figures.looked = clock::now();
        self.figures.waiting = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let present = |key: &(String, u32)| entries.iter().any(|entry| (&entry.id, entry.uid) == (&key.0, key.1));
        self.trials.retain(|key, trial| trial.running || present(key));
        let waits = |entry: &&Entry| {
            let trial = self.trials.get(&(entry.id.clone(), entry.uid));
            trial.is_none_or(|trial| !trial.running && trial.next.is_none_or(|next| next <= now))
        };
        let waiting: Vec<Entry> = entries.iter().filter(waits).cloned().collect();
        if waiting.is_empty() || free == 0 {
            return Ok(Vec::new());
        }
        let known = slurm::known().await?;
        let forgotten: Vec<&str> =
            waiting.iter().map(|entry| entry.id.as_str()).filter(|id| !known.contains_key(*id)).collect();
        let mut accounted = if forgotten.is_empty() { BTreeMap::new() } else { slurm::accounted(&forgotten).await? };
        self.figures.slurm = true;
        let mut ready: Vec<(Entry, Option<Job>)> = Vec::new();
        for entry in waiting {
            // Of two names of one job the second goes with the next round.
            let same = ready.iter().any(|(other, _)| (&other.id, other.uid) == (&entry.id, entry.uid));
            match slurm::judge(entry.uid, known.get(&entry.id), accounted.remove(&entry.id)) {
                Word::Foreign => self.work.queue.remove(&entry)?,
                Word::Over(job) if !same && ready.len() < free => ready.push((entry, job)),
                Word::Over(_) | Word::Open => {}
                Word::Unknown => {
                    let trial = self.trials.entry((entry.id.clone(), entry.uid)).or_default();
                    if trial.unknown.get_or_insert(now).elapsed() >= UNKNOWN && !same && ready.len() < free {
                        ready.push((entry, None));
                    }
                }
            }
        }
        Ok(ready)
    }

    fn ended(&mut self, entry: &Entry, memory: Memory, result: Result<Done, WorkError>) {
        let key = (entry.id.clone(), entry.uid);
        let error = match result {
            Ok(done) => {
                self.trials.remove(&key);
                self.count(&done);
                return self.work.tell(entry, &done);
            }
            Err(error) => error,
        };
        self.figures.slurm &= !error.is_slurms();
        // The accounting is always a little late.
        self.figures.failed_attempts += u64::from(!matches!(error, WorkError::Unaccounted));
        let trial = self.trials.entry(key.clone()).or_default();
        trial.running = false;
        trial.memory = memory;
        trial.failures += 1;
        let first = *trial.first.get_or_insert_with(Instant::now);
        let pause = (PAUSE.0 * 2_u32.saturating_pow(trial.failures.min(10) - 1)).min(PAUSE.1);
        trial.next = Some(Instant::now() + pause);
        let news = trial.failures == 1 || trial.failures.is_multiple_of(10);
        if first.elapsed() >= self.work.config.results.patience && !error.is_slurms() {
            self.trials.remove(&key);
            let why = format!("given up: {}", report::chain(&error));
            let _ = self.work.queue.remove(entry);
            let done = Done::Never(why);
            self.count(&done);
            self.work.tell(entry, &done);
        } else if news && !matches!(error, WorkError::Unaccounted) {
            self.work.tell_failure(entry, &error);
        }
    }

    fn count(&mut self, done: &Done) {
        match done {
            Done::Runs => {}
            Done::Never(_) => self.figures.given_up += 1,
            Done::Collected { summary, hooks } => {
                self.figures.job(summary);
                hooks.iter().for_each(|outcome| {
                    self.figures.hook(match outcome {
                        Outcome::Well => Hook::Ok,
                        Outcome::Failed(_) => Hook::Failed,
                        Outcome::Timeout => Hook::Timeout,
                    });
                });
            }
        }
    }

    /// Replaces the metrics' file.
    fn write(&mut self) {
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
