//! `--watch`: goes on whatever happens to the API server, to slurmctld or to its own identity.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{iter, select_all};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{DefaultBackoff, Event, watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::decision::{Lack, decide, needs_slurm};
use super::once::{AT_ONCE, remove};
use super::pod::Pod;
use super::store::Store;
use super::tally::Tally;
use super::{GcError, Work, now, slurm_hint};
use crate::cluster::{Cluster, ClusterError};
use crate::report;
use crate::site::EVERYWHERE;
use crate::slurm::{self, Jobs};

/// How often the Pods are judged: they are in memory.
const ROUND: Duration = Duration::from_secs(1);
/// After a failure, if the back-off has no pause to give.
const PAUSE: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
pub async fn run(work: &Work) -> Result<ExitCode, GcError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(GcError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(GcError::Signals)?;
    let mut tally = Tally::new(&work.namespaces, work.metrics.clone());
    report::note(&format!("gc watches Pods with {} in {}", work.selector, shown(&work.namespaces)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        never = serve(work, &mut tally) => match never {},
    }
    tally.write();
    report::note("gc ends");
    Ok(ExitCode::SUCCESS)
}

fn shown(namespaces: &[String]) -> String {
    if namespaces == [EVERYWHERE] { "all namespaces".into() } else { namespaces.join(", ") }
}

async fn serve(work: &Work, tally: &mut Tally) -> Infallible {
    let mut pauses = DefaultBackoff::default();
    loop {
        let error = match work.connect().await {
            Ok(cluster) => follow(work, &cluster, tally).await,
            Err(error) => error,
        };
        report::error(&error, error.hint());
        work.namespaces.iter().for_each(|namespace| tally.away(namespace));
        tally.write();
        sleep(pauses.next().unwrap_or(PAUSE)).await;
    }
}

/// Watches and deletes until the identity is refused.
async fn follow(work: &Work, cluster: &Cluster, tally: &mut Tally) -> ClusterError {
    let watches = work.namespaces.iter().map(|namespace| {
        let events = watcher(cluster.api(namespace), cluster.watch()).default_backoff();
        events.map(move |event| (namespace, event)).boxed_local()
    });
    let mut events = select_all(watches);
    let mut store = Store::default();
    let mut rounds = Rounds::new(work, cluster);
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((namespace, event)) = events.next() => match event.map_err(ClusterError::from) {
                Ok(event) => {
                    // That one begins to list is before any answer.
                    if !matches!(event, Event::Init) {
                        tally.back(namespace);
                    }
                    store.apply(namespace, event);
                }
                Err(error) if error.unauthorized() => return error,
                // Too old to go on: the watcher lists anew.
                Err(ClusterError::Status { code: 410, .. }) => {}
                Err(error) => {
                    tally.away(namespace);
                    report::note(&format!("cannot watch {namespace}: {}", report::chain(&error)));
                }
            },
            _ = ticks.tick() => {
                rounds.next(&mut store, tally).await;
                if let Some(namespace) = tally.to_ask() && cluster.answers(&namespace).await.is_ok() {
                    tally.back(&namespace);
                }
                tally.write_in_time();
            }
        }
    }
}

struct Rounds<'a> {
    work: &'a Work,
    cluster: &'a Cluster,
    delete_at: Instant,
    slurm_at: Instant,
    pauses: DefaultBackoff,
}

impl<'a> Rounds<'a> {
    fn new(work: &'a Work, cluster: &'a Cluster) -> Self {
        let at = Instant::now();
        Self { work, cluster, delete_at: at, slurm_at: at, pauses: DefaultBackoff::default() }
    }

    async fn next(&mut self, store: &mut Store, tally: &mut Tally) {
        if Instant::now() < self.delete_at {
            return;
        }
        let jobs = self.jobs(store, tally).await;
        let (limits, now) = (&self.work.limits, now());
        let judged: Vec<_> = store.pods().map(|pod| (pod, decide(pod, jobs.as_ref(), limits, now))).collect();
        tally.judged(&judged, jobs.is_some());
        let doomed = judged.into_iter().filter(|(_, verdict)| verdict.delete);
        let doomed: Vec<_> =
            doomed.filter_map(|(pod, verdict)| Some((pod.clone(), verdict.lack?, verdict.why))).collect();
        if !doomed.is_empty() && self.delete(&doomed, store, tally).await {
            self.pauses.reset();
        }
    }

    /// Asks Slurm if it is time, and if there is a Pod that it matters for.
    async fn jobs(&mut self, store: &Store, tally: &mut Tally) -> Option<Jobs> {
        let matters = || store.pods().any(|pod| needs_slurm(pod, &self.work.limits, now()));
        if Instant::now() < self.slurm_at || !matters() {
            return None;
        }
        self.slurm_at = Instant::now() + self.work.slurm_every;
        let jobs = slurm::jobs().await.inspect_err(|error| report::error(error, slurm_hint(error)));
        tally.slurm(jobs.is_ok());
        jobs.ok()
    }

    /// False if something failed: the next round waits, and what is left is tried again then.
    async fn delete(&mut self, doomed: &[(Pod, Lack, String)], store: &mut Store, tally: &mut Tally) -> bool {
        let mut well = true;
        let cluster = self.cluster;
        let deletions =
            doomed.iter().map(|(pod, lack, why)| async move { (pod, *lack, why, remove(cluster, pod).await) });
        let mut results = iter(deletions).buffer_unordered(AT_ONCE);
        while let Some((pod, lack, why, result)) = results.next().await {
            let Err(error) = result else {
                store.deleted(&pod.uid);
                tally.deleted(lack);
                self.work.output.line(pod, 0, "deleted", why);
                continue;
            };
            let pause = if well { self.pauses.next().unwrap_or(PAUSE) } else { Duration::ZERO };
            self.delete_at = self.delete_at.max(Instant::now() + pause);
            well = false;
            tally.not_deleted();
            report::note(&format!("cannot delete {} ({why}): {}", self.work.output.name(pod), report::chain(&error)));
            if !error.of_one_request() {
                // The others would fail alike.
                break;
            }
        }
        well
    }
}
