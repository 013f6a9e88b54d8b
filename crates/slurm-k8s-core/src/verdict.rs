//! What a Pod's status means for its job.

use k8s_openapi::api::core::v1::Pod;

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing wrong yet.
    Wait {
        /// Where it is, for the log.
        state: String,
    },
    /// The container runs.
    Running,
    /// A failed pull that may succeed later.
    PullRetry {
        /// One line for the user.
        message: String,
    },
    /// It will not run, or it ended without the agent.
    Failed {
        /// One of ours ([`crate::exit_code`]).
        code: u8,
        /// One line for the user.
        message: String,
        /// One line: how to mend it.
        hint: Option<String>,
    },
}

/// Judges a Pod of ours by its status alone.
#[must_use]
pub fn judge(pod: &Pod) -> Verdict {
    let _ = pod;
    Verdict::Wait {
        state: "pending".into(),
    }
}
