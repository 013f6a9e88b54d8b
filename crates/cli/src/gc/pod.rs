//! What is kept of a Pod.

use k8s_openapi::api::core::v1::{Pod as KubernetesPod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use slurm_k8s_core::label;

/// A Pod of ours. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What tells it from a later one with its name.
    pub uid: String,
    /// Its job.
    pub job: Option<u32>,
    /// When it was created.
    pub created: i64,
    /// When its processes had all ended.
    pub finished: Option<i64>,
    /// Whether its user wants to look at it.
    pub kept: bool,
    /// Whether nothing more can be done to delete it.
    pub leaving: bool,
}

impl Pod {
    /// None if it is not one that the API server can have given.
    pub fn of(pod: KubernetesPod) -> Option<Self> {
        let metadata = pod.metadata;
        let created = seconds(&metadata.creation_timestamp?);
        let finished = pod.status.as_ref().and_then(finished).map(|latest| latest.max(created));
        let annotations = metadata.annotations.unwrap_or_default();
        let labels = metadata.labels.unwrap_or_default();
        // A finished Pod need not wait for its grace to pass.
        let at_once = metadata.deletion_grace_period_seconds == Some(0);
        Some(Self {
            namespace: metadata.namespace?,
            name: metadata.name?,
            uid: metadata.uid?,
            job: labels.get(label::JOB_ID).and_then(|id| id.parse().ok()),
            created,
            finished,
            kept: annotations.get(label::KEEP_ANNOTATION).is_some_and(|value| value != "false"),
            leaving: metadata.deletion_timestamp.is_some() && (finished.is_none() || at_once),
        })
    }
}

/// The latest thing that happened to a finished Pod: evicted ones have no containers that ended.
fn finished(status: &PodStatus) -> Option<i64> {
    if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let containers = status.container_statuses.iter().flatten();
    let ends = containers.filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let changes = status.conditions.iter().flatten().filter_map(|condition| condition.last_transition_time.as_ref());
    Some(ends.chain(changes).map(seconds).max().unwrap_or_default())
}

fn seconds(time: &Time) -> i64 {
    time.0.as_second()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {
                "namespace": "slurm-jobs", "name": "slurm-job-12", "uid": "u",
                "creationTimestamp": "1970-01-01T00:01:40Z", "labels": { "job-id": "12" },
            },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        Pod::of(serde_json::from_value(pod).unwrap()).unwrap()
    }

    #[test]
    fn a_running_pod() {
        let pod = of(|_| ());
        assert_eq!((pod.job, pod.created, pod.finished), (Some(12), 100, None));
        assert!(!pod.kept && !pod.leaving);
        assert_eq!(of(|pod| pod["metadata"]["labels"]["job-id"] = "x".into()).job, None);
    }

    #[test]
    fn the_end_is_the_latest_that_is_known() {
        let container = json!([{ "name": "job", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 0, "finishedAt": "1970-01-01T00:03:20Z" } } }]);
        let pod = of(|pod| pod["status"] = json!({ "phase": "Failed", "containerStatuses": container }));
        assert_eq!(pod.finished, Some(200));
        let conditions = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:05:00Z" }]);
        let pod = of(|pod| pod["status"] = json!({ "phase": "Failed", "conditions": conditions }));
        assert_eq!(pod.finished, Some(300));
        assert_eq!(of(|pod| pod["status"] = json!({ "phase": "Succeeded" })).finished, Some(100));
    }

    #[test]
    fn kept_and_leaving() {
        assert!(of(|pod| pod["metadata"]["annotations"] = json!({ "spank-k8s.io/keep": "true" })).kept);
        let deleted = |grace: i64, phase: &'static str| {
            of(move |pod| {
                pod["metadata"]["deletionTimestamp"] = "1970-01-01T00:05:00Z".into();
                pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
                pod["status"]["phase"] = phase.into();
            })
        };
        assert!(deleted(30, "Running").leaving && deleted(0, "Failed").leaving);
        assert!(!deleted(30, "Failed").leaving);
    }
}
