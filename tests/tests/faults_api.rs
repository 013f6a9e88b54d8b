//! The API server fails: before, during and after a job. The job is not told, or it fails with a code that says whose
//! failure it is; its output is whole, its Pod goes, and its node stays up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use e2e::api_log::{AUDIT, Mark, audit_end, audited};
use e2e::process::{agent, no_process_of, shim};
use e2e::{
    ALICE, CTL, Changed, Fault, Job, NODE1, NODE2, ROOT, alone, image, in_image, kubelets_follow, no_pod_of,
    nodes_are_up, until,
};

const CONFIG: &str = "/etc/slurm/k8s.toml";

/// A task on each of two nodes, and the first waits for the other.
const MEET: &str = r#"
import os, socket, time
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["RANK"] == "0":
    socket.create_server(("", place[1])).accept()
else:
    while True:
        try:
            socket.create_connection(place, 5)
            break
        except OSError:
            time.sleep(0.1)
print(place[0])
"#;

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
        ("api-error=403:watch", "api-error=403:watch"),
        ("api-error=429:watch", "api-error=429:watch"),
        ("api-error=500:watch", "api-error=500:watch"),
        ("api-error=503:watch", "api-error=503:watch"),
        ("api-error=410:watch", "api-error=410:watch"),
        ("api-silent=watch", "api-silent=watch"),
    ] {
        let mark = Mark::now();
        fault.turn(mode);
        mark.awaits(seen);
    }
    job.ends_whole();
    deleted_by_its_step(NODE1, &format!("{}.batch", job.id));
    fault.turn("api-slow=0");
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
fn an_api_server_that_is_too_busy_to_delete_is_asked_again_when_it_says() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0@node2");
    let mark = Mark::now();
    fault.turn("api-error=429:delete");
    let ran = ALICE.run(&["srun", "-Q", "-w", "node2", &in_image("busybox"), "sh", "-c", "echo $SLURM_JOB_ID; exit 3"]);
    let job = ran.ended_with(3).text();
    mark.awaits("api-error=429:delete");
    let begin = Instant::now();
    fault.turn("api-slow=0");
    deleted_by_its_step(NODE2, &format!("{job}.0"));
    // It says `Retry-After: 4`, in the header only; a part of the first second has passed before it was seen.
    assert!(begin.elapsed().as_secs() >= 3, "asked again after {:?}", begin.elapsed());
    assert_eq!(mark.requests(" DELETE ").len(), 2, "{:?}", mark.requests(" DELETE "));
    no_pod_of(&job);
    nodes_are_up();
}

/// The API server has the request, its connection stays open, and nothing comes.
#[test]
fn a_watch_that_is_open_and_silent_keeps_no_job_from_its_end() {
    let _alone = alone();
    let mut fault = Fault::start("api-slow=0");
    let mark = Mark::now();
    fault.turn("api-silent=watch");
    // Nobody else says that there is no such image; start_timeout is ten minutes.
    let absent = format!("--k8s-image={}", image("busybox").replace("busybox", "absent"));
    ALICE.run(&["srun", "-w", "node2", &absent, "true"]).fails(122, "does not exist in its registry");
    mark.awaits("api-silent=watch");
    // The second node's Pod is there long before the first one's has an address.
    let mark = Mark::now();
    let job = {
        let _fault = Fault::start("kubelet@node1");
        let argv = ["srun", "-Q", "-N2", "--mem=100M", &in_image("userland"), "python3", "-c", MEET].map(str::to_owned);
        let job = std::thread::spawn(move || ALICE.run(&argv.each_ref().map(String::as_str)));
        until("the second node watches the first one's Pod", || {
            let seen = mark.requests("labelSelector");
            seen.iter().any(|line| line.contains("watch=true")).then_some(()).ok_or_else(|| seen.join("\n"))
        });
        job
    };
    let text = job.join().unwrap().ok().text();
    let addresses: Vec<_> = text.lines().collect();
    assert!(matches!(addresses[..], [one, other] if one == other && one.starts_with("10.244.11.")), "{text}");
    fault.turn("api-slow=0");
    nodes_are_up();
}

#[test]
fn tasks_that_cannot_ask_for_the_first_nodes_pod_are_told_why_or_wait_a_moment() {
    let _alone = alone();
    let changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\napi_timeout = \"1s\"\n");
    let image = in_image("userland");
    let argv = ["srun", "-Q", "-N2", "--mem=100M", &image, "python3", "-c", MEET];
    let mut fault = Fault::start("api-slow=0@node2");
    for (mode, named) in [
        ("api-error=401:get", "401 Unauthorized"),
        ("api-error=403:get", "403 Forbidden"),
        ("api-error=429:get", "429 Too Many Requests"),
        ("api-error=500:get", "500 InternalError"),
        ("api-cut=get", "cannot reach the Kubernetes API server"),
    ] {
        fault.turn(mode);
        // The first node's task is not to wait for the others, which never come.
        let ran = ALICE.run(&["srun", "-Q", "-N2", "--mem=100M", &image, "true"]);
        ran.fails(121, named);
        ran.fails(121, "on the step's first node");
    }
    drop(changed);
    for mode in ["api-error=403:get", "api-error=429:get", "api-error=500:get", "api-cut=get"] {
        let mark = Mark::now();
        fault.turn(mode);
        let command = argv.map(str::to_owned);
        let job = std::thread::spawn(move || ALICE.run(&command.each_ref().map(String::as_str)));
        mark.awaits("labelSelector");
        fault.turn("api-slow=0");
        assert_eq!(job.join().unwrap().ok().text().lines().count(), 2, "{mode}");
    }
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

/// As when a certificate's time is over: the API server itself refuses the old one then.
#[test]
fn a_certificate_that_ends_during_a_job_is_replaced_by_the_one_that_is_there_now() {
    let _alone = alone();
    let fault = Fault::start("credentials@node1");
    let job = Job::submit("node1", &[]).running();
    let old = "/root/k8s-old.kubeconfig";
    let _ = NODE1.run(&["cp", "/etc/slurm/k8s.kubeconfig", old]).ok();
    drop(fault);
    until("the old one is refused", || {
        let pod = format!("slurm-job-{}", job.id);
        let ran =
            NODE1.run(&["kubectl", "--kubeconfig", old, "-n", "slurm-jobs", "delete", "pod", "--dry-run=server", &pod]);
        let refused = ran.errors().contains("Unauthorized") || ran.errors().contains("provide credentials");
        refused.then_some(()).ok_or_else(|| ran.errors())
    });
    let mark = audit_end();
    job.ends_whole();
    deleted_by_its_step(NODE1, &format!("{}.batch", job.id));
    let log = audited(mark);
    let of = |verb: &str| {
        let sign = format!("\"verb\":\"{verb}\"");
        let line = log.lines().find(|line| line.contains(&job.id) && line.contains(&sign)).unwrap_or_default();
        line.split("X509SHA256=").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    // What had begun before has been let go on.
    let (old, new) = (of("watch"), of("delete"));
    assert!(old.is_some() && new.is_some() && old != new, "{log}");
}
