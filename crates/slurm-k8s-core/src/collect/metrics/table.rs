//! The table.

use super::{Figures, PHASE, REASON, RESULT, STATE, VERB};
use crate::metrics::{Kind, Metric, Value};

/// Every metric of the collector.
pub const METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "jobs_total",
        kind: Kind::Counter,
        help: "Jobs of Pods that have ended, by Slurm's state.",
        label: Some(STATE),
        value: |figures| Value::Each(&figures.jobs),
    },
    Metric {
        name: "steps_total",
        kind: Kind::Counter,
        help: "Steps in Pods that have ended, one for each node.",
        label: None,
        value: |figures| Value::One(figures.steps),
    },
    Metric {
        name: "phase_seconds",
        kind: Kind::Histogram,
        help: "How long a job was queued and collected, and its steps were created, pulled, started and run.",
        label: Some(PHASE),
        value: |figures| Value::Lengths(&figures.phases),
    },
    Metric {
        name: "refusals_total",
        kind: Kind::Counter,
        help: "Steps that did not run or were lost, by exit code.",
        label: Some(REASON),
        value: |figures| Value::Each(&figures.refusals),
    },
    Metric {
        name: "api_requests_total",
        kind: Kind::Counter,
        help: "Requests of steps to the API server.",
        label: Some(VERB),
        value: |figures| Value::Each(&figures.requests),
    },
    Metric {
        name: "api_failed_requests_total",
        kind: Kind::Counter,
        help: "Requests of steps to the API server without a good answer.",
        label: None,
        value: |figures| Value::One(figures.failed_requests),
    },
    Metric {
        name: "cpu_seconds_total",
        kind: Kind::Counter,
        help: "Processor time of steps in Pods.",
        label: None,
        value: |figures| Value::Seconds(figures.cpu_us),
    },
    Metric {
        name: "memory_kills_total",
        kind: Kind::Counter,
        help: "Processes in Pods that were killed for want of memory.",
        label: None,
        value: |figures| Value::One(figures.memory_kills),
    },
    Metric {
        name: "collect_waiting_jobs",
        kind: Kind::Gauge,
        help: "Jobs that have ended and are not collected yet.",
        label: None,
        value: |figures| Value::One(figures.waiting),
    },
    Metric {
        name: "collect_collected_total",
        kind: Kind::Counter,
        help: "Jobs that were collected.",
        label: None,
        value: |figures| Value::One(figures.collected),
    },
    Metric {
        name: "collect_given_up_total",
        kind: Kind::Counter,
        help: "Jobs that could not be collected and are not tried again.",
        label: None,
        value: |figures| Value::One(figures.given_up),
    },
    Metric {
        name: "collect_failed_attempts_total",
        kind: Kind::Counter,
        help: "Attempts to collect a job that failed and are made again.",
        label: None,
        value: |figures| Value::One(figures.failed_attempts),
    },
    Metric {
        name: "collect_hashed_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of files with a checksum.",
        label: None,
        value: |figures| Value::One(figures.hashed_bytes),
    },
    Metric {
        name: "collect_hashed_files_total",
        kind: Kind::Counter,
        help: "Files with a checksum.",
        label: None,
        value: |figures| Value::One(figures.hashed_files),
    },
    Metric {
        name: "collect_hooks_total",
        kind: Kind::Counter,
        help: "Runs of the site's hooks.",
        label: Some(RESULT),
        value: |figures| Value::Each(&figures.hooks),
    },
    Metric {
        name: "collect_slurm_up",
        kind: Kind::Gauge,
        help: "Whether Slurm answered when it was last needed.",
        label: None,
        value: |figures| Value::One(figures.slurm.into()),
    },
    Metric {
        name: "collect_last_round_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the queue of jobs was last looked at.",
        label: None,
        value: |figures| Value::One(figures.looked),
    },
];
