//! Signals that came before their process was there, signal n as bit n - 1.
//!
//! On the bare node there is no such time. A script that has a trap for them has it a moment after its start; at once, the
//! signal would end it.

use std::time::{Duration, Instant};

/// How long after its start a process may take to get ready for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Signals, until they are due.
pub struct Kept {
    signals: u64,
    until: Instant,
}

impl Kept {
    /// None, as of the start of the process.
    pub fn new() -> Self {
        Self { signals: 0, until: Instant::now() + PATIENCE }
    }

    /// More; the same once more is the same, as with the kernel.
    pub const fn add(&mut self, signals: u64) {
        self.signals |= signals;
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.signals == 0
    }

    /// Takes what the process is ready for, or everything when it has had its time.
    pub fn due(&mut self, pid: i32) -> u64 {
        let ready = if Instant::now() < self.until { heeded(pid) } else { u64::MAX };
        let due = self.signals & ready;
        self.signals &= !ready;
        due
    }
}

/// What it catches, ignores or blocks (proc(5)). Who blocks everything is a shell or a library between two instructions,
/// as `posix_spawn(3)` is around its fork, and not ready for anything.
fn heeded(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    heeded_by(&status)
}

fn heeded_by(status: &str) -> u64 {
    /// Signals 1 to 31, but for KILL and STOP, which nobody can block.
    const EVERYTHING: u64 = 0x7fff_ffff & !(1 << (9 - 1)) & !(1 << (19 - 1));
    let masks = status.lines().filter_map(|line| {
        let (name, mask) = line.split_once(':')?;
        let set = u64::from_str_radix(mask.trim(), 16).ok()?;
        match name {
            "SigCgt" | "SigIgn" => Some(set),
            "SigBlk" if set & EVERYTHING != EVERYTHING => Some(set),
            _ => None,
        }
    });
    masks.fold(0, |all, mask| all | mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_is_due_at_once_and_the_rest_in_its_time() {
        let set = |signo: i32| 1_u64 << (signo - 1);
        let mut child = std::process::Command::new("sh").args(["-c", "trap '' USR1; exec sleep 100"]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while heeded(pid) & set(10) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let mut kept = Kept { signals: 0, until: deadline + Duration::from_hours(1) };
        kept.add(set(10) | set(12));
        assert_eq!((kept.due(pid), kept.due(pid), kept.is_empty()), (set(10), 0, false));
        kept.until = Instant::now();
        assert_eq!((kept.due(pid), kept.is_empty()), (set(12), true));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_blocked_signal_is_awaited_and_all_of_them_are_a_fork() {
        let status = |blocked| format!("SigPnd:\tffffffffffffffff\nSigBlk:\t{blocked:016x}\nSigIgn:\t4\nSigCgt:\t8\n");
        assert_eq!(heeded_by(&status(0x200_u64)), 0x20c);
        // As dash and glibc have it, which leaves its own two alone or does not.
        assert_eq!(heeded_by(&status(0xffff_fffe_7ffb_feff)), 0xc);
        assert_eq!(heeded_by(&status(0xffff_ffff_fffb_feff)), 0xc);
    }
}
