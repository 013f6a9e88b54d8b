//! What Prometheus' `node_exporter` reads: each service has one table, and all that is said of a figure comes from it.

pub mod gc;
pub mod histogram;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use histogram::Histogram;

/// What every name begins with.
pub const PREFIX: &str = "slurm_k8s_";

/// What Prometheus may do with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins anew with its service.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How many were how large.
    Histogram,
}

impl Kind {
    /// Prometheus' word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What tells the lines of a metric apart. Its values are known beforehand: none comes from a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub values: &'static [&'static str],
    /// Or this, for anything else.
    pub rest: Option<&'static str>,
}

impl Label {
    /// All of its values.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().copied().chain(self.rest)
    }
}

/// What has been counted for the values of a label; a value that is not there is 0.
pub type Counts = BTreeMap<&'static str, u64>;
/// The same, with lengths.
pub type Histograms = BTreeMap<&'static str, Histogram>;

/// The figures of a metric.
#[derive(Debug)]
pub enum Value<'a> {
    /// One.
    One(u64),
    /// Microseconds, shown in seconds.
    Seconds(u64),
    /// One for each value of its label.
    Each(&'a Counts),
    /// Lengths for each value of its label.
    Lengths(&'a Histograms),
}

/// A row of a service's table.
pub struct Metric<F: 'static> {
    /// Without [`PREFIX`].
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it counts.
    pub help: &'static str,
    /// Its label, if it has more than one line.
    pub label: Option<Label>,
    /// Where its figures are.
    pub value: fn(&F) -> Value<'_>,
}

/// So many more of a label's value.
pub fn count(counts: &mut Counts, label: &Label, value: &str, more: u64) {
    let known = label.values.iter().copied().find(|known| *known == value).or(label.rest);
    if let Some(known) = known {
        let counter = counts.entry(known).or_default();
        *counter = counter.saturating_add(more);
    }
}

/// The file.
#[must_use]
pub fn render<F>(table: &[Metric<F>], figures: &F) -> String {
    let mut text = String::new();
    for metric in table {
        let (name, kind) = (format!("{PREFIX}{}", metric.name), metric.kind.word());
        let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help);
        let values = metric.label.iter().flat_map(|label| label.all().map(|value| (label.name, value)));
        match (metric.value)(figures) {
            Value::One(value) => text += &format!("{name} {value}\n"),
            Value::Seconds(us) => text += &format!("{name} {}.{:06}\n", us / 1_000_000, us % 1_000_000),
            Value::Each(counts) => values.for_each(|(label, value)| {
                text += &format!("{name}{{{label}=\"{value}\"}} {}\n", counts.get(value).copied().unwrap_or(0));
            }),
            Value::Lengths(histograms) => values.for_each(|(label, value)| {
                let labels = format!("{label}=\"{value}\"");
                text += &histograms.get(value).copied().unwrap_or_default().lines(&name, &labels);
            }),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: Label = Label { name: "why", values: &["late"], rest: Some("other") };

    #[test]
    fn every_value_of_a_label_has_its_line_and_what_is_unknown_is_the_rest() {
        let table = [Metric {
            name: "a_total",
            kind: Kind::Counter,
            help: "As.",
            label: Some(WHY),
            value: |counts: &Counts| Value::Each(counts),
        }];
        let mut counts = Counts::new();
        ["late\"} 1", "new"].iter().for_each(|value| count(&mut counts, &WHY, value, 1));
        let expected = "# HELP slurm_k8s_a_total As.\n# TYPE slurm_k8s_a_total counter\nslurm_k8s_a_total{why=\"late\"} \
                        0\nslurm_k8s_a_total{why=\"other\"} 2\n";
        assert_eq!(render(&table, &counts), expected);
    }

    #[test]
    fn microseconds_are_shown_in_seconds() {
        let table = [Metric {
            name: "cpu",
            kind: Kind::Gauge,
            help: "",
            label: None,
            value: |value: &u64| Value::Seconds(*value),
        }];
        assert!(render(&table, &61_250_001).ends_with("\nslurm_k8s_cpu 61.250001\n"));
    }
}
