//! Where the tasks of a step on several nodes meet: the address of the Pod on the step's first node.
//!
//! Only the other nodes ask, only when a task needs it, with one list and one watch; again, if the watch breaks or is silent
//! for long. The Pod is found by its labels, since an
//! earlier Pod may have its name. It can be gone before anybody asks: a short command on the first node does not wait
//! for the others. Nobody can meet there any more, then.

use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{WatchEvent, WatchParams};
use slurm_k8s_agent::link::message::{Address, Meeting, Message, Refusal, Start};
use slurm_k8s_core::message::refuse;
use slurm_k8s_core::rendezvous::MASTER_ADDR;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::api::{ApiError, Pods};
use crate::create::Created;
use crate::observe::SILENCE_AT_START;
use crate::pause::Pause;

/// How long it is watched at first whether the Pod appears, before it is asked whether it was there. Longer each time.
const ATTENTION: Duration = Duration::from_secs(1);
/// How much earlier than here a step can have begun on its first node, and still be this one.
const EARLIER: Duration = Duration::from_mins(2);

/// What a node knows about where to meet.
pub struct Place {
    port: u16,
    known: Option<Address>,
    ask: Option<oneshot::Sender<()>>,
}

impl Place {
    /// On the first node, or the only one.
    #[must_use]
    pub fn here(port: u16) -> Self {
        Self { port, known: Some(Address::Own), ask: None }
    }

    /// On another node: what is received tells that the address is needed.
    #[must_use]
    pub fn elsewhere(port: u16) -> (Self, oneshot::Receiver<()>) {
        let (ask, asked) = oneshot::channel();
        (Self { port, known: None, ask: Some(ask) }, asked)
    }

    /// The address is known, or that there is none.
    pub fn found(&mut self, address: Option<String>) {
        self.known = Some(address.map_or(Address::Unknown, Address::Of));
    }

    /// Tells a task where to meet; false while that is not known and the task needs it.
    pub fn tell(&mut self, message: &mut Message) -> bool {
        let Message::Start(start) = message else { return true };
        let address = match &self.known {
            Some(address) => address.clone(),
            None if has_address(start) => Address::Unknown,
            None => {
                if let Some(ask) = self.ask.take() {
                    let _ = ask.send(());
                }
                return false;
            }
        };
        start.meeting = Some(Meeting { address, port: self.port });
        true
    }
}

/// Whether the user has said where to meet.
fn has_address(start: &Start) -> bool {
    let name = MASTER_ADDR.as_bytes();
    let given = |entry: &[u8]| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"="));
    start.env.iter().any(|entry| given(entry))
        || start.variables.iter().any(|(own, value)| own == name && value.is_some())
}

/// Which Pod it is.
pub struct Sought {
    /// Its labels.
    pub labels: String,
    /// Its name, unless another Pod had it.
    pub name: String,
    /// This node's own Pod.
    pub own: Created,
}

/// Looks for the address; none if that Pod has ended without one.
pub async fn find(pods: &Pods, sought: &Sought, patience: Patience) -> Result<Option<String>, Refusal> {
    match timeout(patience.start, look(pods, sought, patience.api)).await {
        Ok(Ok(Seen::At(address))) => Ok(Some(address)),
        Ok(Ok(Seen::Ended)) => Ok(None),
        Ok(Err(error)) => Err(refuse::cannot_look(&sought.name, error)),
        Err(_) => Err(refuse::no_meeting(&sought.name)),
    }
}

/// How long it is looked.
#[derive(Clone, Copy)]
pub struct Patience {
    /// While the API server does not answer, or refuses.
    pub api: Duration,
    /// In all.
    pub start: Duration,
}

/// What there is to know of that Pod.
enum Seen {
    /// It can be met here.
    At(String),
    /// It has ended, and nobody knows where it was.
    Ended,
}

async fn look(pods: &Pods, sought: &Sought, patience: Duration) -> Result<Seen, ApiError> {
    let mut pause = Pause::new();
    let mut attention = ATTENTION;
    let mut again = false;
    let mut trouble: Option<Instant> = None;
    loop {
        match look_once(pods, sought, attention, again).await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => {
                trouble = None;
                attention = (attention * 2).min(SILENCE_AT_START);
                pause.wait(None).await;
            }
            Err(error) if trouble.get_or_insert_with(Instant::now).elapsed() >= patience => return Err(error),
            Err(error) => {
                log::debug!("the first node's Pod cannot be looked for: {error}");
                pause.wait(error.retry_after().map(|told| told.min(patience))).await;
            }
        }
        again = true;
    }
}

async fn look_once(pods: &Pods, sought: &Sought, attention: Duration, again: bool) -> Result<Option<Seen>, ApiError> {
    let (found, version) = pods.labelled(&sought.labels).await?;
    if let Some(answer) = found.iter().find_map(answer) {
        return Ok(Some(answer));
    }
    let absent = found.is_empty();
    if absent && again && was_there(pods, sought).await {
        return Ok(Some(Seen::Ended));
    }
    let limit = if absent { attention } else { SILENCE_AT_START };
    timeout(limit, follow(pods, &sought.labels, &version)).await.unwrap_or(Ok(None))
}

/// Waits for what the Pod tells; none if the watch breaks. It starts from a list's version: etcd before 3.4.25 cannot tell
/// a watch what is there already.
async fn follow(pods: &Pods, labels: &str, version: &str) -> Result<Option<Seen>, ApiError> {
    let params = WatchParams::default().labels(labels);
    let stream = pods.watch(&params, version).await?;
    pin_mut!(stream);
    while let Some(Ok(event)) = stream.next().await {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                if let Some(answer) = answer(&pod) {
                    return Ok(Some(answer));
                }
            }
            WatchEvent::Deleted(pod) => return Ok(Some(address(&pod).map_or(Seen::Ended, Seen::At))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => break,
        }
    }
    Ok(None)
}

fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone().filter(|address| !address.is_empty())
}

/// What this version of the Pod tells for good: its address, or that it has ended without one.
fn answer(pod: &Pod) -> Option<Seen> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    address(pod).map(Seen::At).or(ended.then_some(Seen::Ended))
}

/// Whether the kubelet has written about such a Pod, which is nowhere to be seen.
async fn was_there(pods: &Pods, sought: &Sought) -> bool {
    let Some(born) = sought.own.born else { return false };
    match pods.last_event(&sought.name).await {
        Ok(Some(at)) => at.as_second() + i64::try_from(EARLIER.as_secs()).unwrap_or(0) >= born.as_second(),
        Ok(None) => false,
        Err(error) => {
            log::debug!("events of {} cannot be read: {error}", sought.name);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(env: &[&str], own: &[&str]) -> Message {
        let bytes = |text: &&str| serde_bytes::ByteBuf::from(text.as_bytes());
        Message::Start(Box::new(Start {
            env: env.iter().map(bytes).collect(),
            variables: own.iter().map(|name| (bytes(name), Some(bytes(&"x")))).collect(),
            ..Start::plain(["true"])
        }))
    }

    fn address_of(message: &Message) -> Option<&Address> {
        let Message::Start(start) = message else { return None };
        start.meeting.as_ref().map(|meeting| &meeting.address)
    }

    #[test]
    fn the_first_node_needs_to_ask_nobody() {
        let mut message = start(&[], &[]);
        assert!(Place::here(20001).tell(&mut message));
        assert_eq!(address_of(&message), Some(&Address::Own));
    }

    #[test]
    fn another_node_asks_once_and_waits() {
        let (mut place, mut asked) = Place::elsewhere(20001);
        let mut message = start(&["MASTER_ADDRESS=x"], &[]);
        assert!(!place.tell(&mut message) && !place.tell(&mut message));
        assert!(asked.try_recv().is_ok());
        place.found(Some("10.0.0.1".into()));
        assert!(place.tell(&mut message));
        assert_eq!(address_of(&message), Some(&Address::Of("10.0.0.1".into())));
    }

    #[test]
    fn nobody_asks_for_what_the_user_has_said() {
        for (env, own) in [(&["MASTER_ADDR=a"][..], &[][..]), (&[], &["MASTER_ADDR"])] {
            let (mut place, mut asked) = Place::elsewhere(20001);
            assert!(place.tell(&mut start(env, own)));
            assert!(asked.try_recv().is_err());
        }
    }
}
