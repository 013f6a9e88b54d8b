//! Whose file is next. A user whose sbatch hangs must not hold up the others'.

use std::collections::{BTreeMap, VecDeque};

/// So many at once.
pub const AT_ONCE: usize = 32;
/// So many of one user's.
pub const OF_ONE: usize = 4;

/// What waits for its turn, by owner.
#[derive(Debug)]
pub struct Turns<T> {
    waiting: BTreeMap<u32, VecDeque<T>>,
    running: BTreeMap<u32, usize>,
    last: u32,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), running: BTreeMap::new(), last: 0 }
    }
}

impl<T> Turns<T> {
    /// Something of this user's waits.
    pub fn push(&mut self, uid: u32, item: T) {
        self.waiting.entry(uid).or_default().push_back(item);
    }

    /// What is next, with its owner: users take turns.
    pub fn next(&mut self) -> Option<(u32, T)> {
        if self.running() >= AT_ONCE {
            return None;
        }
        let after = self.waiting.range(self.last.saturating_add(1)..).map(|(uid, _)| *uid);
        let before = self.waiting.range(..=self.last).map(|(uid, _)| *uid);
        let free = |uid: &u32| self.running.get(uid).copied().unwrap_or(0) < OF_ONE;
        let uid = after.chain(before).find(free)?;
        let queue = self.waiting.get_mut(&uid)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&uid);
        }
        let item = item?;
        *self.running.entry(uid).or_default() += 1;
        self.last = uid;
        Some((uid, item))
    }

    /// Something of this user's is done.
    pub fn done(&mut self, uid: u32) {
        if let Some(count) = self.running.get_mut(&uid) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&uid);
            }
        }
    }

    /// Takes back what waits.
    pub fn drain(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }

    /// How many are being done.
    pub fn running(&self) -> usize {
        self.running.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_every_turn() {
        let mut turns = Turns::default();
        (0..100).for_each(|n| turns.push(1000, n));
        (0..2).for_each(|n| turns.push(1001, n));
        let taken: Vec<_> = std::iter::from_fn(|| turns.next()).map(|(uid, n)| (uid - 1000, n)).collect();
        assert_eq!(taken, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (0, 3)]);
        turns.done(1000);
        assert_eq!(turns.next(), Some((1000, 4)));
        assert_eq!(turns.next(), None);
        turns.push(1001, 7);
        assert_eq!(turns.next(), Some((1001, 7)));
        assert_eq!(turns.running(), 7);
    }

    #[test]
    fn all_together_are_not_too_many() {
        let mut turns = Turns::default();
        (0..20).for_each(|uid| (0..9).for_each(|n| turns.push(uid, n)));
        assert_eq!(std::iter::from_fn(|| turns.next()).count(), AT_ONCE);
    }
}
