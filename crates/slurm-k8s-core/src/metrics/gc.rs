//! What `slurm-k8s gc --watch` counts.

use super::{Counts, Kind, Label, Metric, Value};

/// Why a Pod goes.
pub const WHY: Label = Label { name: "why", values: &["finished", "job_ended", "earlier_run", "no_job"], rest: None };

/// The figures of the service; counters are since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Pods that were deleted, by [`WHY`].
    pub deleted: Counts,
    /// Deletions that failed.
    pub failed: u64,
    /// Pods.
    pub pods: u64,
    /// Those whose job is gone.
    pub orphans: u64,
    /// Whether the API server answers.
    pub api: bool,
    /// Whether Slurm answered when it was last needed.
    pub slurm: bool,
    /// When the Pods were judged, in seconds since 1970.
    pub looked: u64,
}

/// The table.
pub const METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "gc_deleted_total",
        kind: Kind::Counter,
        help: "Pods that were deleted because nobody else did.",
        label: Some(WHY),
        value: |figures| Value::Each(&figures.deleted),
    },
    Metric {
        name: "gc_failed_deletions_total",
        kind: Kind::Counter,
        help: "Deletions that the API server refused or did not answer; they are tried again.",
        label: None,
        value: |figures| Value::One(figures.failed),
    },
    Metric {
        name: "gc_pods",
        kind: Kind::Gauge,
        help: "Pods of this Slurm cluster.",
        label: None,
        value: |figures| Value::One(figures.pods),
    },
    Metric {
        name: "gc_orphans",
        kind: Kind::Gauge,
        help: "Pods that are there without their job, as of Slurm's last answer; kept ones are not counted.",
        label: None,
        value: |figures| Value::One(figures.orphans),
    },
    Metric {
        name: "gc_api_up",
        kind: Kind::Gauge,
        help: "Whether the API server answers.",
        label: None,
        value: |figures| Value::One(figures.api.into()),
    },
    Metric {
        name: "gc_slurm_up",
        kind: Kind::Gauge,
        help: "Whether Slurm answered when it was last needed.",
        label: None,
        value: |figures| Value::One(figures.slurm.into()),
    },
    Metric {
        name: "gc_last_look_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the Pods were last judged.",
        label: None,
        value: |figures| Value::One(figures.looked),
    },
];

/// The file.
#[must_use]
pub fn render(figures: &Figures) -> String {
    super::render(METRICS, figures)
}
