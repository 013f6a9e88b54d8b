//! Slurm's terminal (`srun --pty`) while the shim waits for the Pod.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::ioctl_fionread;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use slurm_k8s_agent::link::message::Terminal;

/// A terminal whose settings are given back at the end.
pub struct Held {
    terminal: OwnedFd,
    settings: Termios,
    typed: u64,
}

impl Held {
    /// Holds the terminal that is stdin, if it is one: what the user types before the command runs is kept for the
    /// command's own terminal, which also echoes it. Ctrl-C still ends the wait.
    pub fn stdin() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return None;
        }
        let settings = tcgetattr(stdin).ok()?;
        let mut waiting = settings.clone();
        waiting.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        let terminal = stdin.as_fd().try_clone_to_owned().ok()?;
        tcsetattr(&terminal, OptionalActions::Now, &waiting).ok()?;
        let typed = ioctl_fionread(&terminal).unwrap_or(0);
        Some(Self { terminal, settings, typed })
    }

    /// What the agent must know of it.
    pub fn changed(&self) -> Terminal {
        Terminal { modes: self.settings.local_modes.bits(), typed: self.typed.try_into().unwrap_or(0) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.settings);
    }
}
