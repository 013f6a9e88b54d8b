//! What `slurm-k8s watch` counts.

use super::reason::LABELS;
use crate::metrics::{Counts, Kind, Label, Metric, Value};

/// Why a file was refused.
pub const WHY: Label = Label { name: "why", values: LABELS, rest: None };

/// The figures of a watcher; counters are since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Files in `submit` that are to be taken.
    pub waiting: u64,
    /// Files in `submit` with names of unfinished ones.
    pub unfinished: u64,
    /// Files that are taken and not done with.
    pub taken: u64,
    /// Jobs.
    pub submitted: u64,
    /// Refused files by [`WHY`].
    pub refused: Counts,
    /// Claims of others that were taken over.
    pub taken_over: u64,
    /// Things of the site's that failed: files, Slurm.
    pub troubles: u64,
    /// Whether Slurm answered when it was last needed.
    pub slurm: bool,
    /// When `submit` was looked at, in seconds since 1970.
    pub looked: u64,
}

/// The table.
pub const METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "watch_waiting_files",
        kind: Kind::Gauge,
        help: "Files in the submit folder that are not taken yet.",
        label: None,
        value: |figures| Value::One(figures.waiting),
    },
    Metric {
        name: "watch_unfinished_files",
        kind: Kind::Gauge,
        help: "Files in the submit folder with names of unfinished ones.",
        label: None,
        value: |figures| Value::One(figures.unfinished),
    },
    Metric {
        name: "watch_taken_files",
        kind: Kind::Gauge,
        help: "Files that are taken and not done with.",
        label: None,
        value: |figures| Value::One(figures.taken),
    },
    Metric {
        name: "watch_submitted_total",
        kind: Kind::Counter,
        help: "Files that became jobs.",
        label: None,
        value: |figures| Value::One(figures.submitted),
    },
    Metric {
        name: "watch_taken_over_total",
        kind: Kind::Counter,
        help: "Files taken over from a watcher that is gone.",
        label: None,
        value: |figures| Value::One(figures.taken_over),
    },
    Metric {
        name: "watch_troubles_total",
        kind: Kind::Counter,
        help: "Failures that are no file's fault.",
        label: None,
        value: |figures| Value::One(figures.troubles),
    },
    Metric {
        name: "watch_slurm_up",
        kind: Kind::Gauge,
        help: "Whether Slurm answered when it was last needed.",
        label: None,
        value: |figures| Value::One(figures.slurm.into()),
    },
    Metric {
        name: "watch_last_look_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the submit folder was last looked at.",
        label: None,
        value: |figures| Value::One(figures.looked),
    },
    Metric {
        name: "watch_refused_total",
        kind: Kind::Counter,
        help: "Files that were refused.",
        label: Some(WHY),
        value: |figures| Value::Each(&figures.refused),
    },
];

/// The file.
#[must_use]
pub fn render(figures: &Figures) -> String {
    crate::metrics::render(METRICS, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_lines() {
        let figures = Figures { submitted: 3, refused: Counts::from([("script", 2)]), ..Figures::default() };
        let text = render(&figures);
        assert!(text.contains("\nslurm_k8s_watch_submitted_total 3\n"), "{text}");
        assert!(text.contains("\nslurm_k8s_watch_refused_total{why=\"script\"} 2\n"), "{text}");
        assert!(text.ends_with("slurm_k8s_watch_refused_total{why=\"unknown\"} 0\n"), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), 9);
    }
}
