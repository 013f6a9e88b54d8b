//! What `slurm-k8s collect` counts: the jobs that have ended, and its own work.

mod table;

use super::job::ENDS;
use super::step::{Record, Times};
use super::summary::{Files, Summary};
use crate::exit_code;
use crate::metrics::{Counts, Histograms, Label, count};
pub use table::METRICS;

/// How a job ended, in Slurm's words.
pub const STATE: Label = Label { name: "state", values: &ENDS, rest: Some("OTHER") };
/// What took its time.
pub const PHASE: Label =
    Label { name: "phase", values: &["queue", "create", "pull", "start", "run", "collect"], rest: None };
/// Why a step did not run, or was lost.
pub const REASON: Label = Label { name: "reason", values: &exit_code::LABELS, rest: Some("other") };
/// A request to the API server, in its own words.
pub const VERB: Label = Label { name: "verb", values: &["POST", "GET", "WATCH", "DELETE"], rest: Some("OTHER") };
/// How a hook ended.
pub const RESULT: Label = Label { name: "result", values: &["ok", "failed", "timeout"], rest: None };

/// What no step can have used, thirty processor years, is not counted: a record is its user's.
const MOST_CPU_US: u64 = 1_000_000_000_000_000;
/// And what no folder can have: an exbibyte.
const MOST_BYTES: u64 = 1 << 60;

/// How a run of a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// With 0.
    Ok,
    /// It could not be started, or ended otherwise.
    Failed,
    /// It had to be ended.
    Timeout,
}

/// The figures of a collector; counters are since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Jobs by [`STATE`].
    pub jobs: Counts,
    /// Steps in Pods, one for each node.
    pub steps: u64,
    /// Lengths by [`PHASE`].
    pub phases: Histograms,
    /// Steps that were refused or lost, by [`REASON`].
    pub refusals: Counts,
    /// Requests of steps by [`VERB`].
    pub requests: Counts,
    /// Those of them without a good answer.
    pub failed_requests: u64,
    /// Processor time of steps in microseconds.
    pub cpu_us: u64,
    /// Processes that were killed for want of memory.
    pub memory_kills: u64,
    /// Jobs that are to be collected.
    pub waiting: u64,
    /// Jobs that were.
    pub collected: u64,
    /// Jobs that never will be.
    pub given_up: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Bytes with a checksum.
    pub hashed_bytes: u64,
    /// Files with a checksum.
    pub hashed_files: u64,
    /// Hooks by [`RESULT`].
    pub hooks: Counts,
    /// Whether Slurm answered when it was last needed.
    pub slurm: bool,
    /// When the queue was looked at, in seconds since 1970.
    pub looked: u64,
}

impl Figures {
    /// A job has ended and is collected. Its steps are those that were not collected before.
    pub fn job(&mut self, summary: &Summary) {
        let job = &summary.job;
        count(&mut self.jobs, &STATE, job.state.split(' ').next().unwrap_or_default(), 1);
        self.collected += 1;
        self.hashed(summary.files);
        self.length("queue", summary.queued);
        #[allow(clippy::cast_precision_loss, reason = "days")]
        let length = |ended: i64| summary.collected.checked_sub(ended).map(|seconds| seconds as f64);
        self.length("collect", job.ended.and_then(length));
        summary.steps.iter().for_each(|record| self.step(record));
    }

    /// A hook has ended.
    pub fn hook(&mut self, result: Hook) {
        let label = match result {
            Hook::Ok => "ok",
            Hook::Failed => "failed",
            Hook::Timeout => "timeout",
        };
        count(&mut self.hooks, &RESULT, label, 1);
    }

    fn hashed(&mut self, files: Files) {
        if files.bytes <= MOST_BYTES && files.count <= MOST_BYTES {
            self.hashed_bytes = self.hashed_bytes.saturating_add(files.bytes);
            self.hashed_files = self.hashed_files.saturating_add(files.count);
        }
    }

    fn step(&mut self, record: &Record) {
        self.steps += 1;
        for (phase, length) in Times::phases(&record.times) {
            self.length(phase, length);
        }
        if let Some(refusal) = &record.refusal {
            let reason = exit_code::find(refusal.code).map_or("", |row| row.label);
            count(&mut self.refusals, &REASON, reason, 1);
        }
        for (verb, times) in &record.requests {
            match verb.as_str() {
                "failed" => self.failed_requests += u64::from(*times),
                verb => count(&mut self.requests, &VERB, &verb.to_ascii_uppercase(), u64::from(*times)),
            }
        }
        let cpu_us = Some(record.cpu_us()).filter(|us| *us <= MOST_CPU_US).unwrap_or(0);
        self.cpu_us = self.cpu_us.saturating_add(cpu_us);
        self.memory_kills += u64::from(u32::try_from(record.usage.memory_kills).unwrap_or(0));
    }

    fn length(&mut self, phase: &'static str, length: Option<f64>) {
        if let Some(seconds) = length {
            self.phases.entry(phase).or_default().observe(seconds);
        }
    }
}

/// The file.
#[must_use]
pub fn render(figures: &Figures) -> String {
    crate::metrics::render(METRICS, figures)
}

#[cfg(test)]
mod tests;
