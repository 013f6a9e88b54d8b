//! Reads Prometheus' text format, and takes nothing that is not exactly right.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod promql;

use std::collections::{BTreeMap, BTreeSet};

/// A line with a number.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All samples; fails the test at the first line that is wrong.
#[track_caller]
pub fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut samples: Vec<Sample> = Vec::new();
    let mut families = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
        assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
        assert!(families.insert(name), "{name} is there twice");
        let line = lines.next().unwrap_or_default();
        let kind = line.strip_prefix(&format!("# TYPE {name} ")).expect(line);
        let mut found = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            found.push(sample(line));
        }
        assert!(!found.is_empty(), "{name} has no samples");
        match kind {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            "histogram" => histogram(name, &found),
            other => panic!("{name} is a {other}"),
        }
        assert!(kind == "histogram" || found.iter().all(|sample| sample.name == name), "{found:?}");
        samples.extend(found);
    }
    let all: BTreeSet<_> = samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
    assert_eq!(all.len(), samples.len(), "two lines are the same");
    samples
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
        None => (series, ""),
    };
    assert!(is_name(name), "{line}");
    let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once('=').expect(line);
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect(line);
        assert!(is_name(label) && !value.contains(['"', '\\']), "{line}");
        (label.to_owned(), value.to_owned())
    });
    Sample { name: name.to_owned(), labels: pairs.collect(), value: value.parse().expect(line) }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Each has its buckets in order, which grow, and whose last is all.
fn histogram(name: &str, samples: &[Sample]) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let [buckets @ .., sum, count] = &samples[..] else { panic!("{name}{labels:?} has no sum and count") };
        assert_eq!((&sum.name, &count.name), (&format!("{name}_sum"), &format!("{name}_count")));
        assert!(buckets.iter().all(|bucket| bucket.name == format!("{name}_bucket")), "{labels:?}");
        let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.labels["le"].parse().unwrap()).collect();
        assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{labels:?}");
        assert!(buckets.is_sorted_by_key(|bucket| bucket.value), "{labels:?}");
        assert!(buckets.last().is_some_and(|last| last.value.total_cmp(&count.value).is_eq()), "{labels:?}");
    }
}
