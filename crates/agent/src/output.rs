//! `tee`: output goes to Slurm's descriptor, whole, and to the container's log, as much as it takes.

use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What copies one task's output.
pub struct Pumps {
    copies: Vec<(PipeReader, OwnedFd, BorrowedFd<'static>)>,
    running: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

/// Pipes for the process in place of Slurm's descriptors: one pipe if both are the same open file, else the order
/// between them would be lost.
pub fn tee(stdout: OwnedFd, stderr: OwnedFd) -> std::io::Result<(OwnedFd, OwnedFd, Pumps)> {
    let (out_log, err_log) = (rustix::stdio::stdout(), rustix::stdio::stderr());
    let (out_read, out_write) = std::io::pipe()?;
    let mut copies = Vec::new();
    let child_err = if same_file(&stdout, &stderr) {
        out_write.try_clone()?
    } else {
        let (err_read, err_write) = std::io::pipe()?;
        copies.push((err_read, stderr, err_log));
        err_write
    };
    copies.push((out_read, stdout, out_log));
    let pumps = Pumps { running: Arc::new(AtomicUsize::new(copies.len())), copies, lost: Arc::default() };
    Ok((out_write.into(), child_err.into(), pumps))
}

fn same_file(a: &OwnedFd, b: &OwnedFd) -> bool {
    match (rustix::fs::fstat(a), rustix::fs::fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

impl Pumps {
    /// Starts a thread for each stream; each writes a byte to `notify` when its stream has ended.
    #[must_use]
    pub fn start(mut self, notify: &std::io::PipeWriter) -> Self {
        for (from, to, log) in self.copies.drain(..) {
            let (running, lost) = (Arc::clone(&self.running), Arc::clone(&self.lost));
            let Ok(mut notify) = notify.try_clone() else {
                running.fetch_sub(1, Ordering::AcqRel);
                continue;
            };
            std::thread::spawn(move || {
                copy(from, to, log, &lost);
                running.fetch_sub(1, Ordering::AcqRel);
                let _ = notify.write_all(b"x");
            });
        }
        self
    }

    /// Whether all output was delivered.
    #[must_use]
    pub fn done(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }

    /// Bytes that the log could not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Copies until the last writer is gone. If Slurm's side breaks, the pipe is closed, so that the process gets its
/// SIGPIPE as it would have without us.
fn copy(mut from: PipeReader, to: OwnedFd, log: BorrowedFd<'static>, lost: &AtomicU64) {
    let mut to = std::fs::File::from(to);
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if write_all(&mut to, bytes).is_err() {
            return;
        }
        mirror(log, bytes, lost);
    }
    let lost = lost.load(Ordering::Relaxed);
    if lost > 0 {
        let line = format!("\n[spank-k8s: {lost} bytes of output are not in this log]\n");
        mirror(log, line.as_bytes(), &AtomicU64::new(0));
    }
}

/// Slurm's descriptor may be non-blocking: it shares its flags with whoever else has it.
fn write_all(to: &mut std::fs::File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A pipe that polls as writable takes a page without blocking (pipe(7)); what does not fit at once is counted.
fn mirror(log: BorrowedFd<'static>, bytes: &[u8], lost: &AtomicU64) {
    const PAGE: usize = 4096;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut fds = [PollFd::from_borrowed_fd(log, PollFlags::OUT)];
        let ready = poll(&mut fds, Some(&now)).is_ok_and(|n| n == 1);
        let [fd] = fds;
        let piece = rest.get(..rest.len().min(PAGE)).unwrap_or_default();
        if !ready || !fd.revents().contains(PollFlags::OUT) {
            break;
        }
        match rustix::io::write(log, piece) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(_) => break,
        }
    }
    lost.fetch_add(rest.len() as u64, Ordering::Relaxed);
}
