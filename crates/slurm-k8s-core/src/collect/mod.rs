//! `slurm-k8s collect`, as far as it decides and writes: no file system, no Slurm, no clock.
//!
//! A step leaves a [`step::Record`] in its job's folder, and the job's name in a [`queue`]. When Slurm says that the job has
//! ended ([`job`]), the collector makes a [`summary::Summary`] of it, a line of [`checksum`]s for each file, and
//! [`metrics`] for the site.

pub mod checksum;
pub mod hook;
pub mod job;
pub mod metrics;
pub mod queue;
pub mod step;
pub mod summary;
mod text;

/// The summary for programs, in the job's folder.
pub const SUMMARY_JSON: &str = "job_summary.json";
/// The summary for people.
pub const SUMMARY_TEXT: &str = "job_summary.txt";
/// What `sha256sum --check` reads.
pub const CHECKSUMS: &str = "checksums.txt";
/// Where steps leave their records, until they are in the summary.
pub const STEPS: &str = ".steps";
