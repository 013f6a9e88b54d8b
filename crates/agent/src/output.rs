//! `tee`: output goes to Slurm's descriptor, whole, and to the container's log, as much as it takes.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::log::Log;

/// One read of a pipe, in bytes; the pipes are made as large as the kernel allows everyone.
const CHUNK: usize = 128 * 1024;
const PIPE: usize = 1 << 20;
/// Enough for [`copy`], which has its buffer on the heap.
const STACK: usize = 128 * 1024;

/// What copies one task's streams.
pub struct Pumps {
    work: Vec<Work>,
    stopped: PipeReader,
    stop: Option<PipeWriter>,
    shared: Arc<Shared>,
}

/// What one thread does; returns what the log lost.
type Work = Box<dyn FnOnce() -> (u64, io::Result<()>) + Send>;

struct Copy {
    from: PipeReader,
    to: OwnedFd,
    log: BorrowedFd<'static>,
    stop: PipeReader,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    lost: AtomicU64,
    errno: AtomicI32,
}

/// What the process gets in place of Slurm's descriptors. One pipe if both are the same open file, else the order
/// between them would be lost. A terminal is handed over: behind a pipe it would be none.
pub fn tee(stdout: OwnedFd, stderr: OwnedFd, pumps: &mut Pumps) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut piped = |to: OwnedFd, log| -> io::Result<OwnedFd> {
        if rustix::termios::isatty(&to) {
            return Ok(to);
        }
        let (from, writer) = io::pipe()?;
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
        // Only the reading end: each end of a pipe has its own flags.
        rustix::io::ioctl_fionbio(&from, true)?;
        pumps.add(move |stop| copy(Copy { from, to, log, stop }))?;
        Ok(writer.into())
    };
    let one = same_file(&stdout, &stderr);
    let child_out = piped(stdout, rustix::stdio::stdout())?;
    let child_err = if one { child_out.try_clone()? } else { piped(stderr, rustix::stdio::stderr())? };
    Ok((child_out, child_err))
}

/// Whether both write to one place in one order.
fn same_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    if let Some(same) = slurm_k8s_posix::same_open_file(one.as_fd(), other.as_fd()) {
        return same;
    }
    // Where seccomp forbids the question: two descriptions of one file with the same flags and the same offset.
    let about = |fd: &OwnedFd| {
        let stat = rustix::fs::fstat(fd).ok()?;
        let flags = rustix::fs::fcntl_getfl(fd).ok()?;
        let offset = rustix::fs::seek(fd, rustix::fs::SeekFrom::Current(0)).ok();
        Some((stat.st_dev, stat.st_ino, flags, offset))
    };
    about(one).is_some() && about(one) == about(other)
}

impl Pumps {
    /// None yet.
    pub fn new() -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        Ok(Self { work: Vec::new(), stopped, stop: Some(stop), shared: Arc::default() })
    }

    /// One more; what it gets ends when the task's processes are gone.
    pub fn add(&mut self, work: impl FnOnce(PipeReader) -> (u64, io::Result<()>) + Send + 'static) -> io::Result<()> {
        let stop = self.stopped.try_clone()?;
        self.work.push(Box::new(move || work(stop)));
        Ok(())
    }

    /// Starts a thread for each stream; each writes a byte to `notify` when its stream has ended.
    pub fn start(&mut self, notify: &PipeWriter) -> io::Result<()> {
        for work in self.work.drain(..) {
            let shared = Arc::clone(&self.shared);
            let mut notify = notify.try_clone()?;
            shared.running.fetch_add(1, Ordering::AcqRel);
            let work = move || {
                let (lost, error) = work();
                shared.lost.fetch_add(lost, Ordering::AcqRel);
                if let Err(error) = error {
                    shared.errno.store(error.raw_os_error().unwrap_or(0), Ordering::Release);
                }
                shared.running.fetch_sub(1, Ordering::AcqRel);
                let _ = notify.write_all(b"x");
            };
            if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(work) {
                self.shared.running.fetch_sub(1, Ordering::AcqRel);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The task's processes are gone: what is in the pipes is all there is, whoever else still holds them open.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Whether all output was delivered.
    #[must_use]
    pub fn done(&self) -> bool {
        self.shared.running.load(Ordering::Acquire) == 0
    }

    /// Bytes that the log could not take.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Why Slurm's side took no more, other than that it was closed.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        let errno = self.shared.errno.load(Ordering::Acquire);
        (errno != 0 && errno != Errno::PIPE.raw_os_error()).then(|| io::Error::from_raw_os_error(errno))
    }
}

/// Copies until the last writer is gone or the task is over. If Slurm's side breaks, the pipe is closed, so that the
/// process gets its SIGPIPE as it would have without us. Returns what the log lost.
fn copy(stream: Copy) -> (u64, io::Result<()>) {
    let Copy { mut from, to, log, stop } = stream;
    let mut log = Log::open(log);
    let mut buffer = vec![0_u8; CHUNK];
    let result = loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if more(&from, &stop) {
                    continue;
                }
                break Ok(());
            }
            Err(error) => break Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Err(error) = write_all(&to, bytes) {
            break Err(error);
        }
        log.write(bytes);
    };
    // Before the log's last line: the process must not wait for it.
    drop((from, to));
    log.finish();
    (log.lost(), result)
}

/// Waits until there is something to read; false if the task is over and there is nothing.
fn more(from: &PipeReader, stop: &PipeReader) -> bool {
    let mut fds = [PollFd::new(from, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    let _ = poll(&mut fds, None);
    let [from, stop] = fds.map(|fd| !fd.revents().is_empty());
    from || !stop
}

/// Slurm's descriptor may be non-blocking: it shares its flags with whoever else has it.
pub fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(to, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
