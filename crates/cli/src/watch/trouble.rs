//! A trouble of the site's, told once and not at each attempt.

use std::time::{Duration, Instant};

/// The pause after so many failures.
pub fn pause(failures: u32) -> Duration {
    (FIRST * 2_u32.saturating_pow(failures.min(10))).min(LONGEST)
}

/// The first pause.
const FIRST: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(30);
/// One that goes on is told again after so long.
const AGAIN: Duration = Duration::from_secs(3600);

/// What is wrong at present.
#[derive(Debug, Default)]
pub struct Trouble {
    told: Option<(String, Instant)>,
    until: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    /// It is so again: `what` is wrong. A line for the log if that is news.
    pub fn met(&mut self, what: &str, text: &str) -> Option<String> {
        let now = Instant::now();
        if self.until.is_none_or(|until| until <= now) {
            self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
            self.until = Some(now + self.pause);
        }
        let old = self.told.as_ref().is_some_and(|(told, at)| told == what && at.elapsed() < AGAIN);
        if old {
            return None;
        }
        self.told = Some((what.to_owned(), now));
        Some(format!("waits      {text}"))
    }

    /// It is over. A line for the log if it was told.
    pub fn over(&mut self, text: &str) -> Option<String> {
        self.until = None;
        self.pause = Duration::ZERO;
        self.told.take().map(|_| format!("goes on    {text}"))
    }

    /// When to try again.
    pub fn until(&self) -> Option<Instant> {
        self.until.filter(|until| *until > Instant::now())
    }

    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_begins_changes_and_ends() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.over("x"), None);
        assert_eq!(trouble.met("full", "a: full"), Some("waits      a: full".into()));
        assert_eq!(trouble.met("full", "b: full"), None);
        assert!(trouble.until().is_some() && trouble.is_on());
        assert_eq!(trouble.met("slurm", "slurm"), Some("waits      slurm".into()));
        assert_eq!(trouble.over("again"), Some("goes on    again".into()));
        assert!(trouble.until().is_none() && !trouble.is_on());
    }
}
