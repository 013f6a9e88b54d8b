//! The metrics' files are in Prometheus' text format, and the dashboard asks for what is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod exposition;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slurm_k8s_core::collect::job::Job;
use slurm_k8s_core::collect::metrics as collect;
use slurm_k8s_core::collect::step::{Record, Times};
use slurm_k8s_core::collect::summary::Summary;
use slurm_k8s_core::metrics::gc;
use slurm_k8s_core::watch::metrics as watch;

/// The files of a collector that has seen a job, of a watcher, and of gc.
fn files() -> [String; 3] {
    let times =
        Times { begun: Some(0.0), created: Some(0.3), started: Some(2.0), ended: Some(9e5), ..Times::default() };
    let steps =
        [0.3, 7.0].map(|created| Record { times: Times { created: Some(created), ..times }, ..Record::default() });
    let job = Job { state: "TIMEOUT".into(), ..Job::default() };
    let mut figures = collect::Figures::default();
    let [first, second] = steps;
    figures.job(&Summary::new(job, Vec::new(), vec![first, Record { step: "1".into(), ..second }], 0));
    [collect::render(&figures), watch::render(&watch::Figures::default()), gc::render(&gc::Figures::default())]
}

#[test]
fn every_file_is_in_prometheus_text_format() {
    // node_exporter reads them together: no two may have a metric of one name.
    let samples = exposition::parse(&files().concat());
    assert!(samples.iter().all(|sample| sample.name.starts_with("slurm_k8s_")));
    let count = samples.iter().find(|sample| sample.name.ends_with("_count") && sample.labels["phase"] == "create");
    assert!(count.is_some_and(|sample| sample.value > 1.0), "{count:?}");
}

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/grafana/slurm-k8s.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Everything of this name in it, however deep.
fn all<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let inner = match value {
        Value::Array(values) => values.iter().flat_map(|value| all(value, name)).collect(),
        Value::Object(fields) => fields.values().flat_map(|value| all(value, name)).collect(),
        _ => Vec::new(),
    };
    value.get(name).into_iter().chain(inner).collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_shows_all_of_it() {
    let samples = exposition::parse(&files().concat());
    let mut known: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for sample in &samples {
        let labels = known.entry(&sample.name).or_default();
        for (label, value) in &sample.labels {
            labels.entry(label).or_default().insert(value);
        }
    }
    let mut shown = BTreeSet::new();
    for query in all(&dashboard(), "expr") {
        let query = query.as_str().unwrap();
        let (selectors, groups) = exposition::promql::read(query);
        assert!(!selectors.is_empty(), "{query}");
        for selector in selectors {
            let labels =
                known.get(selector.name.as_str()).unwrap_or_else(|| panic!("no {} in: {query}", selector.name));
            for (label, values) in &selector.labels {
                // Prometheus gives every line the name of its host.
                let known = |value: &String| labels.get(label.as_str()).is_some_and(|all| all.contains(value.as_str()));
                assert!(label == "instance" || values.iter().all(known), "{label} of {}", selector.name);
            }
            assert!(selector.labels.contains_key("instance"), "{query} is of all controllers");
            assert!(groups.iter().all(|label| labels.contains_key(label.as_str())), "{query} by {groups:?}");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| selector.name.strip_suffix(end));
            shown.insert(family.unwrap_or(&selector.name).to_owned());
        }
    }
    let files = files().concat();
    let metrics = files.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let unused: Vec<_> = metrics.filter(|name| !shown.contains(*name)).collect();
    assert!(unused.is_empty(), "the dashboard does not show {unused:?}");
}

#[test]
fn the_dashboard_fits_any_grafana() {
    let dashboard = dashboard();
    let sources = all(&dashboard, "datasource");
    assert!(sources.iter().all(|source| source["uid"] == "${datasource}"), "{sources:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        let has = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let told = has(&panel["description"]) && has(&panel["fieldConfig"]["defaults"]["unit"]);
        assert!(has(&panel["title"]) && (panel["type"] == "row" || told), "{panel}");
    }
}

#[test]
fn what_a_query_asks_for_is_read() {
    let (selectors, groups) = exposition::promql::read(
        "histogram_quantile(0.5, sum by (phase, le) (rate(slurm_k8s_a_bucket{instance=~\"$i\", phase=~\"x|y\"}[5m])))",
    );
    assert_eq!(groups, ["phase", "le"]);
    assert_eq!(selectors[0].name, "slurm_k8s_a_bucket");
    assert_eq!(selectors[0].labels["phase"], ["x", "y"]);
}
