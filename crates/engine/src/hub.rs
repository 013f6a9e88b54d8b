//! Joins the shims, the agent and the Pod's story until the step ends. Runs on the engine thread, from the first shim's
//! connection on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, pidfd_send_signal};
use serde_json::Value;
use slurm_k8s_agent::link::message::{End, Ids, Message, Refusal};
use slurm_k8s_core::exit_code;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cgroup;
use crate::door::Door;
use crate::journal::Journal;
use crate::observe::Observed;
use crate::peer::Sender;
use crate::refusal;
use crate::standstill::{Change, Standstill};
use crate::sweep;
use crate::task::Task;

/// How long the kubelet has to say why a container ended without a word from the agent.
const POST_MORTEM: Duration = Duration::from_secs(3);
/// How often the shims are looked at: a suspended one says nothing.
const LOOK: Duration = Duration::from_millis(500);

const KILL: i32 = 9;
const TERM: i32 = 15;
const STOP: i32 = 19;

/// What happened at one of the ends.
pub enum Event {
    Shim { task: u32, sender: Sender, pid: Pid },
    FromShim { task: u32, message: Message, descriptors: Vec<OwnedFd> },
    ShimGone { task: u32 },
    Agent { sender: Sender, pid: Pid, pidfd: OwnedFd, ids: Ids },
    FromAgent(Message),
    AgentGone,
    Pod(Observed),
}

/// The state of one step on one node.
pub struct Hub<'a> {
    journal: &'a Journal,
    run_dir: &'a Path,
    expected: u32,
    door: Door,
    tasks: BTreeMap<u32, Task>,
    standstill: Standstill,
    agent: Option<Sender>,
    agent_seen: bool,
    agent_process: Option<(Pid, OwnedFd)>,
    killed_for_memory: u64,
    refusal: Option<Refusal>,
    failure: Option<Refusal>,
    leaving: Option<Refusal>,
    notice: Option<String>,
    state: String,
    post_mortem: Option<Instant>,
    start_deadline: Instant,
}

impl<'a> Hub<'a> {
    pub fn new(journal: &'a Journal, run_dir: &'a Path, door: Door, expected: u32, start_timeout: Duration) -> Self {
        Self {
            journal,
            run_dir,
            expected,
            door,
            tasks: BTreeMap::new(),
            standstill: Standstill::default(),
            agent: None,
            agent_seen: false,
            agent_process: None,
            killed_for_memory: 0,
            refusal: None,
            failure: None,
            leaving: None,
            notice: None,
            state: "waiting for the kubelet".to_owned(),
            post_mortem: None,
            start_deadline: Instant::now() + start_timeout,
        }
    }

    /// Serves until every shim is gone or `finish` resolves.
    pub async fn serve(&mut self, mut events: mpsc::Receiver<Event>, finish: impl Future<Output = ()>) {
        tokio::pin!(finish);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.done() {
            let deadline = self.deadline();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                () = &mut finish => return,
                () = sleep_until(deadline) => self.expire(),
                _ = looks.tick(), if self.agent.is_some() => self.follow_standstill(),
            }
        }
    }

    /// The agent's process, for the end of the step.
    pub fn into_agent(mut self) -> Option<OwnedFd> {
        self.thaw();
        self.agent_process.map(|(_, pidfd)| pidfd)
    }

    /// Whether every task of this node came and went.
    fn done(&self) -> bool {
        let gone = self.tasks.values().filter(|task| task.gone).count();
        u32::try_from(gone).is_ok_and(|gone| gone >= self.expected)
    }

    fn deadline(&self) -> Instant {
        match self.post_mortem {
            Some(at) => at,
            None if self.agent_seen || self.refusal.is_some() => Instant::now() + Duration::from_secs(3600),
            None => self.start_deadline,
        }
    }

    fn expire(&mut self) {
        if self.post_mortem.take().is_some() {
            let refusal = self.failure.take().unwrap_or_else(refusal::lost);
            self.refuse(refusal);
        } else if !self.agent_seen && Instant::now() >= self.start_deadline {
            let timeout = || refusal::start_timeout(self.notice.as_ref().unwrap_or(&self.state));
            let refusal = self.failure.take().unwrap_or_else(timeout);
            self.refuse(refusal);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Shim { task, sender, pid } => self.shim_came(task, sender, pid),
            Event::FromShim { task, message, descriptors } => {
                self.shim_said(task, message, descriptors);
            }
            Event::ShimGone { task } => self.shim_gone(task),
            Event::Agent { sender, pid, pidfd, ids } => self.agent_came(sender, pid, pidfd, &ids),
            Event::FromAgent(message) => self.agent_said(message),
            Event::AgentGone => self.agent_gone(),
            Event::Pod(observed) => self.observed(observed),
        }
    }

    fn shim_came(&mut self, task: u32, sender: Sender, pid: Pid) {
        if let Some(refusal) = &self.refusal {
            sender.send(Message::Refused(refusal.clone()), Vec::new());
        } else if let Some(text) = &self.notice {
            sender.send(Message::Notice { task, text: text.clone() }, Vec::new());
        }
        let state = self.tasks.entry(task).or_default();
        state.shim = Some(sender);
        state.pid = Some(pid);
    }

    fn shim_said(&mut self, task: u32, message: Message, descriptors: Vec<OwnedFd>) {
        let Some(state) = self.tasks.get_mut(&task) else {
            return;
        };
        match &message {
            Message::Start(start) if start.task == task && state.start.is_none() && !state.sent => {
                state.start = Some((message, descriptors));
                self.forward_starts();
            }
            Message::Signal { task: named, signo } if *named == task && state.sent => {
                state.signalled = Some(*signo);
                if let Some(agent) = &self.agent {
                    agent.send(message, Vec::new());
                }
            }
            _ => log::debug!("task {task}: an unexpected message from its shim is dropped"),
        }
    }

    /// The task ended as Slurm sees it: nothing of it may go on in the Pod.
    fn shim_gone(&mut self, task: u32) {
        let Some(state) = self.tasks.get_mut(&task) else {
            return;
        };
        state.gone = true;
        state.shim = None;
        state.start = None;
        let cut_off = state.sent && !state.ended;
        if cut_off {
            state.ended = true;
            self.journal.write("shim_gone", &[("task", Value::from(task))]);
            if let Some(agent) = &self.agent {
                agent.send(Message::Kill { task }, Vec::new());
            }
        }
        if cut_off && self.done() {
            self.kill_agent();
        }
    }

    fn agent_came(&mut self, sender: Sender, pid: Pid, pidfd: OwnedFd, ids: &Ids) {
        if self.agent_seen {
            return;
        }
        self.agent_seen = true;
        self.agent_process = Some((pid, pidfd));
        sweep::note_agent(self.run_dir, pid);
        if *ids != self.door.ids {
            let refusal = refusal::identity(&self.door.ids, ids);
            self.kill_agent();
            self.refuse(refusal);
            return;
        }
        self.journal.write("agent", &[]);
        self.confine(pid);
        self.agent = Some(sender);
        self.forward_starts();
    }

    /// Slurm's cores for the container, before anything runs in it.
    fn confine(&self, agent: Pid) {
        let Some(shim) = self.tasks.values().find_map(|task| task.pid) else { return };
        match cgroup::confine(agent.as_raw_pid(), shim.as_raw_pid()) {
            Ok(cores) => self.journal.write("cpuset", &[("cores", Value::from(cores))]),
            Err(error) => log::warn!("the Pod's cores are not confined to Slurm's: {error}"),
        }
    }

    /// A suspended or stopped shim can relay nothing: the Pod's processes are made to stand still like it.
    fn follow_standstill(&mut self) {
        let Some((agent, _)) = &self.agent_process else { return };
        let shims =
            self.tasks.iter().filter(|(_, task)| !task.gone).filter_map(|(task, state)| Some((*task, state.pid?)));
        for change in self.standstill.look(shims) {
            match change {
                Change::Frozen(frozen) => {
                    self.journal.write(if frozen { "suspended" } else { "resumed" }, &[]);
                    if let Err(error) = cgroup::freeze(agent.as_raw_pid(), frozen) {
                        log::warn!("the Pod's processes do not follow the step's suspension: {error}");
                    }
                }
                Change::Stopped(task) => {
                    if let Some(agent) = &self.agent {
                        agent.send(Message::Signal { task, signo: STOP }, Vec::new());
                    }
                }
            }
        }
    }

    /// A frozen process does not die.
    fn thaw(&mut self) {
        if let Some((agent, _)) = self.agent_process.as_ref().filter(|_| self.standstill.end()) {
            let _ = cgroup::freeze(agent.as_raw_pid(), false);
        }
    }

    /// The kernel's own word, while the container is there: to the user it looks like any other kill.
    fn tell_memory(&mut self, task: u32) {
        let Some((agent, _)) = &self.agent_process else { return };
        let Ok(memory) = cgroup::memory(agent.as_raw_pid()) else { return };
        if memory.killed > self.killed_for_memory {
            self.killed_for_memory = memory.killed;
            self.journal
                .write("out_of_memory", &[("peak", Value::from(memory.peak)), ("limit", Value::from(memory.limit))]);
            if let Some(state) = self.tasks.get(&task) {
                refusal::out_of_memory(&memory).into_iter().for_each(|text| state.tell(Message::Notice { task, text }));
            }
        }
    }

    fn forward_starts(&mut self) {
        let Some(agent) = &self.agent else { return };
        for state in self.tasks.values_mut() {
            if let Some((message, descriptors)) = state.start.take() {
                state.sent = agent.send(message, descriptors);
            }
        }
    }

    fn agent_said(&mut self, message: Message) {
        let (task, ends) = match &message {
            Message::Started { task } | Message::Notice { task, .. } => (*task, false),
            Message::Exited { task, end: End::Signal(KILL), .. } => {
                self.tell_memory(*task);
                (*task, true)
            }
            Message::Exited { task, .. } | Message::NotStarted { task, .. } => (*task, true),
            Message::LogLost { .. } => return self.journal.told(&message),
            _ => return,
        };
        self.journal.told(&message);
        let Some(state) = self.tasks.get_mut(&task) else {
            return;
        };
        state.ended |= ends;
        match self.leaving.as_ref().filter(|_| ends) {
            // Not the user's failure, and not Slurm's doing.
            Some(refusal) if killed(&message) && state.signalled != Some(TERM) => {
                self.journal.write("refused", &[("message", Value::from(refusal.message.as_str()))]);
                state.tell(Message::Refused(refusal.clone()));
            }
            Some(refusal) => {
                state.tell(Message::Notice { task, text: refusal.message.clone() });
                state.tell(message);
            }
            None => state.tell(message),
        }
        let all = u32::try_from(self.tasks.len()).is_ok_and(|tasks| tasks >= self.expected);
        if let Some(agent) = self.agent.as_ref().filter(|_| all && self.tasks.values().all(|task| task.ended)) {
            agent.send(Message::Finish, Vec::new());
        }
    }

    fn agent_gone(&mut self) {
        self.agent = None;
        let open = self.tasks.values().any(|task| !task.ended && !task.gone);
        let early = self.tasks.len() < self.expected as usize;
        if open || early {
            self.journal.write("agent_gone", &[]);
            match self.leaving.take().or(self.failure.take()) {
                Some(refusal) => self.refuse(refusal),
                None => self.post_mortem = Some(Instant::now() + POST_MORTEM),
            }
        }
    }

    fn observed(&mut self, observed: Observed) {
        match observed {
            Observed::Phase(text) => {
                self.journal.write("pod", &[("state", Value::from(text.as_str()))]);
                self.state = text;
            }
            Observed::Notice(text) => {
                self.journal.write("waiting", &[("reason", Value::from(text.as_str()))]);
                for (task, state) in &self.tasks {
                    state.tell(Message::Notice { task: *task, text: text.clone() });
                }
                self.notice = Some(text);
            }
            Observed::Leaving(refusal) => {
                self.journal.write("leaving", &[("message", Value::from(refusal.message.as_str()))]);
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
                    self.failure = Some(refusal);
                }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.journal.write(
            "refused",
            &[("code", Value::from(refusal.code)), ("message", Value::from(refusal.message.as_str()))],
        );
        for state in self.tasks.values_mut().filter(|state| !state.ended) {
            state.ended = true;
            // An agent that comes all the same must not run it.
            state.start = None;
            state.tell(Message::Refused(refusal.clone()));
        }
        self.refusal = Some(refusal);
    }

    fn kill_agent(&mut self) {
        self.thaw();
        if let Some((_, pidfd)) = &self.agent_process {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

/// Whether the end is one that the kubelet brings about.
fn killed(message: &Message) -> bool {
    matches!(message, Message::Exited { end: End::Signal(TERM | KILL), .. })
}
