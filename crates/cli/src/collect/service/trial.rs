//! What is remembered of a name while the collector lives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::collect::work::Memory;

/// The pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// A job that nobody knows may be one of which slurmdbd has yet to hear.
const UNKNOWN: Duration = Duration::from_secs(600);
/// Until it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// A job, and the user who has named it.
pub type Key = (String, u32);

#[derive(Default)]
struct Trial {
    running: bool,
    memory: Memory,
    failures: u32,
    first: Option<Instant>,
    next: Option<Instant>,
    /// Since when nobody knows the job, and when that was asked.
    unknown: Option<(Instant, Instant)>,
}

/// How often, and for how long.
pub struct Failed {
    /// Since the first time.
    pub since: Duration,
    /// It is worth a line.
    pub is_news: bool,
}

/// All of them.
#[derive(Default)]
pub struct Trials(BTreeMap<Key, Trial>);

impl Trials {
    /// It is in work from now on; what is known from earlier attempts.
    pub fn begin(&mut self, key: &Key) -> Memory {
        let trial = self.0.entry(key.clone()).or_default();
        trial.running = true;
        std::mem::take(&mut trial.memory)
    }

    /// It is done with.
    pub fn end(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// An attempt has failed.
    pub fn fail(&mut self, key: &Key, memory: Memory) -> Failed {
        let trial = self.0.entry(key.clone()).or_default();
        (trial.running, trial.memory) = (false, memory);
        trial.failures += 1;
        let pause = (PAUSE.0 * 2_u32.saturating_pow(trial.failures.min(10) - 1)).min(PAUSE.1);
        trial.next = Some(Instant::now() + pause);
        let since = trial.first.get_or_insert_with(Instant::now).elapsed();
        Failed { since, is_news: trial.failures == 1 || trial.failures.is_multiple_of(10) }
    }

    /// Nothing more is done for it, but its name is still there; whether that is new.
    pub fn give_up(&mut self, key: &Key) -> bool {
        self.0.get_mut(key).is_some_and(|trial| !std::mem::replace(&mut trial.memory.given_up, true))
    }

    /// Nobody knows the job; whether that has been so for long enough.
    pub fn unknown(&mut self, key: &Key) -> bool {
        let now = Instant::now();
        let (since, asked) = self.0.entry(key.clone()).or_default().unknown.get_or_insert((now, now));
        *asked = now;
        since.elapsed() >= UNKNOWN
    }

    /// What was unknown a moment ago.
    pub fn asked(&self) -> Vec<Key> {
        let recent = |trial: &Trial| trial.unknown.is_some_and(|(_, asked)| asked.elapsed() < ASK_AGAIN);
        self.0.iter().filter(|(_, trial)| recent(trial)).map(|(key, _)| key.clone()).collect()
    }

    /// What is in work, or has its pause after a failure.
    pub fn resting(&self) -> impl Iterator<Item = Key> + '_ {
        let now = Instant::now();
        let rests = move |trial: &Trial| trial.running || trial.next.is_some_and(|next| next > now);
        self.0.iter().filter(move |(_, trial)| rests(trial)).map(|(key, _)| key.clone())
    }

    /// Jobs that have ended and are in work, or were and will be again.
    pub fn begun(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(|(_, trial)| trial.running || trial.failures > 0).map(|(key, _)| key)
    }

    /// Whether it is in work.
    pub fn is_running(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|trial| trial.running)
    }

    /// How many of this user's are in work.
    pub fn running_of(&self, uid: u32) -> usize {
        self.0.iter().filter(|((_, of), trial)| *of == uid && trial.running).count()
    }

    /// Forgets what is not there any more.
    pub fn keep(&mut self, names: &BTreeSet<Key>) {
        self.0.retain(|key, trial| trial.running || names.contains(key));
    }

    /// Whether there are attempts that failed.
    pub fn any_failed(&self) -> bool {
        self.0.values().any(|trial| trial.failures > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_pause_and_is_told_once() {
        let mut trials = Trials::default();
        let key = ("7".to_owned(), 1000);
        let memory = trials.begin(&key);
        assert!(trials.is_running(&key) && trials.running_of(1000) == 1 && trials.running_of(1) == 0);
        assert!(trials.fail(&key, memory).is_news && !trials.fail(&key, Memory::default()).is_news);
        assert!(trials.any_failed() && trials.resting().eq([key.clone()]) && !trials.is_running(&key));
        assert!(trials.begun().eq([&key]));
        trials.keep(&BTreeSet::new());
        assert!(!trials.any_failed());
    }

    #[test]
    fn it_is_given_up_once() {
        let mut trials = Trials::default();
        let key = ("7".to_owned(), 1000);
        let memory = trials.begin(&key);
        let _ = trials.fail(&key, memory);
        assert!(trials.give_up(&key));
        // Its name could not be removed, so there is another attempt.
        let memory = trials.begin(&key);
        assert!(memory.given_up);
        let _ = trials.fail(&key, memory);
        assert!(!trials.give_up(&key));
    }

    #[test]
    fn what_nobody_knows_is_asked_for_seldom() {
        let mut trials = Trials::default();
        let key = ("7".to_owned(), 1000);
        assert!(!trials.unknown(&key));
        assert_eq!(trials.asked(), [key]);
        assert_eq!((trials.resting().count(), trials.begun().count()), (0, 0));
    }
}
