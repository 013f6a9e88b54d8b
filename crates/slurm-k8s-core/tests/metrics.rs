//! The metrics' files are in Prometheus' text format, and the dashboard asks for what is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod exposition;

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
