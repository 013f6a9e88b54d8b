//! The few calls of the C library that no safe crate has: signals by number, and a process's own end by one.

use std::io;

mod exec;
mod user;

pub use exec::{environment, execve};
pub use user::as_user;

/// Sends a signal by its number (also a real-time one) to a process; a negative `pid` means a process group, -1 every
/// process that can be reached (kill(2)).
pub fn kill(pid: i32, signo: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    if unsafe { libc::kill(pid, signo) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process by a signal, as if the signal had killed it: default disposition, not blocked, no core file.
pub fn die_by(signo: i32) -> ! {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls get plain integers and pointers to locals that outlive them; sigset_t is made by sigemptyset
    // before it is used. No other thread relies on the dispositions: the process ends here.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        libc::signal(signo, libc::SIG_DFL);
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signo);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signo);
        // A signal that does not end a process by default (or that the kernel keeps from PID 1).
        libc::_exit(128_i32.saturating_add(signo));
    }
}

/// Gives every signal its default disposition, as Slurm's tasks have it: an ignored one stays so through execve(2).
/// By `rt_sigaction`(2) itself, since the C library hides signals 32 and 33, which a container runtime leaves ignored.
pub fn restore_defaults() {
    const SIGSET_BYTES: usize = 8;
    // The kernel's sigaction (handler, flags, restorer, mask); all zero is SIG_DFL.
    let default = [0_u64; 4];
    for signo in 1..=64 {
        // SAFETY: the kernel reads one struct of 32 bytes, which `default` is, and writes nothing: the old action's
        // pointer is null. KILL and STOP are refused, which is right.
        unsafe {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signo, default.as_ptr(), none, SIGSET_BYTES);
        }
    }
}

/// Unblocks every signal in this thread; what came meanwhile is delivered now.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is made by sigemptyset before it is used, and no old one is asked for.
    let error = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Sets a limit by its number (`RLIMIT_*`); `u64::MAX` is unlimited (setrlimit(2)).
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the pointer is to a local that outlives the call.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A limit by its number: soft and hard; `u64::MAX` is unlimited (getrlimit(2)).
#[must_use]
pub fn limit(resource: u32) -> Option<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that outlives the call.
    let code = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (code == 0).then_some((limit.rlim_cur, limit.rlim_max))
}

/// Reaps one child that has ended: its pid, wait status and usage as (user µs, system µs, peak KiB). None if it has not
/// ended or is no child (wait4(2)).
#[must_use]
pub fn wait_for(pid: i32) -> Option<(i32, i32, (u64, u64, u64))> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is a value; both pointers are to locals that outlive the call.
    let (pid, usage) = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        (libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    let us = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    (pid > 0).then(|| (pid, status, (us(usage.ru_utime), us(usage.ru_stime), peak)))
}

/// How a wait status says a process ended: its exit code, or the signal that killed it (wait(2)).
pub fn ended(status: i32) -> Result<u8, i32> {
    if libc::WIFSIGNALED(status) {
        Err(libc::WTERMSIG(status))
    } else {
        Ok(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }
}

/// Blocks every signal in this thread.
pub fn block_signals() -> io::Result<()> {
    all_signals_blocked().map(drop)
}

/// Blocks every signal in this thread and returns a descriptor that tells them: read them with [`next_signal`].
pub fn take_signals() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    let set = all_signals_blocked()?;
    // SAFETY: the set is a local that outlives the call; the descriptor is new and nobody else's.
    unsafe {
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(std::os::fd::OwnedFd::from_raw_fd(fd)),
        }
    }
}

fn all_signals_blocked() -> io::Result<libc::sigset_t> {
    // SAFETY: the set is filled before it is used, and no old one is asked for.
    let (set, error) = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        (set, libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))
    };
    if error == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A signal that was read from a descriptor of [`take_signals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signo: i32,
    /// Who sent it; 0 if the kernel or a process of another namespace did.
    pub sender: u32,
}

/// The next signal; none if there is none now (signalfd(2)).
#[must_use]
pub fn next_signal(signals: &std::os::fd::OwnedFd) -> Option<Received> {
    // signalfd_siginfo begins with ssi_signo, ssi_errno, ssi_code, ssi_pid, 32 bits each.
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let count = rustix::io::read(signals, &mut info).ok()?;
    let head = info.first_chunk::<16>().filter(|_| count == info.len())?;
    let (words, _) = head.as_chunks::<4>();
    let [signo, _, _, sender] = *words else {
        return None;
    };
    let signo = i32::try_from(u32::from_ne_bytes(signo)).ok()?;
    Some(Received { signo, sender: u32::from_ne_bytes(sender) })
}

/// A child that has ended and was not reaped yet: its pid is not free, so its process group can be killed without
/// hitting another (waitid(2)).
#[must_use]
pub fn ended_child() -> Option<i32> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: siginfo_t is plain data for which zero is a value; the kernel fills it for a child that ended, and
    // then si_pid is the field in use.
    let pid = unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) == -1 {
            return None;
        }
        info.si_pid()
    };
    (pid > 0).then_some(pid)
}

/// Whether two descriptors share one open file description, by kcmp(2). None where the kernel or a seccomp profile
/// does not allow the question.
#[must_use]
pub fn same_open_file(one: std::os::fd::BorrowedFd<'_>, other: std::os::fd::BorrowedFd<'_>) -> Option<bool> {
    use std::os::fd::AsRawFd as _;
    const KCMP_FILE: i32 = 0;
    let me = std::process::id();
    // SAFETY: kcmp(2) with KCMP_FILE takes two pids and two descriptor numbers and touches no memory of ours.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, me, me, KCMP_FILE, one.as_raw_fd(), other.as_raw_fd()) };
    (order >= 0).then_some(order == 0)
}

/// A descriptor that this process was started with, by its number; it will not be inherited further.
pub fn inherited(number: i32) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: fcntl(2) takes plain integers; it fails if the number is not an open descriptor. Whoever started this
    // process gave it the descriptor for this one use, so nothing else owns it.
    unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(std::os::fd::OwnedFd::from_raw_fd(number))
    }
}
