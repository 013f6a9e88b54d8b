//! When a file is complete: nobody tells, so it has to have stayed the same for a while.

use std::collections::BTreeMap;
use std::time::Duration;

/// An empty file is rather one that somebody begins to write.
const EMPTY_FACTOR: u32 = 10;

/// What changes when somebody writes a file, or puts another one in its place. Times are nanoseconds since 1970; a time in
/// the future is as good as any: it only has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Which file.
    pub inode: u64,
    /// Its size.
    pub size: u64,
    /// When its contents changed.
    pub modified: i128,
    /// When anything of it changed, its name included.
    pub changed: i128,
}

/// The files that were looked at, by name. Times are a clock's that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    seen: BTreeMap<Vec<u8>, (Look, Duration)>,
}

impl Settling {
    /// Notes how a file looks now; whether it is complete.
    pub fn look(&mut self, name: &[u8], look: Look, now: Duration, settle: Duration) -> bool {
        match self.seen.get(name) {
            Some((before, since)) if *before == look => now.saturating_sub(*since) >= patience(&look, settle),
            _ => {
                self.seen.insert(name.to_vec(), (look, now));
                false
            }
        }
    }

    /// Forgets all but these.
    pub fn keep(&mut self, present: impl Fn(&[u8]) -> bool) {
        self.seen.retain(|name, _| present(name));
    }

    /// How many are seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// When the next one may be complete.
    #[must_use]
    pub fn next(&self, now: Duration, settle: Duration) -> Option<Duration> {
        let ends = self.seen.values().map(|(look, since)| *since + patience(look, settle));
        ends.filter(|end| *end > now).min()
    }
}

fn patience(look: &Look, settle: Duration) -> Duration {
    if look.size == 0 { settle * EMPTY_FACTOR } else { settle }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn look(size: u64, modified: i128) -> Look {
        Look { inode: 7, size, modified, changed: modified }
    }

    #[test]
    fn a_file_has_to_stay_the_same() {
        let mut files = Settling::default();
        let at = Duration::from_millis;
        assert!(!files.look(b"a", look(1, 5), at(0), SETTLE));
        assert!(!files.look(b"a", look(1, 5), at(1999), SETTLE));
        assert_eq!(files.next(at(1999), SETTLE), Some(at(2000)));
        assert!(!files.look(b"a", look(2, 5), at(2000), SETTLE));
        assert!(!files.look(b"a", Look { inode: 8, ..look(2, 5) }, at(4000), SETTLE));
        assert!(files.look(b"a", Look { inode: 8, ..look(2, 5) }, at(6000), SETTLE));
        files.keep(|name| name != b"a");
        assert!(files.is_empty());
        assert!(!files.look(b"a", Look { inode: 8, ..look(2, 5) }, at(6000), SETTLE));
    }

    #[test]
    fn an_empty_one_has_more_time_and_is_not_forgotten() {
        let mut files = Settling::default();
        assert!(!files.look(b"a", look(0, 5), Duration::ZERO, SETTLE));
        assert!(!files.look(b"a", look(0, 5), 9 * SETTLE, SETTLE));
        assert!(files.look(b"a", look(0, 5), 10 * SETTLE, SETTLE));
    }

    proptest! {
        /// Whatever the looks are, a file is complete only if the last ones are alike for long enough.
        #[test]
        fn never_before_its_time(looks in proptest::collection::vec((0_u64..3, 1_u64..1500), 1..40)) {
            let mut files = Settling::default();
            let (mut now, mut since, mut last) = (Duration::ZERO, Duration::ZERO, None);
            for (size, pause) in looks {
                now += Duration::from_millis(pause);
                if last != Some(size) {
                    (since, last) = (now, Some(size));
                }
                let complete = files.look(b"a", look(size, 5), now, SETTLE);
                let patience = if size == 0 { 10 * SETTLE } else { SETTLE };
                prop_assert_eq!(complete, now >= since + patience);
            }
        }
    }
}
