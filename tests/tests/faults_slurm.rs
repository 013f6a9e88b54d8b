//! What becomes of a Pod when a part of Slurm fails, and what Slurm does with a job that Kubernetes failed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::{agent, no_process_of, processes, shim};
use e2e::{
    ALICE, At, Changed, Fault, Job, NODE1, NODE2, ROOT, SlurmConf, accounting, alone, in_image, left_on, no_pod_of,
    nodes_are_up, scratch, start_again, until,
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
    let of = |job: &Job| left_on(NODE1, &job.id);
    until("slurmstepd is dead", || {
        let ran = NODE1.run(&["pgrep", "-f", &format!("^slurmstepd: \\[{}\\.", killed.id)]);
        (ran.code == Some(1)).then_some(()).ok_or_else(|| ran.text())
    });
    // Its folder, the folder of its mounts, and the mount.
    assert_eq!((of(&killed).len(), of(&bystander).len()), (3, 3), "{:?}", of(&killed));
    let _ = ROOT.run(&["scancel", &killed.id]);
    let _ = ALICE.run(&["srun", "-n1", "--mem=100M", "-w", "node1", &in_image("busybox"), "true"]).ok();
    assert_eq!((of(&killed).len(), of(&bystander).len()), (0, 3), "{:?}", of(&killed));
    assert!(!agent.lives(), "{agent:?}");
    no_process_of(&killed.id);
    let log = NODE1.run(&["grep", "\"phase\":\"swept\"", "/var/log/slurm-k8s/engine.log"]).text();
    assert!(log.contains(&format!("\"left\":\"slurm-job-{}-", killed.id)), "{log}");
    bystander.ends_whole();
    assert!(of(&bystander).is_empty(), "{:?}", of(&bystander));
    assert!(ALICE.run(&["ls", "-d", &source]).ok().text() == source);
    no_pod_of(&killed.id);
    nodes_are_up();
}

/// sacct's lines without the ids.
fn states(job: &str) -> Vec<String> {
    let all = accounting(job);
    all.lines().map(|line| line.split_once('|').map_or(line, |(_, rest)| rest).to_owned()).collect()
}

fn kill_slurmstepd(node: At, job: &str) {
    let _ = node.run(&["pkill", "-KILL", "-f", &format!("^slurmstepd: \\[{job}\\.")]).ok();
}

/// Beside plain jobs, whose task or slurmstepd is killed as well.
#[test]
fn of_what_is_killed_nothing_is_left_and_slurm_says_of_it_what_it_says_of_plain_jobs() {
    let _alone = alone();
    let mounts = format!("--k8s-mounts={}:/data", scratch("source"));
    let script = "#!/bin/bash\nsleep 4646 & wait\n";
    let submit = |node: &str, options: &[&str]| {
        let argv = ["sbatch", "--parsable", "--no-requeue", "--mem=100M", "-n1", "--output=/dev/null", "-w", node];
        ALICE.run_with(&[&argv[..], options].concat(), script.as_bytes()).ok().text()
    };
    for (node, host, task) in [("node1", NODE1, true), ("node2", NODE2, false)] {
        let jobs = [submit(node, &[]), submit(node, &[&in_image("userland"), &mounts])];
        for job in &jobs {
            until("the script runs", || {
                let found = processes(job);
                found.iter().any(|process| process.name == "sleep").then_some(()).ok_or_else(|| format!("{found:?}"))
            });
            // Of the plain job, bash comes before what it has started.
            let first = processes(job).into_iter().find(|process| process.name != "sleep").unwrap();
            if task { if job == &jobs[1] { shim(job) } else { first }.kill() } else { kill_slurmstepd(host, job) }
        }
        let [plain, pod] = &jobs;
        no_process_of(pod);
        until("Slurm knows that they have ended", || {
            // slurmctld asks the nodes what runs there; a batch job has BatchStartTimeout to be seen.
            let _ = ROOT.run(&["scontrol", "reconfigure"]);
            let left = ROOT.run(&["squeue", "-h", "-j", &jobs.join(","), "-o", "%i %T"]).text();
            left.is_empty().then_some(()).ok_or(left)
        });
        assert_eq!(states(pod), states(plain), "task: {task}");
        // All of the node is free, and what slurmstepd has left goes with the next step.
        let _ = ALICE.run(&["srun", "-Q", "--exclusive", "-w", node, &in_image("busybox"), "true"]).ok();
        assert_eq!(left_on(host, pod), Vec::<String>::new());
        no_pod_of(pod);
        // Nobody is there to end these.
        processes(plain).iter().for_each(e2e::process::Process::kill);
    }
    nodes_are_up();
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
    let conf = SlurmConf::edit(|text| text + policy);
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
    drop(conf);
    [&requeued, &lost].into_iter().for_each(|job| no_pod_of(job));
    nodes_are_up();
}
