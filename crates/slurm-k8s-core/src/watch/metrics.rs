//! What Prometheus' `node_exporter` reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::reason::LABELS;

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
    /// Refused files by [`LABELS`].
    pub refused: BTreeMap<&'static str, u64>,
    /// Claims of others that were taken over.
    pub taken_over: u64,
    /// Things of the site's that failed: files, Slurm.
    pub troubles: u64,
    /// Whether Slurm answered when it was last needed.
    pub slurm: bool,
    /// When `submit` was looked at, in seconds since 1970.
    pub looked: u64,
}

/// The file.
#[must_use]
pub fn render(figures: &Figures) -> String {
    let mut text = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let name = format!("slurm_k8s_watch_{name}");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    one("waiting_files", "gauge", "Files in the submit folder that are not taken yet.", figures.waiting);
    one("unfinished_files", "gauge", "Files in the submit folder with names of unfinished ones.", figures.unfinished);
    one("taken_files", "gauge", "Files that are taken and not done with.", figures.taken);
    one("submitted_total", "counter", "Files that became jobs.", figures.submitted);
    one("taken_over_total", "counter", "Files taken over from a watcher that is gone.", figures.taken_over);
    one("troubles_total", "counter", "Failures that are no file's fault.", figures.troubles);
    one("slurm_up", "gauge", "Whether Slurm answered when it was last needed.", u64::from(figures.slurm));
    one("last_look_timestamp_seconds", "gauge", "When the submit folder was last looked at.", figures.looked);
    text.push_str(
        "# HELP slurm_k8s_watch_refused_total Files that were refused.\n# TYPE slurm_k8s_watch_refused_total counter\n",
    );
    for label in LABELS {
        let count = figures.refused.get(label).copied().unwrap_or(0);
        let _ = writeln!(text, "slurm_k8s_watch_refused_total{{why=\"{label}\"}} {count}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_lines() {
        let figures = Figures { submitted: 3, refused: BTreeMap::from([("script", 2)]), ..Figures::default() };
        let text = render(&figures);
        assert!(text.contains("\nslurm_k8s_watch_submitted_total 3\n"), "{text}");
        assert!(text.contains("\nslurm_k8s_watch_refused_total{why=\"script\"} 2\n"), "{text}");
        assert!(text.ends_with("slurm_k8s_watch_refused_total{why=\"unknown\"} 0\n"), "{text}");
        assert_eq!(text.matches("# TYPE ").count(), 9);
    }
}
