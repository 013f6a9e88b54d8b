//! Who may connect to the link, and what comes of a connection.
//!
//! Neither shims nor agent are trusted: each is checked by the kernel's word on its process and by the token, comes once,
//! and says what is its turn to say. A peer that breaks the protocol only loses its own job.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use slurm_k8s_agent::link::message::{Hello, Ids, Message, Refusal, Role, VERSION};
use slurm_k8s_core::message::refuse;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::hub::Event;
use crate::peer::{Freight, PeerError, Receiver, Sender, split};
use crate::process::{Process, ProcessError};
use crate::refusal;

/// How long a connection may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// Connections at one socket besides those that belong there; more wait in the kernel's queue.
const SPARE: usize = 8;
/// Starts that are in memory at once: each has up to 8 MiB, and what it becomes when it is read.
const STARTS: usize = 2;
/// How long to wait with the next connection when one cannot be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may connect.
#[derive(Clone)]
pub struct Door {
    /// What the token file holds.
    pub token: String,
    /// The job's user.
    pub ids: Ids,
    /// Local tasks: a shim is one of them.
    pub tasks: u32,
    /// Who forks the shims.
    pub parent: Pid,
    /// Where root leaves the id of the container, or of its Pod; none in tests.
    pub container: Option<PathBuf>,
}

/// What the connections share.
struct Hall {
    door: Door,
    /// Which tasks' shims, and whether the agent (none), have been here.
    came: RefCell<BTreeSet<Option<u32>>>,
    starts: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
}

/// Accepts shims and the agent and turns what they say into events.
pub fn listen(shims: UnixListener, agents: UnixListener, door: &Door, events: &mpsc::Sender<Event>) {
    let hall = Rc::new(Hall {
        door: door.clone(),
        came: RefCell::default(),
        starts: Arc::new(Semaphore::new(STARTS)),
        events: events.clone(),
    });
    let places = SPARE.saturating_add(door.tasks as usize);
    for (listener, role, places) in [(shims, Role::Shim, places), (agents, Role::Agent, SPARE)] {
        tokio::task::spawn_local(accept(listener, role, places, Rc::clone(&hall)));
    }
}

async fn accept(listener: UnixListener, role: Role, places: usize, hall: Rc<Hall>) {
    let places = Arc::new(Semaphore::new(places));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("cannot take a connection to the link: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let hall = Rc::clone(&hall);
        tokio::task::spawn_local(async move {
            if let Err(reason) = hall.attend(stream, role).await {
                log::warn!("a connection to the link is dropped: {reason}");
            }
            drop(place);
        });
    }
}

impl Hall {
    async fn attend(&self, stream: UnixStream, role: Role) -> Result<(), String> {
        let (sender, mut receiver, _writer) = split(stream);
        let credentials = receiver.credentials().map_err(|error| error.to_string())?;
        if credentials.uid.as_raw() != self.door.ids.uid {
            return Err(format!("it is of uid {}", credentials.uid.as_raw()));
        }
        let hello = match timeout(HELLO, receiver.next()).await {
            Ok(Ok(Some((Message::Hello(hello), _)))) => hello,
            Ok(Err(error)) => return Err(chain(&error)),
            _ => return Err("it does not say who it is".into()),
        };
        if let Some(refusal) = check(&hello, role, &self.door) {
            sender.send(Message::Refused(refusal), Vec::new());
            return Err("its greeting does not fit".into());
        }
        let process = Process::open(credentials.pid, self.door.ids.uid).map_err(|error| error.to_string())?;
        match role {
            Role::Shim => self.shim(hello.task, process, sender, &mut receiver).await,
            Role::Agent => self.agent(hello.ids, process, sender, &mut receiver).await,
        }
    }

    async fn shim(&self, task: u32, process: Process, sender: Sender, from: &mut Receiver) -> Result<(), String> {
        if !process.descends_from(self.door.parent) {
            sender.send(Message::Refused(refuse::door()), Vec::new());
            return Err(format!("process {} is no task of this step", process.pid()));
        }
        self.comes_first(Some(task), &sender)?;
        let _ = self.events.send(Event::Shim { task, sender: sender.clone(), process }).await;
        let result = self.hear_shim(task, from).await;
        if result.is_err() {
            sender.send(Message::Refused(refuse::protocol("the shim")), Vec::new());
        }
        let _ = self.events.send(Event::ShimGone { task }).await;
        result.map_err(|error| chain(&error))
    }

    /// One Start, read only when there is room for it; then signals.
    async fn hear_shim(&self, task: u32, from: &mut Receiver) -> Result<(), PeerError> {
        let share = Arc::clone(&self.starts).acquire_owned().await.ok();
        let Some((message, descriptors)) = from.next_start().await? else { return Ok(()) };
        if !matches!(&message, Message::Start(start) if start.task == task) {
            return Err(PeerError::Turn);
        }
        let freight = Freight::new(descriptors, share);
        if self.events.send(Event::Start { task, message, freight }).await.is_err() {
            return Ok(());
        }
        while let Some((message, _)) = from.next().await? {
            let event = match message {
                Message::Signal { task: named, signo } if named == task => Event::Signal { task, signo },
                Message::Pending { task: named, signals } if named == task => Event::Pending { task, signals },
                _ => return Err(PeerError::Turn),
            };
            if self.events.send(event).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn agent(&self, ids: Ids, process: Process, sender: Sender, from: &mut Receiver) -> Result<(), String> {
        self.must_be_in_container(&process).await.map_err(|error| error.to_string())?;
        self.comes_first(None, &sender)?;
        let _ = self.events.send(Event::Agent { sender, process, ids }).await;
        let result = self.hear_agent(from).await;
        let _ = self.events.send(Event::AgentGone { broke: result.is_err() }).await;
        result.map_err(|error| chain(&error))
    }

    /// By volumes of the node, the API server's answer has the Pod's id, and the agent can be there before it.
    async fn must_be_in_container(&self, process: &Process) -> Result<(), ProcessError> {
        let Some(file) = &self.door.container else { return Ok(()) };
        let known = async {
            while !file.exists() {
                sleep(PAUSE).await;
            }
        };
        let _ = timeout(HELLO, known).await;
        process.must_be_in(file)
    }

    async fn hear_agent(&self, from: &mut Receiver) -> Result<(), PeerError> {
        while let Some((message, _)) = from.next().await? {
            let task = match &message {
                Message::Leaving if self.events.send(Event::AgentLeaves).await.is_ok() => continue,
                Message::Started { task }
                | Message::Exited { task, .. }
                | Message::NotStarted { task, .. }
                | Message::Notice { task, .. }
                | Message::LogLost { task, .. } => *task,
                _ => return Err(PeerError::Turn),
            };
            if task >= self.door.tasks {
                return Err(PeerError::Turn);
            }
            if self.events.send(Event::FromAgent { task, message }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The first for a task, or the first agent, is the only one: nobody takes over what another has begun.
    fn comes_first(&self, who: Option<u32>, sender: &Sender) -> Result<(), String> {
        if self.came.borrow_mut().insert(who) {
            return Ok(());
        }
        sender.send(Message::Refused(refuse::door()), Vec::new());
        Err("another one came before it".into())
    }
}

fn chain(error: &PeerError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn check(hello: &Hello, role: Role, door: &Door) -> Option<Refusal> {
    if hello.version != VERSION {
        return Some(refusal::version(hello.version));
    }
    let fits = hello.role == role
        && hello.token.trim_ascii_end() == door.token.as_bytes()
        && (role == Role::Agent || hello.task < door.tasks);
    (!fits).then(refuse::door)
}
