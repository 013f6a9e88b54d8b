//! Grafana's dashboard, whose queries a real Prometheus answers from the files of the testbed's services.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::prometheus::{Prometheus, exporter, promtool};
use e2e::results::{Site, collect_once, collected, run, start_collector};
use e2e::{CTL, until};
use serde_json::Value;

/// Where the services write them, on the controller.
const FOLDER: &str = "/var/lib/node-exporter";
const FILES: [&str; 3] = ["collect.prom", "gc.prom", "watch.prom"];
/// The site's collector writes its own, too, and has a program after each job.
const KEYS: &str = "metrics = '/var/lib/node-exporter/collect.prom'\n[after_job]\nrun = ['/bin/true']";

fn file(name: &str) -> String {
    String::from_utf8(CTL.run(&["cat", &format!("{FOLDER}/{name}")]).ok().stdout).unwrap()
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
    let _site = Site::begin(KEYS);
    // Jobs of other tests are none of these figures'.
    let _ = collect_once();
    let _ = CTL.run(&["rm", "-f", &format!("{FOLDER}/collect.prom")]).ok();
    let collector = start_collector();
    until("the services have written", || {
        let there = CTL.run(&["ls", FOLDER]).text();
        let missing = FILES.iter().find(|name| !there.contains(*name));
        missing.map_or(Ok(()), |name| Err(format!("no {name}: {there}")))
    });
    let prometheus = Prometheus::start(exporter(|| FILES.map(file).concat()));
    let value = |query: &str| {
        let series = prometheus.query(query)?;
        series.first().and_then(|one| one["value"][1].as_str()?.parse::<f64>().ok()).ok_or(format!("{series:?}"))
    };
    until("it has scraped what was there before the job", || {
        match value("slurm_k8s_jobs_total{state=\"COMPLETED\"}") {
            Ok(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let _ = collected(&run(&[], "echo x > $K8S_OUTPUT_DIR/x"));
    until("what the job was is there", || {
        let state = value("slurm_k8s_jobs_total{state=\"COMPLETED\"}")?;
        let up = value("slurm_k8s_gc_api_up")?;
        (state > 0.0 && up > 0.0).then_some(()).ok_or_else(|| format!("{state} {up}"))
    });
    let queries = queries();
    assert!(queries.len() > 40, "{queries:?}");
    let empty = queries.iter().filter_map(|(panel, query)| match prometheus.query(query) {
        Ok(series) if !series.is_empty() => None,
        other => Some(format!("{panel}: {query}: {other:?}\n")),
    });
    let empty = empty.collect::<String>();
    assert!(empty.is_empty(), "{empty}");
    for (query, least, most) in [
        ("slurm_k8s_steps_total", 1.0, 1.0),
        ("sum(slurm_k8s_api_requests_total)", 3.0, 20.0),
        ("slurm_k8s_collect_hooks_total{result=\"ok\"}", 1.0, 1.0),
        ("slurm_k8s_collect_hashed_files_total", 2.0, 3.0),
        ("slurm_k8s_cpu_seconds_total", 0.001, 10.0),
        ("sum by (phase) (slurm_k8s_phase_seconds_count{phase=\"pull\"})", 1.0, 1.0),
        (
            "histogram_quantile(0.5, sum by (le) (rate(slurm_k8s_phase_seconds_bucket{phase=\"create\"}[1m])))",
            0.001,
            5.0,
        ),
    ] {
        let value = value(query).unwrap();
        assert!((least..=most).contains(&value), "{query}: {value}");
    }
    assert_eq!(collector.end(), Some(0));
    for name in FILES {
        assert_eq!(promtool(&file(name)), "", "{name}");
    }
    let _ = CTL.run(&["rm", "-f", &format!("{FOLDER}/collect.prom")]).ok();
}
