//! One task of the step, as the hub sees it.

use slurm_k8s_agent::link::message::Message;

use crate::peer::{Freight, Sender};
use crate::process::Process;

/// What has come of it.
#[derive(Default)]
pub struct Task {
    /// The way to its shim.
    pub shim: Option<Sender>,
    /// Its shim's process.
    pub process: Option<Process>,
    /// What the shim wants to be started, until the agent is there.
    pub start: Option<(Message, Freight)>,
    /// The agent has that.
    pub sent: bool,
    /// The last signal that came from Slurm.
    pub signalled: Option<i32>,
    /// What the agent has said of it.
    pub said: Said,
    /// Its end, which waits until it is known who has brought it about.
    pub held: Option<Message>,
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

/// What was said of a task: each once.
#[derive(Default)]
pub struct Said {
    started: bool,
    ended: bool,
    log_lost: bool,
}

impl Said {
    /// Whether this was said before.
    pub fn again(&mut self, message: &Message) -> bool {
        let said = match message {
            Message::Started { .. } => &mut self.started,
            Message::Exited { .. } | Message::NotStarted { .. } => &mut self.ended,
            Message::LogLost { .. } => &mut self.log_lost,
            _ => return false,
        };
        std::mem::replace(said, true)
    }
}
