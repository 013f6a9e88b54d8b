//! Cores and memory: Slurm alone decides what fits on a node, and a Pod has exactly its share.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, ROOT, image, in_image, no_pod_of, scratch, until};

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn tasks_are_bound_to_the_same_cores() {
    let line = "echo $SLURM_PROCID $(taskset -cp $$ | sed 's/.*: //') $(nproc)";
    for options in [
        &["-n2", "--cpu-bind=cores"][..],
        &["-n2", "--cpu-bind=map_cpu:1,0"],
        &["-n2", "--cpu-bind=none"],
        &["-n1", "-c2"],
        &["-n1", "-c1", "--cpu-bind=threads"],
    ] {
        let srun = ["srun", "-Q", "-N1", "-w", "node1", "--mem=100M"];
        let image = in_image("userland");
        let command = ["bash", "-c", line];
        let plain = ALICE.run(&[&srun[..], options, &command].concat()).ok();
        let pod = ALICE.run(&[&srun[..], options, &[&image], &command].concat()).ok();
        assert_eq!(sorted(&pod.text()), sorted(&plain.text()), "{options:?}");
    }
}

#[test]
fn a_job_that_wants_more_cores_than_its_share_has_no_more() {
    // Two loops on one core take twice the time on the clock, whatever affinity they give themselves.
    let line = "import os, time
try: os.sched_setaffinity(0, range(64))
except OSError: pass
begun, child = time.monotonic(), os.fork()
while time.process_time() < 1: pass
if child:
    os.waitpid(child, 0)
    print(time.monotonic() - begun > 1.8)
";
    let srun = ["srun", "-Q", "-n1", "-c1", "--mem=100M", &in_image("userland"), "python3", "-c", line];
    assert_eq!(ALICE.run(&srun).ok().text(), "True");
}

#[test]
fn a_step_runs_beside_the_batch_pod_of_the_whole_node() {
    let folder = scratch("whole");
    let script = format!("#!/bin/bash\ntouch {folder}/up\nsleep 100\n");
    let argv = ["sbatch", "--parsable", "--exclusive", "--mem=0", "-w", "node2", "--output=/dev/null"];
    let image = in_image("userland");
    let job = ALICE.run_with(&[&argv[..], &[&image]].concat(), script.as_bytes()).ok().text();
    until("the script runs", || {
        let ran = ALICE.run(&["ls", &format!("{folder}/up")]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    let jobid = format!("--jobid={job}");
    let beside = ALICE.run(&["srun", "-Q", "--overlap", &jobid, &image, "bash", "-c", "echo $SLURMD_NODENAME; nproc"]);
    let _ = ALICE.run(&["scancel", &job]).ok();
    assert_eq!(beside.ok().text(), "node2\n2");
    no_pod_of(&job);
}

#[test]
fn a_pod_of_the_clusters_own_does_not_keep_slurms_jobs_out() {
    // As a DaemonSet's Pod: it has booked most of the node, for as long as the node is there.
    const NAME: &str = "everywhere";
    let pod = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{NAME}","namespace":"default"}},"spec":{{"nodeName":"node1",
        "terminationGracePeriodSeconds":0,"automountServiceAccountToken":false,"containers":[{{"name":"c","image":"{}",
        "command":["sleep","600"],"resources":{{"requests":{{"cpu":"1900m","memory":"1Gi"}}}}}}]}}}}"#,
        image("busybox")
    );
    let gone = || ROOT.run(&["kubectl", "delete", "pod", NAME, "-n", "default", "--ignore-not-found", "--now"]);
    let _ = gone();
    let _ = ROOT.run_with(&["kubectl", "create", "-f", "-"], pod.as_bytes()).ok();
    until("the cluster's own Pod runs", || {
        let phase =
            ROOT.run(&["kubectl", "get", "pod", NAME, "-n", "default", "-o", "jsonpath={.status.phase}"]).text();
        (phase == "Running").then_some(()).ok_or(phase)
    });
    let ran = ALICE.run(&["srun", "-Q", "--exclusive", "-w", "node1", &in_image("busybox"), "nproc"]);
    let _ = gone().ok();
    assert_eq!(ran.ok().text(), "2");
}
