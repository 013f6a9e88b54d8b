//! Back-off: exponential, with jitter, and never sooner than the API server wants.

use std::time::Duration;

use tokio::time::sleep;

/// The shortest and the longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// The longest that an API server's word counts.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause before the next try.
pub struct Pause {
    next: Duration,
    jitter: u32,
}

impl Pause {
    /// Before the first retry.
    #[must_use]
    pub fn new() -> Self {
        Self::of(std::process::id())
    }

    /// 0 to 1023, by process: nodes that lost the API server together must not return together.
    const fn of(pid: u32) -> Self {
        Self { next: PAUSE.0, jitter: pid.wrapping_mul(2_654_435_761) >> 22 }
    }

    /// How long it is now: half to one and a half of the back-off, but at least what the server says.
    #[must_use]
    pub fn length(&self, retry_after: Option<Duration>) -> Duration {
        let own = self.next * (512 + self.jitter) / 1024;
        // Those who were all told the same spread too.
        let told = retry_after.map(|told| told.min(LONGEST) + PAUSE.0 * self.jitter / 1024);
        told.map_or(own, |told| told.max(own))
    }

    /// Sleeps that long; the next time it is longer.
    pub async fn wait(&mut self, retry_after: Option<Duration>) {
        sleep(self.length(retry_after)).await;
        self.next = (self.next * 2).min(PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_started_one_after_the_other_wait_for_different_times() {
        for pid in [1, 4711, 32_768, u32::MAX - 1] {
            for told in [None, Some(Duration::from_secs(4))] {
                let apart = Pause::of(pid).length(told).abs_diff(Pause::of(pid + 1).length(told));
                assert!(apart > PAUSE.0 / 10, "{pid}: {apart:?}");
            }
        }
        for pid in 0..10_000 {
            let length = Pause::of(pid).length(None);
            assert!((PAUSE.0 / 2..PAUSE.0 * 3 / 2).contains(&length), "{pid}: {length:?}");
        }
    }

    #[test]
    fn it_grows_to_a_limit_and_never_undercuts_the_server() {
        let mut pause = Pause { next: PAUSE.0, jitter: 512 };
        assert_eq!(pause.length(None), PAUSE.0);
        assert!(pause.length(Some(Duration::from_secs(4))) >= Duration::from_secs(4));
        assert!(pause.length(Some(Duration::from_secs(3600))) < LONGEST + PAUSE.0);
        pause.next = PAUSE.1;
        assert_eq!(pause.length(Some(Duration::from_secs(1))), PAUSE.1);
    }
}
