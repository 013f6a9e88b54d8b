//! The Pod's story as Kubernetes tells it: creation (with retries), then one watch, with a GET when it breaks.
//!
//! None of this is on the good path: the agent's greeting is the start and its report is the end.

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{WatchEvent, WatchParams};
use slurm_k8s_agent::link::message::Refusal;
use slurm_k8s_core::message::refuse;
use slurm_k8s_core::verdict::{self, Verdict, judge};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::api::Pods;
use crate::complaints;
use crate::create::{Created, Creation};
use crate::hub::Event;
use crate::pause::Pause;
use crate::refusal;

/// What came of the first request.
pub enum First {
    /// The Pod is there.
    Created(Created),
    /// It is worth another try, and when the API server wants that.
    Again(Option<Duration>),
}

/// For one request, when nobody's start waits for it any more.
const REQUEST: Duration = Duration::from_secs(10);
/// The API server ends each watch after five minutes. One that is silent for longer has lost its server.
const SILENCE: Duration = Duration::from_secs(330);
/// How long to believe a silent watch while the tasks wait for what it tells.
pub const SILENCE_AT_START: Duration = Duration::from_secs(30);

/// What the engine is told.
pub enum Observed {
    /// A state for the journal.
    Phase(String),
    /// The Pod is there, with this name.
    Created(String),
    /// What its image was.
    Image(String),
    /// A line for the user.
    Notice(String),
    /// Somebody else than Slurm ends the Pod.
    Leaving(Refusal),
    /// The Pod will not run, or ended without the agent.
    Failed(Refusal),
}

/// Deadlines of the story.
#[derive(Clone, Copy)]
pub struct Patience {
    /// For an API server that does not answer.
    pub api: Duration,
    /// For pulls that may succeed later.
    pub pull: Duration,
}

/// Tells the hub all it needs to know, until the Pod's end.
pub async fn observe(
    pods: Pods,
    creation: Creation,
    first: First,
    patience: Patience,
    events: mpsc::Sender<Event>,
    name: tokio::sync::watch::Sender<Option<Created>>,
) {
    let tell = |observed| {
        let events = events.clone();
        async move {
            let _ = events.send(Event::Pod(observed)).await;
        }
    };
    let pods = pods.patient(REQUEST);
    let created = match first {
        First::Created(created) => created,
        First::Again(retry_after) => match create(&pods, creation, retry_after, patience.api, &tell).await {
            Ok(created) => created,
            Err(refusal) => return tell(Observed::Failed(refusal)).await,
        },
    };
    let _ = name.send(Some(created.clone()));
    let waiting = Cell::new(true);
    let complaints = complaints::read(&pods, &created, &waiting, &tell);
    tokio::join!(follow(&pods, &created, patience.pull, &waiting, &tell), complaints);
}

async fn create<F: Future<Output = ()>>(
    pods: &Pods,
    mut creation: Creation,
    retry_after: Option<Duration>,
    patience: Duration,
    tell: &impl Fn(Observed) -> F,
) -> Result<Created, Refusal> {
    let mut pause = Pause::new();
    let deadline = Instant::now() + patience;
    let mut told = false;
    pause.wait(retry_after.map(|told| told.min(patience))).await;
    loop {
        match creation.attempt(pods).await {
            Ok(created) => {
                tell(Observed::Created(created.name.clone())).await;
                return Ok(created);
            }
            // An API server that has just started refuses everybody for a moment: its roles are not loaded yet.
            Err(error)
                if (error.retryable() || told && error.refused())
                    && Instant::now() + pause.length(error.retry_after()) < deadline =>
            {
                if !std::mem::replace(&mut told, true) {
                    let seconds = patience.as_secs();
                    tell(Observed::Notice(format!("{error}; trying for {seconds} s"))).await;
                }
                pause.wait(error.retry_after()).await;
            }
            Err(error) => return Err(refusal::creation(&error)),
        }
    }
}

async fn follow<F: Future<Output = ()>>(
    pods: &Pods,
    created: &Created,
    patience: Duration,
    waiting: &Cell<bool>,
    tell: &impl Fn(Observed) -> F,
) {
    let params = WatchParams::default().fields(&format!("metadata.name={}", created.name));
    let mut version = created.version.clone();
    let mut judge =
        Judge { pull_patience: patience, waiting, failed_pull: None, runs: false, last: String::new(), image: false };
    let mut pause = Pause::new();
    loop {
        let mut retry_after = None;
        match pods.watch(&params, &version).await {
            Err(error) => {
                log::debug!("the watch cannot start: {error}");
                retry_after = error.retry_after();
            }
            Ok(stream) => {
                pin_mut!(stream);
                loop {
                    let event = match timeout(judge.patience(), stream.next()).await {
                        Ok(Some(event)) => event,
                        Ok(None) => break,
                        // The kubelet's pauses between its tries grow to minutes: nothing is told meanwhile.
                        Err(_) => match judge.overdue() {
                            Some(refusal) => return tell(Observed::Failed(refusal)).await,
                            None => break,
                        },
                    };
                    let pod = match event {
                        Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => pod,
                        Ok(WatchEvent::Deleted(pod)) if of_ours(&pod, created) => {
                            return tell(Observed::Failed(deleted(created))).await;
                        }
                        Ok(WatchEvent::Deleted(_) | WatchEvent::Bookmark(_)) => continue,
                        Ok(WatchEvent::Error(_)) | Err(_) => break,
                    };
                    if !of_ours(&pod, created) {
                        continue;
                    }
                    pause = Pause::new();
                    version = pod.metadata.resource_version.clone().unwrap_or(version);
                    for observed in judge.look(&pod) {
                        tell(observed).await;
                    }
                }
            }
        }
        pause.wait(retry_after).await;
        match pods.get(&created.name).await {
            Ok(Some(pod)) if of_ours(&pod, created) => {
                version = pod.metadata.resource_version.clone().unwrap_or(version);
                for observed in judge.look(&pod) {
                    tell(observed).await;
                }
            }
            Ok(_) => return tell(Observed::Failed(deleted(created))).await,
            Err(error) => log::debug!("the Pod cannot be read: {error}"),
        }
    }
}

fn of_ours(pod: &Pod, created: &Created) -> bool {
    pod.metadata.uid.as_deref() == Some(created.uid.as_str())
}

fn deleted(created: &Created) -> Refusal {
    refuse::left(format!("the Pod {} was deleted in Kubernetes", created.name))
}

struct Judge<'a> {
    pull_patience: Duration,
    /// Whether the Pod has no sandbox yet.
    waiting: &'a Cell<bool>,
    /// Since when the pull fails, and how it failed last.
    failed_pull: Option<(Instant, String)>,
    /// Its container has been started: from then on the agent tells what matters.
    runs: bool,
    last: String,
    /// That was told.
    image: bool,
}

impl Judge<'_> {
    /// What is new in this version of the Pod.
    fn look(&mut self, pod: &Pod) -> Vec<Observed> {
        self.waiting.set(!verdict::has_sandbox(pod));
        let image = if self.image { None } else { verdict::image_id(pod) };
        self.image |= image.is_some();
        let mut observed = self.verdict(pod);
        observed.extend(image.map(|id| Observed::Image(id.to_owned())));
        observed
    }

    fn verdict(&mut self, pod: &Pod) -> Vec<Observed> {
        let verdict = judge(pod);
        self.runs |= matches!(verdict, Verdict::Running);
        let since = self.failed_pull.take().map(|(since, _)| since);
        match verdict {
            Verdict::Trouble { message } => self.once(&message, Observed::Notice),
            Verdict::Wait { state } => self.once(&state, Observed::Phase),
            Verdict::Running => self.once("running", Observed::Phase),
            Verdict::PullRetry { message } => {
                self.failed_pull = Some((since.unwrap_or_else(Instant::now), message.clone()));
                match self.overdue() {
                    Some(refusal) => vec![Observed::Failed(refusal)],
                    None => self.once(&message, Observed::Notice),
                }
            }
            Verdict::Leaving { message } => self.once(&message, |message| Observed::Leaving(refuse::left(message))),
            Verdict::Failed(refusal) => vec![Observed::Failed(refusal)],
        }
    }

    /// How long to wait for the next word of the API server.
    fn patience(&self) -> Duration {
        let silence = if self.runs { SILENCE } else { SILENCE_AT_START };
        let left = |since: &Instant| self.pull_patience.saturating_sub(since.elapsed());
        self.failed_pull.as_ref().map_or(silence, |(since, _)| left(since).min(silence))
    }

    /// A pull that has failed for too long.
    fn overdue(&self) -> Option<Refusal> {
        let (since, message) = self.failed_pull.as_ref()?;
        (since.elapsed() >= self.pull_patience).then(|| refuse::not_pulled(message))
    }

    fn once(&mut self, text: &str, observed: impl Fn(String) -> Observed) -> Vec<Observed> {
        if self.last == text {
            return Vec::new();
        }
        text.clone_into(&mut self.last);
        vec![observed(text.to_owned())]
    }
}
