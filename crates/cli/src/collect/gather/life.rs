//! Signs of life: what hangs in a file system is told from what has much to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two of them.
const TELL: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Debug, Clone, Default)]
pub struct Life(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    of: AtomicU64,
}

impl Life {
    /// With a thread that tells, as long as the process lives.
    pub fn told(tell: impl Fn(u64, u64) + Send + 'static) -> Self {
        let life = Self::default();
        let counts = Arc::clone(&life.0);
        let work = move || {
            loop {
                std::thread::sleep(TELL);
                tell(counts.done.load(Ordering::Relaxed), counts.of.load(Ordering::Relaxed));
            }
        };
        let _ = std::thread::Builder::new().name("tells".into()).spawn(work);
        life
    }

    /// A file more, or so many bytes.
    pub fn step(&self, count: u64) {
        self.0.done.fetch_add(count, Ordering::Relaxed);
    }

    /// How much there is to read in all, in bytes.
    pub fn expect(&self, bytes: u64) {
        self.0.of.store(bytes, Ordering::Relaxed);
    }
}
