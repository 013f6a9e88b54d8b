//! Which shims stand still: frozen by `scontrol suspend`, or stopped by a signal that nobody can catch.

use std::collections::BTreeSet;

use rustix::process::Pid;

use crate::cgroup;

/// What has changed since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The step is frozen, or no longer.
    Frozen(bool),
    /// This task's shim was stopped. That it goes on is its own to say: it relays the signal.
    Stopped(u32),
}

/// What was seen last.
#[derive(Debug, Default)]
pub struct Standstill {
    frozen: bool,
    stopped: BTreeSet<u32>,
}

impl Standstill {
    /// Looks at the shims of the tasks.
    pub fn look(&mut self, shims: impl Iterator<Item = (u32, Pid)>) -> Vec<Change> {
        let seen = shims.map(|(task, pid)| {
            let pid = pid.as_raw_pid();
            (task, cgroup::is_frozen(pid).unwrap_or(false), is_stopped(pid))
        });
        self.compare(seen)
    }

    /// Forgets that the step is frozen; tells whether it was.
    pub fn end(&mut self) -> bool {
        std::mem::take(&mut self.frozen)
    }

    /// `seen`: for each task, whether it is frozen and whether it is stopped.
    fn compare(&mut self, seen: impl Iterator<Item = (u32, bool, bool)>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut frozen = false;
        for (task, is_frozen, is_stopped) in seen {
            frozen |= is_frozen;
            if !is_stopped {
                self.stopped.remove(&task);
            } else if self.stopped.insert(task) {
                changes.push(Change::Stopped(task));
            }
        }
        if frozen != self.frozen {
            self.frozen = frozen;
            changes.push(Change::Frozen(frozen));
        }
        changes
    }
}

/// The state in proc(5), `stat`: `T` is stopped.
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let text = String::from_utf8_lossy(&stat);
    text.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let mut standstill = Standstill::default();
        let mut look = |seen: &[(u32, bool, bool)]| standstill.compare(seen.iter().copied());
        assert_eq!(look(&[(0, false, false), (1, false, false)]), []);
        assert_eq!(look(&[(0, false, true), (1, false, false)]), [Change::Stopped(0)]);
        assert_eq!(look(&[(0, false, true), (1, false, false)]), []);
        assert_eq!(look(&[(0, true, true), (1, true, false)]), [Change::Frozen(true)]);
        assert_eq!(look(&[(0, false, false), (1, false, false)]), [Change::Frozen(false)]);
        assert_eq!(look(&[(0, false, true), (1, false, false)]), [Change::Stopped(0)]);
    }
}
