//! The container's log, which never slows the job: it takes what it can at once, the rest is counted.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};

/// What a pipe that polls as writable takes without blocking (pipe(7)).
const PAGE: usize = 4096;
/// How long the last line of a log may wait for room, in milliseconds.
const LAST_LINE: i64 = 100;

/// One stream of the container's log.
pub struct Log {
    to: To,
    lost: u64,
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
        Self { to: own.map_or(To::Shared(fd), To::Own), lost: 0 }
    }

    /// Bytes that it could not take.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what fits now.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
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
