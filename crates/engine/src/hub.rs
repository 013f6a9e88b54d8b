//! Joins the shims, the agent and the Pod's story until the step ends.
//!
//! Runs on the engine thread, from the first shim's connection on. Neither shims nor agent are trusted: each is
//! checked by the kernel's credentials and the token, and a peer that breaks the protocol only loses its own job.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use slurm_k8s_agent::link::message::{End, Hello, Ids, Message, Refusal, Role, VERSION};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cpuset;
use crate::journal::Journal;
use crate::observe::Observed;
use crate::peer::{Receiver, Sender, split};
use crate::refusal;

/// How long a connection may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// How long the kubelet has to say why a container ended without a word from the agent.
const POST_MORTEM: Duration = Duration::from_secs(3);

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

/// Who may connect.
#[derive(Clone)]
pub struct Door {
    pub token: String,
    pub ids: Ids,
}

#[derive(Default)]
struct Task {
    shim: Option<Sender>,
    start: Option<(Message, Vec<OwnedFd>)>,
    sent: bool,
    ended: bool,
    gone: bool,
}

/// The state of one step on one node.
pub struct Hub<'a> {
    journal: &'a Journal,
    expected: u32,
    door: Door,
    tasks: BTreeMap<u32, Task>,
    first_shim: Option<Pid>,
    agent: Option<Sender>,
    agent_seen: bool,
    agent_pid: Option<OwnedFd>,
    refusal: Option<Refusal>,
    failure: Option<Refusal>,
    notice: Option<String>,
    post_mortem: Option<Instant>,
    start_deadline: Instant,
}

impl<'a> Hub<'a> {
    pub fn new(journal: &'a Journal, door: Door, expected: u32, start_timeout: Duration) -> Self {
        Self {
            journal,
            expected,
            door,
            tasks: BTreeMap::new(),
            first_shim: None,
            agent: None,
            agent_seen: false,
            agent_pid: None,
            refusal: None,
            failure: None,
            notice: None,
            post_mortem: None,
            start_deadline: Instant::now() + start_timeout,
        }
    }

    /// Serves until every shim is gone or `finish` resolves.
    pub async fn serve(&mut self, mut events: mpsc::Receiver<Event>, finish: impl Future<Output = ()>) {
        tokio::pin!(finish);
        while !self.done() {
            let deadline = self.deadline();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                () = &mut finish => return,
                () = sleep_until(deadline) => self.expire(),
            }
        }
    }

    /// The agent's process, for the end of the step.
    pub fn into_agent(self) -> Option<OwnedFd> {
        self.agent_pid
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
            let timeout = || refusal::start_timeout(self.notice.as_deref());
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
        self.first_shim.get_or_insert(pid);
        if let Some(refusal) = &self.refusal {
            sender.send(Message::Refused(refusal.clone()), Vec::new());
        } else if let Some(text) = &self.notice {
            sender.send(Message::Notice { task, text: text.clone() }, Vec::new());
        }
        self.tasks.entry(task).or_default().shim = Some(sender);
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
            Message::Signal { task: named, .. } if *named == task && state.sent => {
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
        self.agent_pid = Some(pidfd);
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
        let Some(shim) = self.first_shim else { return };
        match cpuset::confine(agent.as_raw_pid(), shim.as_raw_pid()) {
            Ok(cores) => self.journal.write("cpuset", &[("cores", Value::from(cores))]),
            Err(error) => log::warn!("the Pod's cores are not confined to Slurm's: {error}"),
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
            Message::Started { task } => {
                self.journal.write("started", &[("task", Value::from(*task))]);
                (*task, false)
            }
            Message::Exited { task, end, usage } => {
                let (code, signal) = match end {
                    End::Code(code) => (Value::from(*code), Value::Null),
                    End::Signal(signo) => (Value::Null, Value::from(*signo)),
                };
                self.journal.write(
                    "exited",
                    &[
                        ("task", Value::from(*task)),
                        ("code", code),
                        ("signal", signal),
                        ("user_us", Value::from(usage.user_us)),
                        ("system_us", Value::from(usage.system_us)),
                        ("peak_kib", Value::from(usage.peak_kib)),
                    ],
                );
                (*task, true)
            }
            Message::NotStarted { task, failure } => {
                let what = String::from_utf8_lossy(&failure.what).into_owned();
                self.journal.write(
                    "not_started",
                    &[("task", Value::from(*task)), ("what", Value::from(what)), ("errno", Value::from(failure.errno))],
                );
                (*task, true)
            }
            Message::Notice { task, .. } => (*task, false),
            Message::LogLost { task, bytes } => {
                self.journal.write("log_lost", &[("task", Value::from(*task)), ("bytes", Value::from(*bytes))]);
                return;
            }
            _ => return,
        };
        let Some(state) = self.tasks.get_mut(&task) else {
            return;
        };
        state.ended |= ends;
        if let Some(shim) = &state.shim {
            shim.send(message, Vec::new());
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
            match self.failure.take() {
                Some(refusal) => self.refuse(refusal),
                None => self.post_mortem = Some(Instant::now() + POST_MORTEM),
            }
        }
    }

    fn observed(&mut self, observed: Observed) {
        match observed {
            Observed::Phase(text) => self.journal.write("pod", &[("state", Value::from(text))]),
            Observed::Notice(text) => {
                self.journal.write("waiting", &[("reason", Value::from(text.as_str()))]);
                for (task, state) in &self.tasks {
                    if let Some(shim) = &state.shim {
                        let text = text.clone();
                        shim.send(Message::Notice { task: *task, text }, Vec::new());
                    }
                }
                self.notice = Some(text);
            }
            Observed::Failed(refusal) => {
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
            if let Some(shim) = &state.shim {
                shim.send(Message::Refused(refusal.clone()), Vec::new());
            }
        }
        self.refusal = Some(refusal);
    }

    fn kill_agent(&self) {
        if let Some(pidfd) = &self.agent_pid {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

/// Accepts shims and the agent and turns what they say into events.
pub fn listen(shims: UnixListener, agents: UnixListener, door: &Door, events: &mpsc::Sender<Event>) {
    for (listener, role) in [(shims, Role::Shim), (agents, Role::Agent)] {
        let (door, events) = (door.clone(), events.clone());
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (door, events) = (door.clone(), events.clone());
                tokio::task::spawn_local(async move {
                    if let Err(reason) = attend(stream, role, &door, &events).await {
                        log::warn!("a connection to the link is dropped: {reason}");
                    }
                });
            }
        });
    }
}

async fn attend(stream: UnixStream, role: Role, door: &Door, events: &mpsc::Sender<Event>) -> Result<(), &'static str> {
    let (sender, mut receiver, _writer) = split(stream);
    let credentials = receiver.credentials().map_err(|_| "no credentials")?;
    if credentials.uid.as_raw() != door.ids.uid {
        return Err("another user's process");
    }
    let hello = match timeout(HELLO, receiver.next()).await {
        Ok(Ok(Some((Message::Hello(hello), _)))) => hello,
        Ok(Err(error)) => {
            log::warn!("{error}");
            return Err("no proper greeting");
        }
        _ => return Err("no greeting"),
    };
    if let Some(refusal) = check(&hello, role, door) {
        sender.send(Message::Refused(refusal), Vec::new());
        drop(sender);
        return Err("its greeting does not fit");
    }
    match role {
        Role::Shim => {
            let task = hello.task;
            let pid: Pid = credentials.pid;
            let _ = events.send(Event::Shim { task, sender, pid }).await;
            relay(&mut receiver, events, |message, descriptors| Event::FromShim { task, message, descriptors }).await;
            let _ = events.send(Event::ShimGone { task }).await;
        }
        Role::Agent => {
            let pid: Pid = credentials.pid;
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
                return Err("the agent's process is gone");
            };
            let ids = hello.ids;
            let _ = events.send(Event::Agent { sender, pid, pidfd, ids }).await;
            relay(&mut receiver, events, |message, _| Event::FromAgent(message)).await;
            let _ = events.send(Event::AgentGone).await;
        }
    }
    Ok(())
}

fn check(hello: &Hello, role: Role, door: &Door) -> Option<Refusal> {
    if hello.version != VERSION {
        return Some(refusal::version(hello.version));
    }
    let fits = hello.role == role && hello.token.trim_ascii_end() == door.token.as_bytes();
    (!fits).then(refusal::door)
}

async fn relay(receiver: &mut Receiver, events: &mpsc::Sender<Event>, event: impl Fn(Message, Vec<OwnedFd>) -> Event) {
    loop {
        match receiver.next().await {
            Ok(Some((message, descriptors))) => {
                if events.send(event(message, descriptors)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                log::warn!("{error}");
                return;
            }
        }
    }
}
