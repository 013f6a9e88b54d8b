//! What is kept in a claim's folder, and beside a file in `processed`: JSON of few fields, of which later versions may have
//! more.

use serde::{Deserialize, Serialize};
use slurm_k8s_core::watch::answer::Job;

/// A file's name, whatever its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// UTF-8.
    Name(String),
    /// Anything else.
    NameBytes(Vec<u8>),
}

impl Name {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Name(text.to_owned()),
            Err(_) => Self::NameBytes(bytes.to_vec()),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Name(text) => text.as_bytes(),
            Self::NameBytes(bytes) => bytes,
        }
    }
}

/// `claim.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// What the file was called.
    #[serde(flatten)]
    pub name: Name,
}

/// `attempt.json`: sbatch may have been started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// As whom.
    pub uid: u32,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Whether the script names another cluster.
    pub elsewhere: bool,
}

/// `end.json`: what becomes of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its job; none if it is refused.
    pub job: Option<u32>,
    /// What is written beside it.
    pub note: String,
    /// What the log says.
    pub log: String,
    /// Why it is refused, in the metrics' word.
    pub why: Option<String>,
}

/// Beside a file in `processed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processed {
    /// The version of this record.
    pub version: u32,
    /// What tells this submission from all others; it is in the job's comment.
    pub submission: String,
    /// The job.
    pub job: u32,
    /// Its cluster, if sbatch names one.
    pub cluster: Option<String>,
    /// What the file was called.
    #[serde(flatten)]
    pub name: Name,
    /// The owner.
    pub user: String,
    /// The owner's number.
    pub uid: u32,
    /// When.
    pub submitted: String,
}

impl Ended {
    /// The job as a whole.
    pub fn of_job(job: &Job, note: String, log: String) -> Self {
        Self { job: Some(job.id), note, log, why: None }
    }
}
