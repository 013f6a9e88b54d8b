//! The few calls of the C library that no safe crate has, and its own view of a process: signals, limits, children.

use std::io;

mod exec;
mod login;
mod signal;
mod user;

pub use exec::{environment, execve};
pub use login::{Login, start_as};
pub use signal::{
    Received, block_signals, die_by, ignore_only, ignored, kill, next_signal, take_signals, unblock_signals,
};
pub use user::as_user;

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
