//! A job can be cancelled in every phase of its Pod; each time it is gone soon, and nothing of it comes later.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, Changed, Fault, NODE2, accounting, alone, in_image, no_pod_of, nodes_are_up, until};

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
    assert!(states.contains("CANCELLED"), "{states}");
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
