//! `srun --pty`: a terminal of the container's own in place of Slurm's.
//!
//! Slurm's is another devpts's: in the container it has no name and cannot control a session. So the agent opens one
//! there with the same settings and size and copies bytes between the two. Slurm's becomes raw, so that the line
//! discipline works once, in the container's.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use slurm_k8s_agent::link::message;

use crate::output::{Pumps, write_all};

/// More than one read of a terminal gives.
const CHUNK: usize = 16 * 1024;
/// More than the kernel keeps of a terminal's output: what comes after the task's end beyond that is not the task's.
const KEPT: usize = 128 * 1024;

/// The two terminals of a task. Those who copy own them: with the last of them the process's terminal hangs up, as it
/// would if Slurm's did.
pub struct Terminal {
    slurms: Weak<OwnedFd>,
    master: Weak<OwnedFd>,
}

/// Opens the terminal and puts it in the place of Slurm's wherever that is among the streams.
pub fn open(streams: [OwnedFd; 3], held: message::Terminal, pumps: &mut Pumps) -> io::Result<([OwnedFd; 3], Terminal)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let [stdin, stdout, stderr] = streams;
    let mut settings = tcgetattr(&stdin)?;
    let mut raw = settings.clone();
    raw.make_raw();
    settings.local_modes = LocalModes::from_bits_retain(held.modes);
    tcsetattr(&slave, OptionalActions::Now, &settings)?;
    tcsetwinsize(&slave, tcgetwinsize(&stdin)?)?;
    // The master's alone: Slurm's flags are shared with whoever else has it.
    rustix::io::ioctl_fionbio(&master, true)?;
    // Not flushed: the user may have typed already.
    tcsetattr(&stdin, OptionalActions::Now, &raw)?;
    type_silently(&stdin, held.typed, &master, &slave, settings)?;

    let replaced = |stream: OwnedFd| if isatty(&stream) { slave.try_clone() } else { Ok(stream) };
    let streams = [slave.try_clone()?, replaced(stdout)?, replaced(stderr)?];
    let (slurms, master) = (Arc::new(stdin), Arc::new(master));
    let terminal = Terminal { slurms: Arc::downgrade(&slurms), master: Arc::downgrade(&master) };
    let (from, to) = (Arc::clone(&slurms), Arc::clone(&master));
    pumps.add(move |stop| {
        type_in(&from, &to, &stop);
        (0, Ok(()))
    })?;
    pumps.add(move |stop| {
        show(&master, &slurms, &stop);
        // Held until now, so that a process may close its terminal and open it again.
        drop(slave);
        (0, Ok(()))
    })?;
    Ok((streams, terminal))
}

impl Terminal {
    /// Takes over the size of Slurm's. If it has changed, the kernel tells the foreground processes.
    pub fn resize(&self) {
        let (Some(slurms), Some(master)) = (self.slurms.upgrade(), self.master.upgrade()) else {
            return;
        };
        if let Ok(size) = tcgetwinsize(&slurms) {
            let _ = tcsetwinsize(&master, size);
        }
    }
}

/// Passes on what Slurm's terminal has echoed already.
fn type_silently(
    slurms: &OwnedFd,
    typed: u32,
    master: &OwnedFd,
    slave: &OwnedFd,
    mut settings: Termios,
) -> io::Result<()> {
    let there = |fd| poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    // Ctrl-Z may have discarded it since.
    if typed == 0 || there(slurms)? == 0 {
        return Ok(());
    }
    let mut bytes = vec![0_u8; CHUNK.min(typed.try_into().unwrap_or(CHUNK))];
    let count = read(slurms, &mut bytes)?;
    let modes = settings.local_modes;
    settings.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
    tcsetattr(slave, OptionalActions::Now, &settings)?;
    write(master, bytes.get(..count).unwrap_or_default())?;
    // To poll is to wait until the line discipline has taken it.
    there(slave)?;
    settings.local_modes = modes;
    Ok(tcsetattr(slave, OptionalActions::Now, &settings)?)
}

/// What the user types, until the task is over or Slurm's terminal hangs up. A program that does not read holds up
/// this direction only.
fn type_in(slurms: &OwnedFd, master: &OwnedFd, stop: &PipeReader) {
    let mut buffer = vec![0_u8; CHUNK];
    while ready(slurms, PollFlags::IN, stop) {
        let count = match read(slurms, &mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return,
        };
        let mut bytes = buffer.get(..count).unwrap_or_default();
        while !bytes.is_empty() {
            match write(master, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) if ready(master, PollFlags::OUT, stop) => {}
                Err(_) => return,
            }
        }
    }
}

/// Waits for one of `flags`; false if the task is over.
fn ready(fd: &impl AsFd, flags: PollFlags, stop: &PipeReader) -> bool {
    let mut fds = [PollFd::new(fd, flags), PollFd::new(stop, PollFlags::IN)];
    let _ = poll(&mut fds, None);
    let [_, stop] = fds;
    stop.revents().is_empty()
}

/// What the programs show, until the task is over and all of it was delivered, or Slurm's terminal hangs up.
fn show(master: &OwnedFd, slurms: &OwnedFd, stop: &PipeReader) {
    let mut buffer = vec![0_u8; CHUNK];
    let mut left = KEPT;
    while left > 0 {
        let mut fds = [
            PollFd::new(master, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(slurms, PollFlags::empty()),
        ];
        let _ = poll(&mut fds, None);
        let [master_has, stopped, hung_up] = fds.map(|fd| !fd.revents().is_empty());
        if hung_up || (stopped && !master_has) {
            return;
        }
        let count = match read(master, &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return,
        };
        if write_all(slurms, buffer.get(..count).unwrap_or_default()).is_err() {
            return;
        }
        if stopped {
            left = left.saturating_sub(count);
        }
    }
}
