//! One task of the step, as the hub sees it.

use std::os::fd::OwnedFd;

use rustix::process::Pid;
use slurm_k8s_agent::link::message::Message;

use crate::peer::Sender;

/// What has come of it.
#[derive(Default)]
pub struct Task {
    /// The way to its shim.
    pub shim: Option<Sender>,
    /// Its shim's process.
    pub pid: Option<Pid>,
    /// What the shim wants to be started, until the agent is there.
    pub start: Option<(Message, Vec<OwnedFd>)>,
    /// The agent has that.
    pub sent: bool,
    /// The last signal that came from Slurm.
    pub signalled: Option<i32>,
    /// Its end is known, or decided.
    pub ended: bool,
    /// Its shim is gone.
    pub gone: bool,
}

impl Task {
    /// Tells the shim, if there is one.
    pub fn tell(&self, message: Message) {
        if let Some(shim) = &self.shim {
            shim.send(message, Vec::new());
        }
    }
}
