//! What the kubelet tells in events only: why a Pod gets no sandbox.

use super::Verdict;
use crate::message::{one_line, refuse};

/// Judges a warning of a Pod that has no container yet; none if it says nothing about the Pod's start.
#[must_use]
pub fn judge(reason: &str, message: &str) -> Option<Verdict> {
    let what = match reason {
        "FailedCreatePodSandBox" => "the node cannot make the Pod's sandbox",
        "NetworkNotReady" => "the node's Pod network is not ready",
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => "the node cannot mount a volume of the Pod",
        "FailedScheduling" => "Kubernetes finds no place for the Pod",
        _ => return None,
    };
    let cause = cause(message);
    if cause.contains("no runtime for") || cause.contains("RuntimeHandler") {
        return Some(Verdict::Failed(refuse::no_handler(cause)));
    }
    Some(Verdict::Trouble { message: one_line(&format!("{what}: {cause}")) })
}

/// Without the layers that say the same as the event's reason.
fn cause(message: &str) -> &str {
    let message = message.strip_prefix("Failed to create pod sandbox: ").unwrap_or(message);
    let status = message.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "));
    status.map_or(message, |(_, cause)| cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_handler_will_not_come_by_itself() {
        let message = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no \
                       runtime for \"slurm-k8s\" is configured";
        let Some(Verdict::Failed(refusal)) = judge("FailedCreatePodSandBox", message) else {
            panic!("not a failure");
        };
        assert_eq!(refusal.code, crate::exit_code::SITE);
        assert!(refusal.message.ends_with("no runtime for \"slurm-k8s\" is configured"), "{refusal:?}");
    }

    #[test]
    fn other_trouble_may_pass() {
        let message = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for \
                       sandbox: plugin type=\"bridge\" failed: no IP addresses";
        let Some(Verdict::Trouble { message }) = judge("FailedCreatePodSandBox", message) else {
            panic!("not trouble");
        };
        assert!(message.starts_with("the node cannot make the Pod's sandbox: failed to setup network"), "{message}");
        assert_eq!(judge("Unhealthy", "x"), None);
    }
}
