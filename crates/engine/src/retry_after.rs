//! `Retry-After`: an overloaded API server says it in a header only, which kube does not pass on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// What the last answer said, in seconds; 0 is nothing.
#[derive(Debug, Clone, Default)]
pub struct RetryAfter(Arc<AtomicU32>);

impl RetryAfter {
    /// Keeps what an answer says. The API server gives seconds, never a date.
    pub fn note(&self, headers: &HeaderMap) {
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        self.0.store(seconds.unwrap_or(0), Ordering::Relaxed);
    }

    /// What the last answer said.
    #[must_use]
    pub fn take(&self) -> Option<Duration> {
        let seconds = self.0.swap(0, Ordering::Relaxed);
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_once_and_anything_else_does_not() {
        let said = |text: &str| {
            let retry_after = RetryAfter::default();
            retry_after.note(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
            (retry_after.take(), retry_after.take())
        };
        assert_eq!(said("4"), (Some(Duration::from_secs(4)), None));
        assert_eq!(said("Fri, 31 Dec 1999 23:59:59 GMT"), (None, None));
        assert_eq!(said("-1"), (None, None));
    }
}
