//! Labels and annotations of our Pods.

use crate::grant::NONCE_ANNOTATION;

/// The label that all our Pods have.
pub const APP: &str = "app";
/// Its value.
pub const APP_VALUE: &str = "slurm-job";
/// The job.
pub const JOB_ID: &str = "job-id";
/// The step.
pub const STEP_ID: &str = "step-id";
/// The node's place in the step.
pub const NODE_INDEX: &str = "node-index";
/// What the Pods of one step have in common, and those of an earlier run have not.
pub const LAUNCH: &str = "launch";
/// The user.
pub const USER: &str = "user";
/// The Slurm cluster.
pub const CLUSTER: &str = "cluster";
/// The array.
pub const ARRAY_JOB_ID: &str = "array-job-id";
/// The task in the array.
pub const ARRAY_TASK_ID: &str = "array-task-id";
/// The image as the user wrote it.
pub const IMAGE_ANNOTATION: &str = "spank-k8s.io/image";

/// That the finished Pod stays.
pub const KEEP_ANNOTATION: &str = "spank-k8s.io/keep";

/// Label or annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For selectors.
    Label,
    /// For reading.
    Annotation,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its key.
    pub key: &'static str,
    /// Label or annotation.
    pub kind: Kind,
    /// A value it can have.
    pub example: &'static str,
    /// What it says; markdown.
    pub doc: &'static str,
}

const fn label(key: &'static str, example: &'static str, doc: &'static str) -> Label {
    Label { key, kind: Kind::Label, example, doc }
}

const fn annotation(key: &'static str, example: &'static str, doc: &'static str) -> Label {
    Label { key, kind: Kind::Annotation, example, doc }
}

/// The table.
pub const LABELS: &[Label] = &[
    label(APP, APP_VALUE, "Every Pod of a Slurm job: `kubectl get pods -l app=slurm-job`."),
    label(JOB_ID, "4711", "The job; for an array, the id of this task's own job."),
    label(STEP_ID, "batch", "The step: `batch` or the number of an `srun`."),
    label(NODE_INDEX, "0", "The node's place in the step, from 0."),
    label(
        LAUNCH,
        "34567",
        "Not for `batch`: the port of the `srun` that launched the step, so that an earlier run of a requeued job is told apart.",
    ),
    label(USER, "alice", "The user's login name."),
    label(CLUSTER, "slurm", "`cluster` in `/etc/slurm/k8s.toml`."),
    label(ARRAY_JOB_ID, "4700", "Only for array tasks: the array, as in `4700_3`."),
    label(ARRAY_TASK_ID, "3", "Only for array tasks: the task, as in `4700_3`."),
    annotation(
        NONCE_ANNOTATION,
        "9f8b6c…",
        "Ties the Pod to the grant that slurmstepd wrote for it. It opens nothing by itself.",
    ),
    annotation(IMAGE_ANNOTATION, "docker.io/library/busybox:1", "The image as the user wrote it."),
    annotation(KEEP_ANNOTATION, "true", "Only with `--k8s-keep`: the finished Pod stays until somebody deletes it."),
];

/// A value that Kubernetes takes for a label: at most 63 of its characters, with `_` for the others and a letter or
/// a digit at both ends. Texts that differ only there become equal.
#[must_use]
pub fn value(text: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: char| !c.is_ascii_alphanumeric();
    let clean: String = text.chars().map(|c| if valid(c) { c } else { '_' }).collect();
    // ASCII only by now: the cut is between characters.
    let clean = clean.trim_start_matches(edge);
    let cut = clean.get(..clean.len().min(63)).unwrap_or_default();
    cut.trim_end_matches(edge).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_made_valid() {
        for (text, expected) in [
            ("alice", "alice"),
            ("alice@ad.example", "alice_ad.example"),
            ("DOMAIN\\bob", "DOMAIN_bob"),
            ("_svc_", "svc"),
            ("일이삼", ""),
            ("", ""),
        ] {
            assert_eq!(value(text), expected);
        }
    }

    proptest! {
        #[test]
        fn every_text_gives_a_valid_value(text in ".{0,100}") {
            let value = value(&text);
            let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
            prop_assert!(value.len() <= 63);
            prop_assert!(ends(value.chars().next()) && ends(value.chars().last()));
        }
    }
}
