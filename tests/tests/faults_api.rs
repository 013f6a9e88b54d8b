//! The API server fails: before, during and after a job. The job is not told, or it fails with a code that says whose
//! failure it is; its output is whole, its Pod goes, and its node stays up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use e2e::api_log::{AUDIT, Mark};
use e2e::process::{agent, no_process_of, shim};
use e2e::{
    ALICE, CTL, Changed, Fault, Job, NODE1, NODE2, ROOT, alone, in_image, kubelets_follow, no_pod_of, nodes_are_up,
    until,
};

const CONFIG: &str = "/etc/slurm/k8s.toml";

/// The engine's own word that it has deleted the Pod of a step, and not `slurm-k8s gc`.
fn deleted_by_its_step(host: e2e::At, step: &str) {
    until("the engine has deleted the Pod", || {
        let entry = format!("\"job\":\"{step}\".*\"phase\":\"deleted\"");
        let log = host.run(&["grep", "-c", &entry, "/var/log/slurm-k8s/engine.log"]).text();
        (log == "1").then_some(()).ok_or(log)
    });
}

#[test]
fn a_pod_that_cannot_be_created_fails_its_job_and_the_answer_is_named() {
    let _alone = alone();
    let _changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\napi_timeout = \"1s\"\n");
    let argv = ["srun", "-w", "node2", &in_image("busybox"), "true"];
    let mut fault = Fault::start("api-slow=0@node2");
    for (mode, named) in [
        ("api-error=401:create", "401 Unauthorized"),
        ("api-error=403:create", "403 Forbidden"),
        ("api-error=409:create", "409 Conflict"),
        ("api-error=429:create", "429 Too Many Requests"),
        ("api-error=500:create", "500 InternalError"),
        ("api-error=503:create", "503 ServiceUnavailable"),
        ("api-error=504:create", "504 Timeout"),
        ("api-cut=create", "cannot reach the Kubernetes API server"),
    ] {
        fault.turn(mode);
        ALICE.run(&argv).fails(121, named);
    }
    fault.turn("api-slow=0");
    let _ = ALICE.run(&argv).ok();
}

#[test]
fn an_api_server_that_fails_for_a_moment_costs_a_moment() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0@node2");
    for mode in ["api-error=409:create", "api-error=429:create", "api-error=503:create", "api-cut=create"] {
        let mark = Mark::now();
        fault.turn(mode);
        let begin = Instant::now();
        let image = in_image("busybox");
        let job = std::thread::spawn(move || {
            ALICE.run(&["srun", "-Q", "-w", "node2", &image, "sh", "-c", "echo whole; exit 3"])
        });
        mark.awaits(" POST ");
        fault.turn("api-slow=0");
        let ran = job.join().unwrap().ended_with(3);
        assert_eq!(ran.stdout, b"whole\n", "{mode}");
        if mode.contains("429") {
            // It says `Retry-After: 4`, in the header only.
            assert!(begin.elapsed().as_secs() >= 4, "asked again after {:?}", begin.elapsed());
            assert_eq!(mark.requests(" POST ").len(), 2, "{:?}", mark.requests(" POST "));
        }
    }
}

#[test]
fn a_running_job_does_not_notice_what_becomes_of_its_watch() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0@node1");
    let job = Job::submit("node1", &[]).running();
    for (mode, seen) in [
        ("api-cut", ": cut"),
        ("api-error=401:watch", "api-error=401:watch"),
        ("api-error=503:watch", "api-error=503:watch"),
        ("api-error=410:watch", "api-error=410:watch"),
    ] {
        let mark = Mark::now();
        fault.turn(mode);
        mark.awaits(seen);
    }
    let mark = Mark::now();
    fault.turn("api-slow=0");
    mark.awaits("watch=true");
    job.ends_whole();
    deleted_by_its_step(NODE1, &format!("{}.batch", job.id));
}

#[test]
fn an_api_server_that_becomes_slow_costs_a_running_job_nothing() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0@node1");
    let job = Job::submit("node1", &[]).running();
    let mark = Mark::now();
    fault.turn("api-slow=1500");
    job.ends_whole();
    mark.awaits("DELETE");
    deleted_by_its_step(NODE1, &format!("{}.batch", job.id));
}

#[test]
fn a_pod_whose_deletion_fails_is_deleted_all_the_same() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0");
    let mut jobs = Vec::new();
    // Each holds its core while it tries.
    for (mode, seen, node) in [
        ("api-error=401:delete", "api-error=401:delete", "node1"),
        ("api-error=403:delete", "api-error=403:delete", "node1"),
        ("api-error=409:delete", "api-error=409:delete", "node1"),
        ("api-error=500:delete", "api-error=500:delete", "node2"),
        ("api-cut=delete", ": cut", "node2"),
    ] {
        let mark = Mark::now();
        fault.turn(mode);
        let argv = ["srun", "-Q", "-n1", "--mem=100M", "-w", node, &in_image("busybox"), "sh", "-c"];
        let ran = ALICE.run(&[&argv[..], &["echo $SLURM_JOB_ID; exit 3"]].concat());
        jobs.push(ran.ended_with(3).text());
        mark.awaits(&format!("/pods/slurm-job-{}-0-0", jobs.last().unwrap()));
        mark.awaits(seen);
    }
    fault.turn("api-slow=0");
    // The last one's engine is still at it.
    deleted_by_its_step(NODE2, &format!("{}.0", jobs.last().unwrap()));
    jobs.iter().for_each(|job| no_pod_of(job));
    nodes_are_up();
}

#[test]
fn without_an_api_server_jobs_end_and_what_is_killed_leaves_no_process() {
    let _alone = alone();
    let [whole, other] = ["node1", "node2"].map(|node| Job::submit(node, &[]).running());
    let [shot, lost] = ["node2", "node1"].map(|node| Job::submit(node, &[]).running());
    let agent_of_shot = agent(&shot.id);
    {
        let _fault = Fault::start("apiserver");
        // Nothing of a Pod outlives its task.
        shim(&shot.id).kill();
        no_process_of(&shot.id);
        until("the agent is gone", || if agent_of_shot.lives() { Err(String::new()) } else { Ok(()) });
        // Nobody can say how this one ended.
        agent(&lost.id).kill();
        no_process_of(&lost.id);
        whole.release();
        whole.has_written_all();
        no_process_of(&whole.id);
    }
    whole.ends_whole();
    other.ends_whole();
    lost.failed(125, "the link to the Pod ended without a status");
    shot.ended("FAILED|0:9");
    kubelets_follow();
}

#[test]
fn credentials_that_are_replaced_during_a_job_are_used() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0");
    let [ending, deleted] = [(); 2].map(|()| Job::submit("node1", &[]).running());
    // The new kubeconfig leads past the proxy, which refuses everybody from now on.
    let _changed = Changed::edit(NODE1, "/etc/slurm/k8s.kubeconfig", |text| text.replace(":6444", ":6443"));
    fault.turn("api-error=401");
    ending.ends_whole();
    deleted_by_its_step(NODE1, &format!("{}.batch", ending.id));
    let mark = Mark::now();
    fault.turn("api-error=401:watch");
    mark.awaits("api-error=401:watch");
    until("a second watch begins, with the new credentials", || {
        let watches = format!("ResponseStarted.*slurm-job-{}.*\"verb\":\"watch\"", deleted.id);
        let seen = CTL.run(&["grep", "-c", &watches, AUDIT]).text();
        (seen == "2").then_some(()).ok_or(seen)
    });
    let pod = format!("slurm-job-{}", deleted.id);
    let _ = ROOT.run(&["kubectl", "-n", "slurm-jobs", "delete", "pod", "--wait=false", &pod]).ok();
    deleted.failed(125, "was deleted in Kubernetes");
}
