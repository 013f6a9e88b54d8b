//! A job can be cancelled in every phase of its Pod; each time it is gone soon, and nothing of it comes later.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::no_process_of;
use e2e::{
    ALICE, Changed, Fault, NODE2, ROOT, accounting, alone, in_image, left_on, no_pod_of, nodes_are_up, registry, until,
};

const CONFIG: &str = "/etc/slurm/k8s.toml";

fn submit(options: &[&str]) -> String {
    let argv = ["sbatch", "--parsable", "--no-requeue", "-w", "node2", "--mem=100M", "--output=/dev/null"];
    ALICE.run_with(&[&argv[..], options].concat(), b"#!/bin/sh\nsleep 4545\n").ok().text()
}

/// Waits until the engine's log has that phase of the job.
fn until_phase(job: &str, phase: &str) {
    let entry = format!("\"job\":\"{job}.batch\".*\"phase\":\"{phase}\"");
    until(&format!("the job's phase {phase}"), || {
        let found = NODE2.run(&["grep", &entry, "/var/log/slurm-k8s/engine.log"]);
        (found.code == Some(0)).then_some(()).ok_or_else(|| found.text())
    });
}

fn cancelled(job: &str) {
    let _ = ALICE.run(&["scancel", job]).ok();
    until("Slurm has no more of the job", || {
        let left = ALICE.run(&["squeue", "-h", "-j", job]).text();
        left.is_empty().then_some(()).ok_or(left)
    });
    let states = accounting(job);
    assert!(states.starts_with(&format!("{job}|CANCELLED by ")), "{states}");
}

fn nothing_is_left(job: &str) {
    no_pod_of(job);
    no_process_of(job);
    assert_eq!(left_on(NODE2, job), Vec::<String>::new());
    nodes_are_up();
}

#[test]
fn before_its_pod_exists() {
    let _alone = alone();
    let job = {
        let _fault = Fault::start("apiserver");
        let job = submit(&[&in_image("busybox")]);
        until_phase(&job, "posted");
        cancelled(&job);
        job
    };
    // The API server is back: nobody sends the Pod after all.
    no_pod_of(&job);
    nodes_are_up();
}

#[test]
fn while_its_image_is_pulled() {
    let _alone = alone();
    let _changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\npull_timeout = \"5m\"\n");
    let _fault = Fault::start("registry");
    let job = submit(&["--k8s-pull=always", &in_image("busybox")]);
    until_phase(&job, "waiting");
    cancelled(&job);
    no_pod_of(&job);
    nodes_are_up();
}

/// A layer that comes for minutes: the job is gone long before.
#[test]
fn while_a_layer_of_its_image_comes_slowly() {
    let _alone = alone();
    let image = format!("--k8s-image={}", registry::image_of_bytes("cancel-slow", 8 << 20));
    let _fault = Fault::start("registry-slow@node2");
    let job = submit(&[&image]);
    let ingest = "cat $(sed -n 's/^root = \"\\(.*\\)\"/\\1/p' /etc/containerd/config.toml)/io.containerd.content.v1.content/ingest/*/data | wc -c";
    until("a part of the layer is there", || {
        let count = NODE2.run(&["sh", "-c", ingest]).text();
        count.parse().is_ok_and(|count: usize| count > 100_000).then_some(()).ok_or(count)
    });
    cancelled(&job);
    nothing_is_left(&job);
    // The pull goes on, and keeps nobody.
    let _ = ALICE.run(&["srun", "-Q", "-w", "node2", "--exclusive", &in_image("busybox"), "true"]).ok();
}

#[test]
fn while_its_pod_waits_for_the_kubelet() {
    let _alone = alone();
    let job = {
        let _fault = Fault::start("kubelet@node2");
        let job = submit(&[&in_image("busybox")]);
        until_phase(&job, "posted");
        until("the Pod is there", || {
            let argv = ["kubectl", "-n", "slurm-jobs", "get", "pod", "-o", "jsonpath={.status.phase}"];
            let phase = ROOT.run(&[&argv[..], &[&format!("slurm-job-{job}")]].concat()).text();
            (phase == "Pending").then_some(()).ok_or(phase)
        });
        cancelled(&job);
        nothing_is_left(&job);
        job
    };
    // The kubelet is back: it starts nothing of it.
    let _ = ALICE.run(&["srun", "-Q", "-w", "node2", "--exclusive", &in_image("busybox"), "true"]).ok();
    nothing_is_left(&job);
}

#[test]
fn right_after_it_was_submitted() {
    let _alone = alone();
    let jobs: Vec<_> = (0..6).map(|_| submit(&[&in_image("busybox")])).collect();
    // Each a little later in its life than the one before.
    for (job, wait) in jobs.iter().zip([0, 20, 60, 120, 200, 300]) {
        std::thread::sleep(std::time::Duration::from_millis(wait));
        cancelled(job);
    }
    jobs.iter().for_each(|job| no_pod_of(job));
    nodes_are_up();
}

#[test]
fn while_its_pod_is_taken_away() {
    let _alone = alone();
    let job = submit(&[&in_image("busybox")]);
    until_phase(&job, "started");
    let _fault = Fault::start("api-slow=1500@node2");
    let _ = ALICE.run(&["scancel", &job]).ok();
    // The DELETE hangs; the second cancel finds a job that is on its way out.
    cancelled(&job);
    no_pod_of(&job);
    nodes_are_up();
}
