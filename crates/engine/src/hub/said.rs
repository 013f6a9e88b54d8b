//! What the agent says of the tasks: passed on to the shims, and noted in the journal.
//!
//! Each thing once for each task: whoever has changed the agent could fill the node's log with it.

use serde_json::Value;
use slurm_k8s_agent::link::message::{End, Message, Refusal};
use tokio::time::Instant;

use super::{Hub, POST_MORTEM};
use crate::{cgroup, refusal};

/// The longest line of the agent's that is passed on, in bytes.
const LONGEST_NOTICE: usize = 4096;

const KILL: i32 = 9;
const TERM: i32 = 15;

impl Hub<'_> {
    pub(super) fn agent_said(&mut self, task: u32, mut message: Message) {
        if self.tasks.get_mut(&task).is_none_or(|state| state.said.again(&message)) {
            return;
        }
        // However it ended: a script may live on when the kernel has killed its program.
        if matches!(message, Message::Exited { .. }) {
            self.tell_memory(task);
        }
        self.journal.told(&message);
        match &mut message {
            Message::LogLost { .. } => return,
            Message::Notice { text, .. } => text.truncate(text.floor_char_boundary(LONGEST_NOTICE)),
            _ => {}
        }
        let ends = matches!(message, Message::Exited { .. } | Message::NotStarted { .. });
        let Some(state) = self.tasks.get_mut(&task) else { return };
        state.ended |= ends;
        // Not the user's failure, and not Slurm's doing.
        let foreign = killed(&message) && state.signalled != Some(TERM);
        match self.leaving.as_ref().filter(|_| ends) {
            Some(refusal) if foreign => {
                self.journal.refused(refusal);
                state.tell(Message::Refused(refusal.clone()));
            }
            // The kubelet kills first and tells the API server then.
            None if foreign && self.agent_leaves => {
                state.held = Some(message);
                self.held_until = Some(Instant::now() + POST_MORTEM);
            }
            Some(refusal) => {
                state.tell(Message::Notice { task, text: refusal.message.clone() });
                state.tell(message);
            }
            None => state.tell(message),
        }
        let all = u32::try_from(self.tasks.len()).is_ok_and(|tasks| tasks >= self.expected);
        let all = all && self.tasks.values().all(|task| task.ended);
        if all {
            self.look_at_usage();
        }
        if let Some(agent) = self.agent.as_ref().filter(|_| all) {
            agent.send(Message::Finish, Vec::new());
        }
    }

    /// The ends that have waited for a reason go to their shims: with it, or as they are.
    pub(super) fn release(&mut self, reason: Option<&Refusal>) {
        self.held_until = None;
        for state in self.tasks.values_mut() {
            let Some(message) = state.held.take() else { continue };
            if let Some(refusal) = reason {
                self.journal.refused(refusal);
            }
            state.tell(reason.map_or(message, |refusal| Message::Refused(refusal.clone())));
        }
    }

    /// The kernel's own word, while the container is there: to the user it looks like any other kill.
    fn tell_memory(&mut self, task: u32) {
        let Some(agent) = self.agent_process.as_ref().filter(|agent| agent.alive()) else { return };
        let Ok(memory) = cgroup::memory(agent.pid().as_raw_pid()) else { return };
        if memory.killed > self.killed_for_memory {
            self.killed_for_memory = memory.killed;
            self.journal
                .write("out_of_memory", &[("peak", Value::from(memory.peak)), ("limit", Value::from(memory.limit))]);
            if let Some(state) = self.tasks.get(&task) {
                refusal::out_of_memory(&memory).into_iter().for_each(|text| state.tell(Message::Notice { task, text }));
            }
        }
    }
}

/// Whether the end is one that the kubelet brings about.
fn killed(message: &Message) -> bool {
    matches!(message, Message::Exited { end: End::Signal(TERM | KILL), .. })
}
