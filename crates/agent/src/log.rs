//! The container's log, which never slows the job: it takes what it can at once, the rest is counted.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};

/// What a pipe that polls as writable takes without blocking (pipe(7)).
const PAGE: usize = 4096;
/// How long the last line of a log may wait for room, in milliseconds.
const LAST_LINE: i64 = 100;

/// Bytes that a stream's log takes at once, as fast as they come.
const BURST: u64 = 16 << 20;
/// Bytes a second that it takes after that. The node's own work on a log (parsing, writing, rotating) takes cores and disk
/// from the job, and the kubelet keeps some 50 MiB of it anyway (`containerLogMaxSize`, `containerLogMaxFiles`).
const RATE: u64 = 4 << 20;
/// After this long it takes a whole burst again.
const FULL: Duration = Duration::from_secs(BURST / RATE);
const NANOS: u64 = 1_000_000_000;

/// One stream of the container's log.
pub struct Log {
    to: To,
    budget: Budget,
    lost: u64,
}

/// How much the log may take now.
struct Budget {
    left: u64,
    since: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// How many of the wanted bytes.
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.since);
        if passed >= FULL {
            *self = Self::new(now);
        } else if let Ok(passed) = u64::try_from(passed.as_nanos()) {
            // Less than FULL: no overflow. The time of a part of a byte is kept, but for a nanosecond.
            let earned = passed * RATE / NANOS;
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since += Duration::from_nanos((earned * NANOS).div_ceil(RATE));
        }
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(wanted);
        self.left = self.left.saturating_sub(taken as u64);
        taken
    }
}

enum To {
    /// The log's pipe, opened again: non-blocking, without changing the flags of whoever else has it.
    Own(OwnedFd),
    Shared(BorrowedFd<'static>),
}

impl Log {
    /// The log behind a descriptor of the agent's own.
    pub fn open(fd: BorrowedFd<'static>) -> Self {
        let pipe = rustix::fs::fstat(fd).is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Fifo);
        let again = || {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
            rustix::fs::open(path, flags, Mode::empty()).ok()
        };
        let own = if pipe { again() } else { None };
        Self { to: own.map_or(To::Shared(fd), To::Own), budget: Budget::new(Instant::now()), lost: 0 }
    }

    /// Bytes that it could not take.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what fits now.
    pub fn write(&mut self, bytes: &[u8]) {
        let allowed = self.budget.take(bytes.len(), Instant::now());
        let mut rest = bytes.get(..allowed).unwrap_or_default();
        self.lost += (bytes.len() - rest.len()) as u64;
        while !rest.is_empty() {
            let written = match &self.to {
                To::Own(fd) => rustix::io::write(fd, rest),
                To::Shared(fd) if !writable(*fd, 0) => break,
                To::Shared(fd) => rustix::io::write(fd, rest.get(..PAGE).unwrap_or(rest)),
            };
            match written {
                Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.lost += rest.len() as u64;
    }

    /// Says at the end what is missing.
    pub fn finish(&mut self) {
        if self.lost == 0 {
            return;
        }
        let line = format!("\n[spank-k8s: {} bytes are not in this log]\n", self.lost);
        let fd = match &self.to {
            To::Own(fd) => fd.as_fd(),
            To::Shared(fd) => *fd,
        };
        if writable(fd, LAST_LINE) {
            let _ = rustix::io::write(fd, line.as_bytes());
        }
    }
}

fn writable(fd: BorrowedFd<'_>, milliseconds: i64) -> bool {
    let wait = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let ready = poll(&mut fds, Some(&wait)).is_ok_and(|count| count == 1);
    let [fd] = fds;
    ready && fd.revents().contains(PollFlags::OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_the_log_takes_so_much_a_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let most = usize::try_from(BURST).unwrap();
        assert_eq!(budget.take(most + 1, start), most);
        assert_eq!(budget.take(1, start), 0);
        let rate = usize::try_from(RATE).unwrap();
        assert_eq!(budget.take(most, start + Duration::from_secs(1)), rate);
        let mut taken = 0;
        for micro in 1..=1_000_000 {
            taken += budget.take(usize::MAX, start + Duration::from_secs(1) + Duration::from_micros(micro));
        }
        assert!((rate - rate / 100..=rate).contains(&taken), "{taken}");
        assert_eq!(budget.take(usize::MAX, start + Duration::from_mins(1)), most);
    }
}
