//! Joins the shims, the agent and the Pod's story until the step ends. Runs on the engine thread, from the first shim's
//! connection on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use slurm_k8s_agent::link::message::{Ids, Message, Refusal};
use slurm_k8s_core::message::refuse;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cgroup;
use crate::door::Door;
use crate::first_node::Place;
use crate::journal::Journal;
use crate::observe::Observed;
use crate::peer::{Freight, Sender};
use crate::process::Process;
use crate::refusal;
use crate::standstill::{Change, Standstill};
use crate::sweep;
use crate::task::Task;

mod observed;
mod said;

/// How long the kubelet has to say why a container ended without a word from the agent.
const POST_MORTEM: Duration = Duration::from_secs(3);
/// How often the shims are looked at: a suspended one says nothing.
const LOOK: Duration = Duration::from_millis(500);

const STOP: i32 = 19;

/// What happened at one of the ends.
pub enum Event {
    Shim {
        task: u32,
        sender: Sender,
        process: Process,
    },
    Start {
        task: u32,
        message: Message,
        freight: Freight,
    },
    Signal {
        task: u32,
        signo: i32,
    },
    Pending {
        task: u32,
        signals: u64,
    },
    ShimGone {
        task: u32,
    },
    Agent {
        sender: Sender,
        process: Process,
        ids: Ids,
    },
    FromAgent {
        task: u32,
        message: Message,
    },
    /// `broke`: it did not keep to the protocol.
    AgentGone {
        broke: bool,
    },
    Pod(Observed),
    FirstNode(Result<Option<String>, Refusal>),
    /// It was told to leave, by somebody outside of the Pod.
    AgentLeaves,
}

/// The state of one step on one node.
pub struct Hub<'a> {
    journal: &'a Journal,
    run_dir: &'a Path,
    expected: u32,
    door: Door,
    place: Option<Place>,
    tasks: BTreeMap<u32, Task>,
    standstill: Standstill,
    agent: Option<Sender>,
    agent_seen: bool,
    agent_process: Option<Process>,
    confined: bool,
    killed_for_memory: u64,
    refusal: Option<Refusal>,
    failure: Option<Refusal>,
    leaving: Option<Refusal>,
    /// The agent was told to leave, and the API server may have to say why.
    agent_leaves: bool,
    /// Until when ends wait for that.
    held_until: Option<Instant>,
    notice: Option<String>,
    state: String,
    post_mortem: Option<Instant>,
    start_deadline: Instant,
}

impl<'a> Hub<'a> {
    pub fn new(
        journal: &'a Journal,
        run_dir: &'a Path,
        door: Door,
        place: Option<Place>,
        start_timeout: Duration,
    ) -> Self {
        Self {
            journal,
            run_dir,
            expected: door.tasks,
            door,
            place,
            tasks: BTreeMap::new(),
            standstill: Standstill::default(),
            agent: None,
            agent_seen: false,
            agent_process: None,
            confined: false,
            killed_for_memory: 0,
            refusal: None,
            failure: None,
            leaving: None,
            agent_leaves: false,
            held_until: None,
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
        self.agent_process.map(Process::into_pidfd)
    }

    /// Whether every task of this node came and went.
    fn done(&self) -> bool {
        let gone = self.tasks.values().filter(|task| task.gone).count();
        u32::try_from(gone).is_ok_and(|gone| gone >= self.expected)
    }

    fn deadline(&self) -> Instant {
        match self.post_mortem.into_iter().chain(self.held_until).min() {
            Some(at) => at,
            None if self.agent_seen || self.refusal.is_some() => Instant::now() + Duration::from_secs(3600),
            None => self.start_deadline,
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        if self.held_until.is_some_and(|until| now >= until) {
            let reason = self.failure.take();
            self.release(reason.as_ref());
        }
        if self.post_mortem.is_some_and(|until| now < until) {
            return;
        }
        if self.post_mortem.take().is_some() {
            let reason = self.leaving.take().or(self.failure.take());
            self.refuse(reason.unwrap_or_else(refuse::lost));
        } else if !self.agent_seen && Instant::now() >= self.start_deadline {
            let timeout = || refuse::start_timeout(self.notice.as_ref().unwrap_or(&self.state));
            let refusal = self.failure.take().unwrap_or_else(timeout);
            self.refuse(refusal);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Shim { task, sender, process } => self.shim_came(task, sender, process),
            Event::Start { task, message, freight } => {
                self.journal.record.starts(&message);
                if let Some(state) = self.tasks.get_mut(&task) {
                    state.start = Some((message, freight));
                    self.forward_starts();
                }
            }
            Event::Signal { task, signo } => self.signal(task, signo),
            Event::Pending { task, signals } => self.pending(task, signals),
            Event::ShimGone { task } => self.shim_gone(task),
            Event::Agent { sender, process, ids } => self.agent_came(sender, process, &ids),
            Event::FromAgent { task, message } => self.agent_said(task, message),
            Event::AgentGone { broke } => self.agent_gone(broke),
            Event::Pod(observed) => self.observed(observed),
            Event::FirstNode(found) => self.first_node(found),
            Event::AgentLeaves => self.agent_leaves = true,
        }
    }

    fn shim_came(&mut self, task: u32, sender: Sender, process: Process) {
        if let Some(refusal) = &self.refusal {
            sender.send(Message::Refused(refusal.clone()), Vec::new());
        } else if let Some(text) = &self.notice {
            sender.send(Message::Notice { task, text: text.clone() }, Vec::new());
        }
        let state = self.tasks.entry(task).or_default();
        state.shim = Some(sender);
        state.process = Some(process);
        self.confine();
    }

    fn signal(&mut self, task: u32, signo: i32) {
        if let Some(state) = self.tasks.get_mut(&task).filter(|state| state.sent) {
            state.signalled = Some(signo);
            if let Some(agent) = &self.agent {
                agent.send(Message::Signal { task, signo }, Vec::new());
            }
        }
    }

    fn pending(&mut self, task: u32, signals: u64) {
        if let Some(agent) = self.agent.as_ref().filter(|_| self.tasks.get(&task).is_some_and(|state| state.sent)) {
            agent.send(Message::Pending { task, signals }, Vec::new());
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

    fn agent_came(&mut self, sender: Sender, process: Process, ids: &Ids) {
        self.agent_seen = true;
        let made = self.door.container.as_ref().and_then(|file| std::fs::metadata(file).ok()?.modified().ok());
        self.journal.record.container(made);
        sweep::note_agent(self.run_dir, process.pid());
        self.agent_process = Some(process);
        if *ids != self.door.ids {
            let refusal = refusal::identity(&self.door.ids, ids);
            self.kill_agent();
            self.refuse(refusal);
            return;
        }
        self.journal.write("agent", &[]);
        self.agent = Some(sender);
        self.confine();
    }

    /// Slurm's cores for the container, before anything runs in it: both ends must be there.
    fn confine(&mut self) {
        let alive = |process: &&Process| process.alive();
        let shim = self.tasks.values().filter_map(|task| task.process.as_ref()).find(alive);
        let (Some(agent), Some(shim)) = (self.agent_process.as_ref().filter(alive), shim) else { return };
        if std::mem::replace(&mut self.confined, true) {
            return;
        }
        if self.door.container.is_some() {
            match cgroup::confine(agent.pid().as_raw_pid(), shim.pid().as_raw_pid()) {
                Ok(cores) => self.journal.write("cpuset", &[("cores", Value::from(cores))]),
                Err(error) => log::warn!("the Pod's cores are not confined to Slurm's: {error}"),
            }
        }
        self.forward_starts();
    }

    /// A suspended or stopped shim can relay nothing: the Pod's processes are made to stand still like it.
    fn follow_standstill(&mut self) {
        let Some(agent) = self.agent_process.as_ref().filter(|agent| agent.alive()) else { return };
        let agent = agent.pid().as_raw_pid();
        let shims = self.tasks.iter().filter(|(_, task)| !task.gone);
        let shims = shims.filter_map(|(task, state)| Some((*task, state.process.as_ref()?.pid())));
        for change in self.standstill.look(shims) {
            match change {
                Change::Frozen(_) if self.door.container.is_none() => {}
                Change::Frozen(frozen) => {
                    self.journal.write(if frozen { "suspended" } else { "resumed" }, &[]);
                    if let Err(error) = cgroup::freeze(agent, frozen) {
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
        let ends = self.standstill.end();
        if let Some(agent) = self.agent_process.as_ref().filter(|agent| ends && agent.alive()) {
            let _ = cgroup::freeze(agent.pid().as_raw_pid(), false);
        }
    }

    fn forward_starts(&mut self) {
        let Some(agent) = self.agent.as_ref().filter(|_| self.confined) else { return };
        for state in self.tasks.values_mut() {
            if let (Some((message, _)), Some(place)) = (&mut state.start, &mut self.place)
                && !place.tell(message)
            {
                continue;
            }
            if let Some((message, freight)) = state.start.take() {
                state.sent = agent.send(message, freight);
            }
        }
    }

    /// Where the tasks meet is known; without an answer they could only wait for each other for ever.
    fn first_node(&mut self, found: Result<Option<String>, Refusal>) {
        match (found, &mut self.place) {
            (Ok(address), Some(place)) => {
                self.journal.write("first_node", &[("address", Value::from(address.as_deref()))]);
                place.found(address);
                self.forward_starts();
            }
            (Ok(_), None) => {}
            (Err(refusal), _) => {
                self.kill_agent();
                self.refuse(refusal);
            }
        }
    }

    fn agent_gone(&mut self, broke: bool) {
        self.agent = None;
        if broke {
            self.kill_agent();
        }
        let open = self.tasks.values().any(|task| !task.ended && !task.gone);
        let early = self.tasks.len() < self.expected as usize;
        if open || early {
            self.journal.write("agent_gone", &[]);
            match self.leaving.take().or(self.failure.take()) {
                Some(refusal) => self.refuse(refusal),
                None if broke => self.refuse(refuse::protocol("the agent")),
                None => self.post_mortem = Some(Instant::now() + POST_MORTEM),
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.journal.refused(&refusal);
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
        self.look_at_usage();
        if let Some(agent) = &self.agent_process {
            agent.kill();
        }
    }

    /// The container's control group goes with the agent.
    fn look_at_usage(&self) {
        if let Some(agent) = self.agent_process.as_ref().filter(|agent| agent.alive() && self.door.container.is_some())
        {
            self.journal.record.look_at_usage(agent.pid().as_raw_pid());
        }
    }
}
