//! Signals by number, real-time ones included: sending, disposition, mask, and reading them from a descriptor.

use std::io;

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

/// The kernel's sigaction: handler, flags, restorer, mask. All zero is `SIG_DFL`.
type Action = [u64; 4];
const SIG_IGN: u64 = 1;

/// The signals that this process ignores, signal n as bit n - 1 (as in `SigIgn` of proc(5)).
#[must_use]
pub fn ignored() -> u64 {
    let ignores = |signo| exchange(signo, None) == Some(SIG_IGN);
    (1..=64).filter(|signo| ignores(*signo)).fold(0, |set, signo| set | 1 << (signo - 1))
}

/// Ignores these signals and gives every other one its default disposition: both stay through execve(2).
pub fn ignore_only(ignored: u64) {
    for signo in 1..=64 {
        let handler = if ignored >> (signo - 1) & 1 == 1 { SIG_IGN } else { 0 };
        exchange(signo, Some([handler, 0, 0, 0]));
    }
}

/// The old handler; none if the kernel refuses (KILL and STOP cannot be changed).
/// By `rt_sigaction`(2) itself, since the C library hides signals 32 and 33, which a container runtime leaves ignored.
fn exchange(signo: i32, new: Option<Action>) -> Option<u64> {
    const SIGSET_BYTES: usize = 8;
    let mut old: Action = [0; 4];
    let new = new.as_ref().map_or(std::ptr::null(), |action| action.as_ptr());
    // SAFETY: the kernel reads one struct of 32 bytes, which `new` is if it is not null, and writes one, which `old` is;
    // both outlive the call. The new handler is SIG_DFL or SIG_IGN, so no code is called by it.
    let code = unsafe { libc::syscall(libc::SYS_rt_sigaction, signo, new, old.as_mut_ptr(), SIGSET_BYTES) };
    (code == 0).then_some(old[0])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_seen_also_for_the_c_librarys_own_signals() {
        let before = ignored();
        let set = 1 << (32 - 1) | 1 << (64 - 1) | 1 << (12 - 1);
        ignore_only(set);
        assert_eq!(ignored(), set);
        ignore_only(before);
    }
}
