//! What the agent says of the tasks: passed on to the shims, and noted in the journal.
//!
//! Each thing once for each task: whoever has changed the agent could fill the node's log with it.

use serde_json::Value;
use slurm_k8s_agent::link::message::{End, Message};

use super::Hub;
use crate::{cgroup, refusal};

/// The longest line of the agent's that is passed on, in bytes.
const LONGEST_NOTICE: usize = 4096;

const KILL: i32 = 9;

/// What was said of a task.
#[derive(Default)]
pub(super) struct Said {
    started: bool,
    ended: bool,
    log_lost: bool,
}

impl Said {
    /// Whether this was said before.
    fn again(&mut self, message: &Message) -> bool {
        let said = match message {
            Message::Started { .. } => &mut self.started,
            Message::Exited { .. } | Message::NotStarted { .. } => &mut self.ended,
            Message::LogLost { .. } => &mut self.log_lost,
            _ => return false,
        };
        std::mem::replace(said, true)
    }
}

impl Hub<'_> {
    pub(super) fn agent_said(&mut self, task: u32, mut message: Message) {
        let new = |state: &mut super::Task| !state.said.again(&message);
        if !self.tasks.get_mut(&task).is_some_and(new) {
            return;
        }
        if let Message::Exited { end: End::Signal(KILL), .. } = message {
            self.tell_memory(task);
        }
        self.note(task, &message);
        match &mut message {
            Message::LogLost { .. } => return,
            Message::Notice { text, .. } => text.truncate(text.floor_char_boundary(LONGEST_NOTICE)),
            _ => {}
        }
        let Some(state) = self.tasks.get_mut(&task) else { return };
        state.ended |= matches!(message, Message::Exited { .. } | Message::NotStarted { .. });
        if let Some(shim) = &state.shim {
            shim.send(message, Vec::new());
        }
        let all = u32::try_from(self.tasks.len()).is_ok_and(|tasks| tasks >= self.expected);
        if let Some(agent) = self.agent.as_ref().filter(|_| all && self.tasks.values().all(|task| task.ended)) {
            agent.send(Message::Finish, Vec::new());
        }
    }

    fn note(&self, task: u32, message: &Message) {
        let mut values = vec![("task", Value::from(task))];
        let phase = match message {
            Message::Started { .. } => "started",
            Message::Exited { end, usage, .. } => {
                let (code, signal) = match end {
                    End::Code(code) => (Value::from(*code), Value::Null),
                    End::Signal(signo) => (Value::Null, Value::from(*signo)),
                };
                values.extend([
                    ("code", code),
                    ("signal", signal),
                    ("user_us", Value::from(usage.user_us)),
                    ("system_us", Value::from(usage.system_us)),
                    ("peak_kib", Value::from(usage.peak_kib)),
                ]);
                "exited"
            }
            Message::NotStarted { failure, .. } => {
                let what = String::from_utf8_lossy(&failure.what).into_owned();
                values.extend([("what", Value::from(what)), ("errno", Value::from(failure.errno))]);
                "not_started"
            }
            Message::LogLost { bytes, .. } => {
                values.push(("bytes", Value::from(*bytes)));
                "log_lost"
            }
            _ => return,
        };
        self.journal.write(phase, &values);
    }

    /// The kernel's own word, while the container is there: to the user it looks like any other kill.
    fn tell_memory(&mut self, task: u32) {
        let Some(agent) = self.agent_process.as_ref().filter(|agent| agent.alive()) else { return };
        let Ok(memory) = cgroup::memory(agent.pid().as_raw_pid()) else { return };
        if memory.killed > self.killed_for_memory {
            self.killed_for_memory = memory.killed;
            self.journal
                .write("out_of_memory", &[("peak", Value::from(memory.peak)), ("limit", Value::from(memory.limit))]);
            if let Some(shim) = self.tasks.get(&task).and_then(|state| state.shim.as_ref()) {
                for text in refusal::out_of_memory(&memory) {
                    shim.send(Message::Notice { task, text }, Vec::new());
                }
            }
        }
    }
}
