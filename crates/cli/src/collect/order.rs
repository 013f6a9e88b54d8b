//! What the collector and the process that works as a job's user say to each other: one order on its standard input, and
//! lines on its standard output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slurm_k8s_core::collect::job::Job;
use slurm_k8s_core::collect::summary::Summary;

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The job's folder.
    pub folder: PathBuf,
    /// What Slurm says of it.
    pub job: Job,
    /// Output files of the user's own up to this size are copied, in bytes.
    pub copy: u64,
    /// How many files are read at once.
    pub threads: usize,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// A line back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Line {
    /// It goes on.
    Progress {
        /// Bytes that were read.
        done: u64,
        /// Of so many.
        of: u64,
    },
    /// It is done.
    Done(Box<Summary>),
    /// It cannot be done.
    Failed {
        /// Why.
        why: String,
        /// Whether it can never be done: there is no such folder of this user's.
        forever: bool,
    },
}
