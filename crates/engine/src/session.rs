//! One step on one node, from the first hook of slurmstepd to the last.
//!
//! Everything before the forks happens on the caller's thread; then one thread sleeps in poll(2) until the first shim
//! connects, which is after all forks, and only then starts to work.

use std::collections::BTreeMap;
use std::io::{PipeWriter, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use serde_json::Value;
use slurm_k8s_agent::link::message::{Ids, Refusal};
use slurm_k8s_core::config::{Config, Way};
use slurm_k8s_core::grant::CONTAINER_FILE;
use slurm_k8s_core::message::refuse;
use slurm_k8s_core::{name, rendezvous};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::api::{ApiError, Pods};
use crate::create::{CreateError, Created, Creation};
use crate::door::{Door, listen};
use crate::first_node::{self, Sought};
use crate::hub::{Event, Hub};
use crate::journal::Journal;
use crate::mounts::Mounts;
use crate::observe::{First, Patience, observe};
use crate::plan::{self, Step};
use crate::record::Recorder;
use crate::refusal;
use crate::removal::{Target, remove};
use crate::results::Place;
use crate::rundir::{RunDir, RunDirError, Sockets, random};
use crate::sweep::sweep;

/// An API server that takes longer to delete a Pod is slow.
const SLOW: Duration = Duration::from_secs(2);
/// How long the agent has to leave by itself after its last task, before it is killed.
const LEAVE: Duration = Duration::from_secs(2);

/// A step's Pod, or the reason why there is none.
pub enum Session {
    /// The Pod is on its way; the shims meet it in this folder.
    Open(Open),
    /// There will be no Pod: every task prints this and fails.
    Refused(Refusal),
}

/// A step with a Pod.
pub struct Open {
    run_dir: PathBuf,
    finish: PipeWriter,
    ended: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

/// The Pod on the step's first node, and when it is asked for.
struct FirstNode {
    asked: oneshot::Receiver<()>,
    labels: String,
    name: String,
}

struct Work {
    runtime: Runtime,
    pods: Pods,
    sockets: Sockets,
    creation: Creation,
    first: First,
    door: Door,
    place: Option<first_node::Place>,
    first_node: Option<FirstNode>,
    config: Config,
    mounts: Mounts,
    keep: bool,
    results: Option<Place>,
}

impl Session {
    /// Prepares the node and sends the Pod: one attempt, at most `request_timeout` long. Never fails: what is wrong
    /// is kept for the tasks to print, since an error here would drain the node.
    #[must_use]
    pub fn begin(config: Config, step: &Step) -> Self {
        let name = name::pod(step.job_id, step.step_id, step.node_index);
        let record = Recorder::begin(step, &name, &plan::namespace(&config, step));
        let (dir, log) = (&config.paths.log, &config.log);
        let label = name::step(step.job_id, step.step_id);
        let journal = Journal::open(dir, log.max_bytes, log.keep, &label, &name, record);
        match prepare(config, step, &name, &journal) {
            Ok((run_dir, work)) => {
                spawn(run_dir, work, journal).map_or_else(|error| Self::Refused(refuse::engine(error)), Self::Open)
            }
            Err(refusal) => {
                journal.refused(&refusal);
                leave_record(step.results.as_ref(), &journal, BTreeMap::new());
                Self::Refused(refusal)
            }
        }
    }

    /// Ends the step: kills what is left, deletes the Pod, and joins the thread, all within `deadline`.
    pub fn finish(self, deadline: Duration) {
        let Self::Open(open) = self else { return };
        let mut finish = open.finish;
        let _ = finish.write_all(b"x");
        drop(finish);
        match open.ended.recv_timeout(deadline) {
            // A thread that died has dropped its sender: join it as well.
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                let _ = open.thread.join();
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                log::error!("the engine did not finish within {deadline:?}; `slurm-k8s gc` removes its Pod");
            }
        }
    }
}

impl Open {
    /// The Pod's run folder on this node.
    #[must_use]
    pub fn run_dir(&self) -> &std::path::Path {
        &self.run_dir
    }
}

fn prepare(config: Config, step: &Step, name: &str, journal: &Journal) -> Result<(PathBuf, Work), Refusal> {
    plan::check_node(&config)?;
    plan::check_policy(&config, step)?;
    plan::check_limits(&config, step)?;
    plan::check_gpus(&config, step)?;
    let template = plan::template(step)?;
    let on_node = |error: RunDirError| refusal::on_node(&error);
    let (nonce, token) = (random().map_err(on_node)?, random().map_err(on_node)?);
    let namespace = plan::namespace(&config, step);
    let owner = (step.uid, step.gid);
    let run_dir = || RunDir::make(&config.paths.run, name, &nonce, &namespace, owner, token.as_bytes());
    // It may be full of what others left.
    let swept = || !sweep(&config.paths.run).is_empty();
    let (mut run_dir, sockets) =
        run_dir().or_else(|error| if swept() { run_dir() } else { Err(error) }).map_err(on_node)?;
    let path = run_dir.path().to_owned();
    let folder = config.paths.run.join("mounts").join(format!("{name}-{nonce}"));
    let (mounts, granted) = Mounts::make(&folder, plan::rules(&config, step), &plan::user_mounts(&config, step))
        .map_err(|error| {
            run_dir.remove();
            refusal::mounts(&error)
        })?;
    let grant = plan::grant(&config, step, name, &nonce, &path, granted);
    let mut pod = plan::pod(&config, step, &grant);
    if let Some(template) = template {
        pod = template.under(pod);
    }
    if config.kubernetes.way == Way::HostPath {
        run_dir.write_identity(&grant).map_err(on_node)?;
    }
    let run_dir = Arc::new(Mutex::new(run_dir));
    let mut creation = Creation::new(pod, grant, Arc::clone(&run_dir));
    let remove = |refusal: Refusal| {
        if let Ok(mut run_dir) = run_dir.lock() {
            run_dir.remove();
        }
        refusal
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| remove(refuse::engine(error)))?;
    let (pods, first) = runtime
        .block_on(first_attempt(&config, &namespace, &mut creation))
        .map_err(|error| remove(refusal::creation(&error)))?;
    if let First::Created(created) = &first {
        journal.record.created(&created.name);
    }
    journal.write(
        "posted",
        &[
            ("image", Value::from(step.image.to_string())),
            ("uid", Value::from(step.uid)),
            ("created", Value::from(matches!(first, First::Created(_)))),
        ],
    );
    let door = Door {
        token,
        ids: ids(step),
        tasks: step.tasks,
        parent: rustix::process::getpid(),
        container: Some(path.join(CONTAINER_FILE)),
    };
    let keep = step.options.keep().unwrap_or(false);
    let (place, first_node) = meeting(&config, step);
    let results = step.results.clone();
    let work = Work { runtime, pods, sockets, creation, first, door, place, first_node, config, mounts, keep, results };
    Ok((path, work))
}

/// For the job's summary. What hinders it hinders nothing else.
fn leave_record(results: Option<&Place>, journal: &Journal, requests: BTreeMap<String, u32>) {
    let Some(place) = results else { return };
    let (name, bytes) = journal.record.end(requests);
    if let Err(error) = place.leave(&name, bytes) {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn!("{error}{cause}");
        journal.write("no_record", &[("error", Value::from(format!("{error}{cause}")))]);
    }
}

/// Where the tasks meet, and what is to be found out for that.
fn meeting(config: &Config, step: &Step) -> (Option<first_node::Place>, Option<FirstNode>) {
    if !plan::meets(config, step) {
        return (None, None);
    }
    let port = rendezvous::port(step.job_id, step.step_id);
    if step.nodes < 2 || step.node_index == 0 {
        return (Some(first_node::Place::here(port)), None);
    }
    let (place, asked) = first_node::Place::elsewhere(port);
    let name = name::pod(step.job_id, step.step_id, 0);
    (Some(place), Some(FirstNode { asked, labels: plan::first_node(config, step), name }))
}

/// Looks for the first node's Pod, as soon as a task needs to know it and this node's own is there.
async fn find_first(
    first: FirstNode,
    pods: Pods,
    mut named: watch::Receiver<Option<Created>>,
    patience: first_node::Patience,
    events: tokio::sync::mpsc::Sender<Event>,
) {
    if first.asked.await.is_err() {
        return;
    }
    let Ok(own) = named.wait_for(Option::is_some).await.map(|own| own.clone()) else { return };
    let Some(own) = own else { return };
    let sought = Sought { labels: first.labels, name: first.name, own };
    let _ = events.send(Event::FirstNode(first_node::find(&pods, &sought, patience).await)).await;
}

/// The groups as getgroups(2) in the container will tell them.
fn ids(step: &Step) -> Ids {
    let mut groups = step.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    Ids { uid: step.uid, gid: step.gid, groups }
}

async fn first_attempt(
    config: &Config,
    namespace: &str,
    creation: &mut Creation,
) -> Result<(Pods, First), CreateError> {
    let kubernetes = &config.kubernetes;
    let pods = Pods::connect(&kubernetes.kubeconfig, namespace, kubernetes.request_timeout).await?;
    let limit = kubernetes.request_timeout;
    match tokio::time::timeout(limit, creation.attempt(&pods)).await {
        Ok(Ok(created)) => Ok((pods, First::Created(created))),
        Ok(Err(error)) if error.retryable() => {
            log::debug!("{error}");
            Ok((pods, First::Again(error.retry_after())))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            log::debug!("{}", ApiError::Timeout { verb: "POST", seconds: limit.as_secs_f32() });
            Ok((pods, First::Again(None)))
        }
    }
}

fn spawn(run_dir: PathBuf, work: Work, journal: Journal) -> std::io::Result<Open> {
    let (finished, finish) = std::io::pipe()?;
    let (done, ended) = mpsc::channel();
    let thread = std::thread::Builder::new().name("spank-k8s".into()).stack_size(1 << 20).spawn(move || {
        crate::signals::block_all();
        run(work, &journal, finished.into());
        let _ = done.send(());
    })?;
    Ok(Open { run_dir, finish, ended, thread })
}

fn run(work: Work, journal: &Journal, finished: OwnedFd) {
    let shim_came = sleep_until_first_shim(&work.sockets, &finished);
    let Work { runtime, pods, sockets, creation, first, door, place, first_node, config, mounts, keep, results } = work;
    let run_dir = Arc::clone(&creation.run_dir);
    let path = run_dir.lock().map(|run_dir| run_dir.path().to_owned()).unwrap_or_default();
    let (unconfirmed, uncertain) = (creation.target(), Arc::clone(&creation.uncertain));
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let created = if let First::Created(created) = &first { Some(created.clone()) } else { None };
        let (name, mut named) = watch::channel(created);
        let limit = config.kubernetes.start_timeout;
        let mut hub = Hub::new(journal, &path, door.clone(), place, limit);
        if shim_came {
            let (events, inbox) = tokio::sync::mpsc::channel(256);
            let patience = Patience { api: config.kubernetes.api_timeout, pull: config.kubernetes.pull_timeout };
            match (tokio_listener(sockets.shim), tokio_listener(sockets.agent)) {
                (Ok(shims), Ok(agents)) => listen(shims, agents, &door, &events),
                (Err(error), _) | (_, Err(error)) => log::error!("cannot listen: {error}"),
            }
            let look = first_node::Patience { api: config.kubernetes.api_timeout, start: limit };
            let found = first_node.map(|first| find_first(first, pods.clone(), named.clone(), look, events.clone()));
            let story = observe(pods.clone(), creation, first, patience, events, name);
            let story = tokio::task::spawn_local(async {
                tokio::join!(story, async {
                    if let Some(found) = found {
                        found.await;
                    }
                })
            });
            // The container is on its way, and there is nothing else to do.
            for left in sweep(&config.paths.run) {
                journal.write("swept", &[("left", Value::from(left))]);
            }
            hub.serve(inbox, readable(finished)).await;
            story.abort();
        }
        let created = named.borrow_and_update().clone();
        leave(hub.into_agent());
        let perhaps = uncertain.load(Ordering::Relaxed).then_some(unconfirmed);
        let target = created.map(Target::Known).or(perhaps);
        match target {
            Some(_) if keep => journal.write("kept", &[]),
            Some(target) => {
                let removal = remove(&pods, target, journal);
                tokio::pin!(removal);
                // Slurm does not wait for ever: the record comes first where the API server is slow.
                if tokio::time::timeout(SLOW, &mut removal).await.is_err() {
                    leave_record(results.as_ref(), journal, pods.requests());
                    removal.await;
                }
            }
            None => {}
        }
    });
    drop(mounts);
    if let Ok(mut run_dir) = run_dir.lock() {
        run_dir.remove();
    }
    leave_record(results.as_ref(), journal, pods.requests());
}

/// Sleeps in poll(2): no allocation, no lock, nothing that a fork could catch half done.
fn sleep_until_first_shim(sockets: &Sockets, finished: &OwnedFd) -> bool {
    loop {
        let mut fds = [PollFd::new(&sockets.shim, PollFlags::IN), PollFd::new(finished, PollFlags::IN)];
        match poll(&mut fds, None::<&Timespec>) {
            Ok(_) => {
                let [shim, finish] = fds.map(|fd| !fd.revents().is_empty());
                if shim || finish {
                    return shim;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn tokio_listener(listener: std::os::unix::net::UnixListener) -> std::io::Result<tokio::net::UnixListener> {
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

async fn readable(fd: OwnedFd) {
    match tokio::net::unix::pipe::Receiver::from_owned_fd(fd) {
        Ok(pipe) => {
            let _ = pipe.readable().await;
        }
        Err(error) => log::error!("cannot wait for the step's end: {error}"),
    }
}

/// Waits for the agent's end; kills it when it takes too long. Blocks: nothing else is left to do by now.
fn leave(agent: Option<OwnedFd>) {
    let Some(pidfd) = agent else { return };
    let limit = Timespec::try_from(LEAVE).ok();
    let gone = || {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, limit.as_ref()), Ok(1))
    };
    if !gone() {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        gone();
    }
}
