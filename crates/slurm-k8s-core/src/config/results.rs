//! What becomes of a job that has ended.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::choice::HookUser;

/// `[results]`: see [`crate::results`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Results {
    /// The folder that has one for each job.
    pub folder: Option<PathBuf>,
    /// How often the collector looks for jobs that have ended.
    #[serde(with = "crate::duration::serde_text")]
    pub poll: Duration,
    /// How many jobs are collected at once.
    pub parallel: u32,
    /// Users' own output files up to this size are copied, a quantity of bytes.
    pub copy: String,
    /// How long a job is tried that cannot be collected.
    #[serde(with = "crate::duration::serde_text")]
    pub patience: Duration,
    /// Whether usage goes to Slurm's accounting.
    pub accounting: bool,
    /// The file for `node_exporter`.
    pub metrics: Option<PathBuf>,
}

impl Results {
    /// [`Self::copy`] in bytes.
    #[must_use]
    pub fn copy_bytes(&self) -> u64 {
        let bytes = crate::quantity::value(&self.copy).unwrap_or(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "too large a number is the largest")]
        let bytes = bytes as u64;
        bytes
    }
}

/// `[after_job]`: see [`crate::collect::hook`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AfterJob {
    /// The programs.
    pub run: Vec<PathBuf>,
    /// Whom they run as.
    pub user: HookUser,
    /// For each.
    #[serde(with = "crate::duration::serde_text")]
    pub timeout: Duration,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            folder: None,
            poll: Duration::from_secs(10),
            parallel: 2,
            copy: "1Gi".into(),
            patience: Duration::from_hours(24),
            accounting: true,
            metrics: None,
        }
    }
}

impl Default for AfterJob {
    fn default() -> Self {
        Self { run: Vec::new(), user: HookUser::Job, timeout: Duration::from_mins(5) }
    }
}
