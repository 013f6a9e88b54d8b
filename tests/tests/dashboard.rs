//! Grafana's dashboard, whose queries a real Prometheus answers from the files of the testbed's services.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::prometheus::{Prometheus, exporter, promtool};
use e2e::{CTL, until};
use serde_json::Value;
use slurm_k8s_core::collect::metrics as collect;

/// Where the services write them, on the controller.
const FOLDER: &str = "/var/lib/node-exporter";
const FILES: [&str; 3] = ["collect.prom", "gc.prom", "watch.prom"];

fn file(name: &str) -> String {
    let ran = CTL.run(&["cat", &format!("{FOLDER}/{name}")]);
    if name == "collect.prom" && ran.code != Some(0) {
        // TODO(collect): goes when the testbed has the collector.
        return collect::render(&collect::Figures::default());
    }
    String::from_utf8(ran.ok().stdout).unwrap()
}

/// Each query with the panel that shows it, and its variables as Grafana may fill them in.
fn queries() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/slurm-k8s.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let filled = |query: &Value| {
        let query = query.as_str().unwrap().replace("$__rate_interval", "1m").replace("$__range", "1m");
        query.replace("$instance", ".+")
    };
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panel = |panel: &Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let title = panel["title"].as_str().unwrap().to_owned();
        targets.into_iter().map(move |target| (title.clone(), filled(&target["expr"]))).collect::<Vec<_>>()
    };
    let variable = dashboard["templating"]["list"][1]["definition"].as_str().unwrap();
    let hosts = variable.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(", instance)")).unwrap();
    let hosts = ("the variable".to_owned(), hosts.to_owned());
    panels.flat_map(of_panel).chain([hosts]).collect()
}

#[test]
fn every_query_of_the_dashboard_has_an_answer() {
    until("the services have written", || {
        let there = CTL.run(&["ls", FOLDER]).text();
        let missing = FILES[1..].iter().find(|name| !there.contains(*name));
        missing.map_or(Ok(()), |name| Err(format!("no {name}: {there}")))
    });
    let prometheus = Prometheus::start(exporter(|| FILES.map(file).concat()));
    until("it has scraped three times", || {
        let series = prometheus.query("sum_over_time(up[1m]) >= 3")?;
        if series.is_empty() { Err(format!("{:?}", prometheus.query("up[1m]"))) } else { Ok(()) }
    });
    let queries = queries();
    assert!(queries.len() > 40, "{queries:?}");
    let empty = queries.iter().filter_map(|(panel, query)| match prometheus.query(query) {
        Ok(series) if !series.is_empty() => None,
        other => Some(format!("{panel}: {query}: {other:?}\n")),
    });
    let empty = empty.collect::<String>();
    assert!(empty.is_empty(), "{empty}");
    until("a number that is known arrives", || {
        let up = prometheus.query("slurm_k8s_gc_api_up")?;
        if up.first().is_some_and(|series| series["value"][1] == "1") { Ok(()) } else { Err(format!("{up:?}")) }
    });
}

#[test]
fn promtool_finds_nothing_wrong_with_the_files() {
    for name in FILES {
        assert_eq!(promtool(&file(name)), "", "{name}");
    }
}
