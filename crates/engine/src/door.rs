//! Who may connect to the link, and what comes of a connection.
//!
//! Neither shims nor agent are trusted: each is checked by the kernel's credentials and the token, and a peer that breaks
//! the protocol only loses its own job.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use slurm_k8s_agent::link::message::{Hello, Ids, Message, Refusal, Role, VERSION};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::hub::Event;
use crate::peer::{Receiver, split};
use crate::refusal;

/// How long a connection may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);

/// Who may connect.
#[derive(Clone)]
pub struct Door {
    /// What the token file holds.
    pub token: String,
    /// The job's user.
    pub ids: Ids,
    /// Local tasks: a shim is one of them.
    pub tasks: u32,
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
    let fits = hello.role == role
        && hello.token.trim_ascii_end() == door.token.as_bytes()
        && (role == Role::Agent || hello.task < door.tasks);
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
