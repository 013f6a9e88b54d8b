//! One task in the container, from its second stage to its last byte of output.

use std::io::{PipeReader, Read as _};

use slurm_k8s_agent::link::message::{End, Failure, Message, Scope, Usage};

use crate::kept::Kept;
use crate::output::Pumps;
use crate::spawn::Spawned;
use crate::terminal::Terminal;
use crate::tree;

const KILL: i32 = 9;
const WINCH: i32 = 28;
const EIO: i32 = 5;

/// A task.
pub struct Task {
    id: u32,
    pid: i32,
    scope: Scope,
    pumps: Pumps,
    terminal: Option<Terminal>,
    result: Option<PipeReader>,
    told: Vec<u8>,
    failed: bool,
    ended: Option<(End, Usage)>,
    kept: Option<Kept>,
}

impl Task {
    /// A task whose second stage runs.
    pub fn new(id: u32, scope: Scope, spawned: Spawned) -> Self {
        let Spawned { pid, pumps, terminal, result } = spawned;
        let (result, told) = (Some(result), Vec::new());
        Self { id, pid, scope, pumps, terminal, result, told, failed: false, ended: None, kept: None }
    }

    /// Its first process.
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether its first process has not ended.
    pub const fn runs(&self) -> bool {
        self.ended.is_none()
    }

    /// What tells whether its command runs, until it is known.
    pub const fn result(&self) -> Option<&PipeReader> {
        self.result.as_ref()
    }

    /// Reads from [`Self::result`]; the message that it amounts to at its end.
    pub fn settle(&mut self) -> Option<Message> {
        let task = self.id;
        match self.result.as_mut()?.read_to_end(&mut self.told) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return None,
            Ok(_) | Err(_) => self.result = None,
        }
        if self.told.is_empty() {
            return Some(Message::Started { task });
        }
        self.failed = true;
        let failure = postcard::from_bytes::<Failure>(&self.told).unwrap_or_else(|_| Failure {
            stage: slurm_k8s_agent::link::message::Stage::Spawn,
            what: b"the agent's second stage".to_vec(),
            errno: EIO,
        });
        Some(Message::NotStarted { task, failure })
    }

    /// Its first process has ended, and its processes are killed: what is in the pipes now is all there is.
    pub fn end(&mut self, end: End, usage: Usage) {
        self.ended = Some((end, usage));
        self.pumps.stop();
    }

    /// Whether there is nothing more to come.
    pub fn complete(&self) -> bool {
        self.ended.is_some() && self.pumps.done()
    }

    /// What is to be told at the end.
    pub fn last_words(&self) -> Vec<Message> {
        let (task, mut words) = (self.id, Vec::new());
        let Some((end, usage)) = self.ended.filter(|_| !self.failed) else {
            return words;
        };
        if let Some(error) = self.pumps.failure() {
            let text = format!("the task's output could not be written: {}", plain(&error));
            words.push(Message::Notice { task, text });
        }
        let bytes = self.pumps.lost();
        if bytes > 0 {
            words.push(Message::LogLost { task, bytes });
        }
        words.push(Message::Exited { task, end, usage });
        words
    }

    /// Delivers a signal to whom the site's process tracking would.
    pub fn signal(&self, signo: i32) {
        if !self.runs() {
            return;
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|_| signo == WINCH) {
            terminal.resize();
        }
        // A process that is gone needs no signal.
        match self.scope {
            Scope::Task => drop(slurm_k8s_posix::kill(self.pid, signo)),
            Scope::Tree => {
                for pid in tree::members(self.pid) {
                    let _ = slurm_k8s_posix::kill(pid, signo);
                }
            }
        }
    }

    /// Keeps signals until its first process catches them.
    pub fn keep(&mut self, signals: u64) {
        self.kept.get_or_insert_with(Kept::new).add(signals);
    }

    /// Delivers what is kept and due; whether more is kept.
    pub fn deliver_kept(&mut self) -> bool {
        let Some(kept) = self.kept.as_mut().filter(|_| self.ended.is_none()) else { return false };
        let due = kept.due(self.pid);
        let more = !kept.is_empty();
        (1..=64).filter(|signo| due >> (signo - 1) & 1 == 1).for_each(|signo| self.signal(signo));
        more
    }

    /// Kills its processes. Only while its first one was not reaped: then nobody else can have its number.
    pub fn kill(&self) {
        if !self.runs() {
            return;
        }
        let _ = slurm_k8s_posix::kill(-self.pid, KILL);
        for pid in tree::members(self.pid) {
            let _ = slurm_k8s_posix::kill(pid, KILL);
        }
    }
}

/// An error in the kernel's words, without Rust's number behind them.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
