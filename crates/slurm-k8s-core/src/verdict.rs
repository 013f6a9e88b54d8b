//! What a Pod's status means for its job.

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};

use crate::message::{Refusal, one_line, refuse};
use crate::pod::CONTAINER;

pub mod event;
mod pull;

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing wrong yet.
    Wait {
        /// Where it is, for the log.
        state: String,
    },
    /// Something hinders its start, and may pass.
    Trouble {
        /// One line for the user.
        message: String,
    },
    /// The container runs.
    Running,
    /// A failed pull that may succeed later.
    PullRetry {
        /// One line for the user.
        message: String,
    },
    /// Kubernetes ends it: somebody deleted or evicted it.
    Leaving {
        /// One line for the user.
        message: String,
    },
    /// It will not run, or it ended without the agent.
    Failed(Refusal),
}

impl Verdict {
    fn wait(state: impl Into<String>) -> Self {
        Self::Wait { state: state.into() }
    }
}

/// Judges a Pod of ours by its status alone.
#[must_use]
pub fn judge(pod: &Pod) -> Verdict {
    let Some(status) = &pod.status else {
        return Verdict::wait("waiting for the kubelet");
    };
    let state = container_state(status);
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        let (reason, message) = (ended.reason.as_deref(), ended.message.as_deref());
        let evicted = status.phase.as_deref() == Some("Failed") && status.reason.is_some();
        return match reason.unwrap_or_default() {
            "StartError" | "ContainerCannotRun" => start_error(message.unwrap_or_default()),
            "OOMKilled" => out_of_memory(pod),
            // The kubelet's reason for the whole Pod says more than the container's exit.
            _ if evicted => refused(status, true),
            _ if is_leaving(pod) => leaving(pod),
            _ => Verdict::Failed(refuse::agent_ended(ended.exit_code)),
        };
    }
    if status.phase.as_deref() == Some("Failed") {
        let ran = state.is_some_and(|state| state.running.is_some());
        return refused(status, ran);
    }
    if is_leaving(pod) {
        return leaving(pod);
    }
    if state.is_some_and(|state| state.running.is_some()) {
        return Verdict::Running;
    }
    match state.and_then(|state| state.waiting.as_ref()) {
        Some(waiting) => {
            let image = image(pod);
            let message = waiting.message.as_deref().unwrap_or_default();
            self::waiting(waiting.reason.as_deref().unwrap_or_default(), message, image, status)
        }
        None => Verdict::wait("waiting for the kubelet"),
    }
}

fn container_state(status: &PodStatus) -> Option<&ContainerState> {
    status_of_job(status)?.state.as_ref()
}

/// A site's webhook may have put others beside it, and the kubelet sorts them by name.
fn status_of_job(status: &PodStatus) -> Option<&ContainerStatus> {
    status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER)
}

fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.as_ref()?.containers.iter().find(|container| container.name == CONTAINER)
}

fn image(pod: &Pod) -> &str {
    container(pod).and_then(|container| container.image.as_deref()).unwrap_or_default()
}

fn waiting(reason: &str, message: &str, image: &str, status: &PodStatus) -> Verdict {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            pull::judge(image, message)
        }
        "InvalidImageName" | "ErrImageNeverPull" | "SignatureValidationFailed" => pull::refused(reason, image, message),
        "RunContainerError" => start_error(message),
        "CreateContainerError" if transient(message) => Verdict::wait(one_line(message)),
        "CreateContainerConfigError" | "CreateContainerError" | "CrashLoopBackOff" => {
            Verdict::Failed(refuse::no_container(message))
        }
        _ if sandbox(status) => Verdict::wait("pulling the image or making the container"),
        _ => Verdict::wait("making the sandbox"),
    }
}

/// The kubelet tries these again by itself, and they end.
fn transient(message: &str) -> bool {
    let texts = ["context deadline exceeded", "is reserved for", "code = Unavailable"];
    texts.iter().any(|text| message.contains(text))
}

/// What the image was when the container was made, in Kubernetes' words (`imageID`): `REPOSITORY@sha256:…`, or the digest of
/// its config alone if it came to the node without a registry. The kubelet tells about a second after that.
#[must_use]
pub fn image_id(pod: &Pod) -> Option<&str> {
    let container = status_of_job(pod.status.as_ref()?)?;
    Some(container.image_id.as_str()).filter(|id| !id.is_empty())
}

/// Whether the Pod has its sandbox: then what hinders it is in its status.
#[must_use]
pub fn has_sandbox(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(sandbox)
}

fn sandbox(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|c| c.type_ == "PodReadyToStartContainers" && c.status == "True")
}

/// What the OCI runtime, our wrapper in front of it, said.
fn start_error(message: &str) -> Verdict {
    let cause = runtime_cause(message);
    Verdict::Failed(if message.contains("no grant") {
        refuse::no_grant(cause)
    } else if message.contains("slurm-k8s-runtime") && message.contains("fork/exec") {
        refuse::wrapper(cause)
    } else if message.contains("slurm-k8s/agent\"") || message.contains("slurm-k8s-agent") {
        refuse::no_agent(cause)
    } else {
        refuse::start_error(cause)
    })
}

/// The last part of the chain that containerd's layers make.
fn runtime_cause(message: &str) -> &str {
    let message = message.strip_suffix(": unknown").unwrap_or(message);
    let layers = [
        "OCI runtime create failed: ",
        "OCI runtime start failed: ",
        "failed to create shim task: ",
        "failed to create containerd task: ",
        "did not terminate successfully: ",
    ];
    layers.iter().fold(message, |rest, layer| rest.rsplit_once(layer).map_or(rest, |(_, cause)| cause))
}

fn out_of_memory(pod: &Pod) -> Verdict {
    let limits = container(pod).and_then(|c| c.resources.as_ref()?.limits.as_ref());
    let limit = limits.and_then(|limits| limits.get("memory")).map(|quantity| quantity.0.as_str());
    let limit = limit.map_or_else(|| "unknown".to_owned(), |limit| format!("{limit} bytes"));
    Verdict::Failed(refuse::out_of_memory(limit))
}

/// The kubelet refused or ended the whole Pod.
fn refused(status: &PodStatus, ran: bool) -> Verdict {
    let reason = status.reason.as_deref().unwrap_or("no reason given");
    let message = status.message.as_deref().unwrap_or_default();
    Verdict::Failed(match reason {
        "Evicted" if ran => refuse::evicted(reason, message),
        _ if ran => refuse::ended(reason, message),
        "OutOfcpu" | "OutOfmemory" | "OutOfpods" | "OutOfephemeral-storage" => refuse::no_room(reason, message),
        _ => refuse::refused(reason, message),
    })
}

/// Who evicts a Pod, be it the API server or the kubelet, leaves a condition. The kubelet's comes before the phase says it.
fn disruption(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")
}

fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || disruption(pod).is_some()
}

/// Deleted, or evicted.
fn leaving(pod: &Pod) -> Verdict {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let text = disruption(pod).map_or_else(
        || format!("the Pod {name} was deleted in Kubernetes"),
        |condition| {
            let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
            let (reason, message) = (reason.unwrap_or("no reason given"), message.unwrap_or_default());
            format!("the Pod {name} was evicted in Kubernetes: {reason}: {message}")
        },
    );
    Verdict::Leaving { message: one_line(&text) }
}

#[cfg(test)]
mod tests;
