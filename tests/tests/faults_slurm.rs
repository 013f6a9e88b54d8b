//! What becomes of a Pod when a part of Slurm fails, and what Slurm does with a job that Kubernetes failed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::{agent, no_process_of, processes};
use e2e::{
    ALICE, CTL, Changed, Fault, Job, NODE1, NODE2, ROOT, accounting, alone, in_image, no_pod_of, nodes_are_up, scratch,
    start_again, until,
};

#[test]
fn slurmd_and_slurmctld_are_restarted_and_running_jobs_live_on() {
    let _alone = alone();
    let [here, ending, there] = ["node1", "node1", "node2"].map(|node| Job::submit(node, &[]));
    let [here, ending, there] = [here, ending, there].map(Job::running);
    {
        let _faults = [Fault::start("slurmctld"), Fault::start("slurmd@node1")];
        ending.release();
        ending.has_written_all();
        no_process_of(&ending.id);
    }
    [&ending, &here, &there].into_iter().for_each(Job::ends_whole);
}

/// What slurmstepd has on the node for its Pods: run folders, grants, mounts.
fn left_on_node1() -> String {
    let script = "cd /run/slurm-k8s; ls -d pods/* mounts/* grants/*/* 2>/dev/null; grep -o '/run/slurm-k8s/mounts[^ ]*' /proc/mounts";
    NODE1.run(&["sh", "-c", script]).text()
}

#[test]
fn what_a_killed_slurmstepd_leaves_the_next_step_of_the_node_removes() {
    let _alone = alone();
    let source = scratch("source");
    let mounts = format!("--k8s-mounts={source}:/data");
    let [killed, bystander] = [(); 2].map(|()| Job::submit("node1", &[&mounts])).map(Job::running);
    // A stopped agent does not see that its link ends.
    let agent = agent(&killed.id);
    agent.signal("-STOP");
    let _ = NODE1.run(&["pkill", "-KILL", "-f", &format!("^slurmstepd: \\[{}\\.", killed.id)]).ok();
    let of =
        |job: &Job| left_on_node1().lines().filter(|line| line.contains(&format!("/slurm-job-{}-", job.id))).count();
    until("slurmstepd is dead", || {
        let ran = NODE1.run(&["pgrep", "-f", &format!("^slurmstepd: \\[{}\\.", killed.id)]);
        (ran.code == Some(1)).then_some(()).ok_or_else(|| ran.text())
    });
    // Its folder, the folder of its mounts, and the mount.
    assert_eq!((of(&killed), of(&bystander)), (3, 3), "{}", left_on_node1());
    let _ = ROOT.run(&["scancel", &killed.id]);
    let _ = ALICE.run(&["srun", "-n1", "--mem=100M", "-w", "node1", &in_image("busybox"), "true"]).ok();
    assert_eq!((of(&killed), of(&bystander)), (0, 3), "{}", left_on_node1());
    assert!(!agent.lives(), "{agent:?}");
    no_process_of(&killed.id);
    let log = NODE1.run(&["grep", "\"phase\":\"swept\"", "/var/log/slurm-k8s/engine.log"]).text();
    assert!(log.contains(&format!("\"left\":\"slurm-job-{}-", killed.id)), "{log}");
    bystander.ends_whole();
    assert_eq!(of(&bystander), 0, "{}", left_on_node1());
    assert!(ALICE.run(&["ls", "-d", &source]).ok().text() == source);
    no_pod_of(&killed.id);
    nodes_are_up();
}

/// slurmctld reads its configuration again when this goes.
struct Reconfigure;

impl Drop for Reconfigure {
    fn drop(&mut self) {
        let _ = CTL.run(&["scontrol", "reconfigure"]);
    }
}

/// A quota of the namespace of all jobs, for as long as it lives.
struct Quota;

impl Quota {
    fn set(hard: &str) -> Self {
        let hard = format!("--hard={hard}");
        let _ = ROOT.run(&["kubectl", "-n", "slurm-jobs", "create", "quota", "small", &hard]).ok();
        let used = ["kubectl", "-n", "slurm-jobs", "get", "quota", "small", "-o", "jsonpath={.status.hard}"];
        until("the quota holds", || {
            let text = ROOT.run(&used).text();
            if text.is_empty() { Err("no status".into()) } else { Ok(()) }
        });
        Self
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = ROOT.run(&["kubectl", "-n", "slurm-jobs", "delete", "quota", "small"]);
    }
}

#[test]
fn by_slurms_own_config_a_job_that_kubernetes_failed_is_requeued() {
    let _alone = alone();
    // As docs/failure-modes.md has it.
    let policy = "RequeueExit=120,121,123\nRequeueExitHold=119,125\n";
    let folder = scratch("requeue");
    let log = || ALICE.run(&["cat", &format!("{folder}/log")]).text();
    let script = format!("#!/bin/bash\necho run $SLURM_RESTART_COUNT >> {folder}/log\nexit 5\n");
    let submit = |script: &str, options: &[&str]| {
        let image = in_image("userland");
        let argv = ["sbatch", "--parsable", "--mem=100M", "-n1", "-w", "node2", "--output=/dev/null", &image];
        ALICE.run_with(&[&argv[..], options].concat(), script.as_bytes()).ok().text()
    };
    let state = |job: &str| ROOT.run(&["squeue", "-h", "-o", "%T %r", "-j", job]).text();
    let reconfigure = Reconfigure;
    let changed = Changed::edit(CTL, "/etc/slurm/slurm.conf", |text| text + policy);
    let _ = CTL.run(&["scontrol", "reconfigure"]).ok();
    let (requeued, lost);
    {
        let _timeout =
            Changed::edit(NODE2, "/etc/slurm/k8s.toml", |text| text + "[kubernetes]\napi_timeout = \"1s\"\n");
        let _fault = Fault::start("api-error=503@node2");
        requeued = submit(&script, &[]);
        until("the job is pending again", || {
            let state = ROOT.run(&["scontrol", "show", "job", &requeued]).text();
            if state.contains("Restarts=1") && state.contains("JobState=PENDING") { Ok(()) } else { Err(state) }
        });
        assert_eq!(log(), "");
    }
    start_again(&requeued);
    until("the job runs at last", || (log() == "run 1").then_some(()).ok_or_else(|| state(&requeued)));
    // The user's own failure is nobody's reason to run it again.
    assert!(accounting(&requeued).contains("FAILED|5:0"), "{}", accounting(&requeued));
    // So waits one that is over its quota.
    let quota = Quota::set("limits.memory=1Mi");
    let over = submit("#!/bin/bash\n", &[]);
    until("the job over quota is held", || {
        let state = state(&over);
        state.starts_with("SPECIAL_EXIT").then_some(()).ok_or(state)
    });
    drop(quota);
    let _ = ROOT.run(&["scontrol", "release", &over]).ok();
    start_again(&over);
    until("the job runs when there is room", || {
        let states = accounting(&over);
        if states.contains("COMPLETED|0:0") { Ok(()) } else { Err(states) }
    });
    // One that may have run waits for its user.
    lost = submit("#!/bin/bash\nexec sleep 600\n", &[]);
    until("the command runs", || {
        let found = processes(&lost).iter().any(|process| process.name == "sleep");
        found.then_some(()).ok_or_else(|| state(&lost))
    });
    agent(&lost).kill();
    until("the job is held", || {
        let state = state(&lost);
        state.starts_with("SPECIAL_EXIT").then_some(()).ok_or(state)
    });
    let _ = ROOT.run(&["scancel", &lost]).ok();
    drop((changed, reconfigure));
    [&requeued, &lost].into_iter().for_each(|job| no_pod_of(job));
    nodes_are_up();
}
