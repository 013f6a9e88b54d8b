//! One look at all Pods.

use std::process::ExitCode;

use futures_util::StreamExt as _;

use super::decision::{Verdict, decide, needs_slurm};
use super::pod::Pod;
use super::{GcError, Work, now, slurm_hint};
use crate::cluster::{Cluster, ClusterError};
use crate::report;
use crate::slurm::{self, Jobs};

/// How many Pods are deleted at the same time.
pub const AT_ONCE: usize = 8;

/// Judges every Pod and says so; deletes if it is meant.
pub async fn run(work: &Work, delete: bool) -> Result<ExitCode, GcError> {
    let cluster = work.connect().await?;
    let mut well = true;
    let pods = list(work, &cluster, &mut well).await;
    let jobs = jobs(work, &pods, &mut well).await;
    let now = now();
    let judged = pods.iter().map(|pod| (pod, decide(pod, jobs.as_ref(), &work.limits, now)));
    let (doomed, staying): (Vec<_>, Vec<_>) = judged.partition(|(_, verdict)| verdict.delete);
    let width = pods.iter().map(|pod| work.output.name(pod).len()).max().unwrap_or_default();
    staying.iter().for_each(|(pod, verdict)| work.output.line(pod, width, "keep", &verdict.why));
    if delete {
        well &= delete_all(work, &cluster, &doomed, width).await?;
    } else {
        doomed.iter().for_each(|(pod, verdict)| work.output.line(pod, width, "delete", &verdict.why));
        if !doomed.is_empty() && !work.output.json {
            report::note(&format!("{} would go; nothing was deleted: --delete does it", doomed.len()));
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Pods of all namespaces, the oldest first.
async fn list(work: &Work, cluster: &Cluster, well: &mut bool) -> Vec<Pod> {
    let mut pods = Vec::new();
    for namespace in &work.namespaces {
        match cluster.list(namespace).await {
            Ok(list) => pods.extend(list.into_iter().filter_map(Pod::of)),
            Err(error) => {
                report::error(&error, error.hint());
                *well = false;
            }
        }
    }
    pods.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    pods
}

async fn jobs(work: &Work, pods: &[Pod], well: &mut bool) -> Option<Jobs> {
    if !pods.iter().any(|pod| needs_slurm(pod, &work.limits, now())) {
        return None;
    }
    let jobs = slurm::jobs().await.inspect_err(|error| report::error(error, slurm_hint(error)));
    *well &= jobs.is_ok();
    jobs.ok()
}

/// False if one could not be deleted.
async fn delete_all(
    work: &Work,
    cluster: &Cluster,
    doomed: &[(&Pod, Verdict)],
    width: usize,
) -> Result<bool, ClusterError> {
    let mut well = true;
    let deletions = doomed.iter().map(|(pod, verdict)| async move { (pod, verdict, remove(cluster, pod).await) });
    let mut results = futures_util::stream::iter(deletions).buffer_unordered(AT_ONCE);
    while let Some((pod, verdict, result)) = results.next().await {
        match result {
            Ok(()) => work.output.line(pod, width, "deleted", &verdict.why),
            Err(error) if error.of_one_request() => {
                report::note(&format!("cannot delete {}: {}", work.output.name(pod), report::chain(&error)));
                well = false;
            }
            // The others would fail alike.
            Err(error) => return Err(error),
        }
    }
    Ok(well)
}

/// Deletes a Pod: at once if nothing runs in it any more.
pub async fn remove(cluster: &Cluster, pod: &Pod) -> Result<(), ClusterError> {
    cluster.delete(&pod.namespace, &pod.name, &pod.uid, pod.finished.is_some()).await
}
