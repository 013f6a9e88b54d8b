//! What the API server tells of the Pod: noted in the journal, and told to the shims where a user waits for it.

use serde_json::Value;
use slurm_k8s_agent::link::message::Message;
use slurm_k8s_core::exit_code;

use super::Hub;
use crate::observe::Observed;

impl Hub<'_> {
    pub(super) fn observed(&mut self, observed: Observed) {
        match observed {
            Observed::Phase(text) => {
                self.journal.write("pod", &[("state", Value::from(text.as_str()))]);
                self.state = text;
            }
            Observed::Created(name) => {
                self.journal.record.created(&name);
                self.journal.write("pod", &[("state", Value::from("created"))]);
                self.state = "created".into();
            }
            Observed::Image(id) => self.journal.record.image_id(&id),
            Observed::Notice(text) => {
                self.journal.write("waiting", &[("reason", Value::from(text.as_str()))]);
                self.journal.record.notice(&text);
                for (task, state) in &self.tasks {
                    state.tell(Message::Notice { task: *task, text: text.clone() });
                }
                self.notice = Some(text);
            }
            Observed::Leaving(refusal) => {
                self.journal.write("leaving", &[("message", Value::from(refusal.message.as_str()))]);
                self.release(Some(&refusal));
                self.leaving = Some(refusal);
            }
            Observed::Failed(mut refusal) => {
                if !self.agent_seen {
                    refusal = self.leaving.take().unwrap_or(refusal);
                    // Nothing runs before the agent is there.
                    if refusal.code == exit_code::LOST {
                        refusal.code = exit_code::NOT_STARTED;
                    }
                }
                if !self.agent_seen || self.post_mortem.is_some() {
                    self.post_mortem = None;
                    self.refuse(refusal);
                } else {
                    // A held end waits on: that the container has ended may be told before the reason for it.
                    self.failure = Some(refusal);
                }
            }
        }
    }
}
