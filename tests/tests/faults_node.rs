//! What fails on a compute node: its kubelet, its containerd, its disk, its network.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::{Process, agent, no_process_of, processes};
use e2e::{
    ALICE, Changed, Fault, Job, NODE1, NODE2, ROOT, SlurmConf, alone, in_image, kubelets_follow, left_on, no_pod_of,
    nodes_are_up, registry, start_again, until,
};

#[test]
fn kubelet_and_containerd_are_restarted_and_running_jobs_live_on() {
    let _alone = alone();
    let [kubelet, ending] = [(); 2].map(|()| Job::submit("node1", &[]));
    let [containerd, over] = [(); 2].map(|()| Job::submit("node2", &[]));
    let [kubelet, ending, containerd, over] = [kubelet, ending, containerd, over].map(Job::running);
    let start_timeout = |text| text + "[kubernetes]\nstart_timeout = \"3s\"\n";
    let changed = Changed::edit(NODE1, "/etc/slurm/k8s.toml", start_timeout);
    {
        let _faults = [Fault::start("kubelet@node1"), Fault::start("containerd@node2")];
        for job in [&ending, &over] {
            job.release();
            job.has_written_all();
            no_process_of(&job.id);
        }
        // Its last words need no kubelet; a new one's first do.
        ending.ends_whole();
        let ran = ALICE.run(&["srun", "-n1", "--mem=100M", "-w", "node1", &in_image("busybox"), "true"]);
        ran.fails(123, "the Pod did not start in time: waiting for the kubelet");
    }
    drop(changed);
    [&over, &kubelet, &containerd].into_iter().for_each(Job::ends_whole);
    let _ = ALICE.run(&["srun", "-N2", &in_image("busybox"), "true"]).ok();
}

#[test]
fn a_full_run_file_system_stops_new_jobs_only() {
    let _alone = alone();
    let job = Job::submit("node2", &[]).running();
    let argv = ["srun", "-n1", "--mem=100M", "-w", "node2", &in_image("busybox"), "true"];
    {
        let _fault = Fault::start("disk@node2");
        ALICE.run(&argv).fails(120, "No space left on device");
        job.ends_whole();
    }
    let _ = ALICE.run(&argv).ok();
}

#[test]
fn a_full_disk_stops_pulls_and_new_pods_and_no_running_job() {
    let _alone = alone();
    let job = Job::submit("node2", &[]).running();
    // Not on the node yet, whatever ran before.
    let image = registry::copy_of_busybox("faults-pulled");
    let wish = format!("--k8s-image={image}");
    let argv = |image: &str| -> Vec<String> {
        ["srun", "-n1", "--mem=100M", "-w", "node2", image, "true"].map(str::to_owned).into()
    };
    let run = |image: &str| ALICE.run(&argv(image).iter().map(String::as_str).collect::<Vec<_>>());
    let impatient = |text| text + "[kubernetes]\npull_timeout = \"3s\"\nstart_timeout = \"15s\"\n";
    let changed = Changed::edit(NODE2, "/etc/slurm/k8s.toml", impatient);
    {
        let _fault = Fault::start("disk-images@node2");
        run(&wish).fails(122, "no space left on device");
    }
    {
        let _fault = Fault::start("disk-logs@node2");
        run(&in_image("busybox")).fails(123, "no space left on device");
        job.ends_whole();
    }
    drop(changed);
    let _ = run(&wish).ok();
}

#[test]
fn a_node_short_of_memory_evicts_the_pod_and_the_job_is_told() {
    let _alone = alone();
    let job = Job::submit("node1", &[]).running();
    let other = Job::submit("node2", &[]).running();
    let pressed = |text: String| {
        let never = "evictionPressureTransitionPeriod: 1s\nevictionHard: {memory.available: 99%,";
        text.replace("evictionHard: {memory.available: 50Mi,", never)
    };
    {
        let _again = Restarted("kubelet@node1");
        let _changed = Changed::edit(NODE1, "/etc/kubernetes/kubelet.yaml", pressed);
        drop(Fault::start("kubelet@node1"));
        job.failed(125, "The node was low on resource: memory");
    }
    // Slurm decides who runs there, not a taint that Kubernetes takes away some time later.
    let _ = ALICE.run(&["srun", "-n1", "--mem=100M", "-w", "node1", &in_image("busybox"), "true"]).ok();
    other.ends_whole();
}

#[test]
fn the_tasks_of_other_nodes_do_not_wait_for_ever_for_the_first_one() {
    let _alone = alone();
    // The first one itself has more patience.
    let changed = [(NODE1, 12), (NODE2, 4)].map(|(node, seconds)| {
        let timeout = format!("[kubernetes]\nstart_timeout = \"{seconds}s\"\n");
        Changed::edit(node, "/etc/slurm/k8s.toml", |text| text + &timeout)
    });
    {
        let _fault = Fault::start("kubelet@node1");
        let ran = ALICE.run(&["srun", "-N2", "--mem=100M", &in_image("busybox"), "true"]);
        ran.fails(123, "on the step's first node has got no address in time");
        ran.fails(123, "the Pod did not start in time: waiting for the kubelet");
    }
    drop(changed);
    let _ = ALICE.run(&["srun", "-N2", "--mem=100M", &in_image("busybox"), "true"]).ok();
}

/// A daemon that is started again when this goes.
struct Restarted(&'static str);

impl Drop for Restarted {
    fn drop(&mut self) {
        drop(Fault::start(self.0));
    }
}

/// What plain Slurm does with a job on a node that is started anew, and what is left there of a Pod: nothing.
#[test]
fn a_node_is_rebooted() {
    let _alone = alone();
    let [job, other] = ["node2", "node1"].map(|node| Job::submit(node, &[]).running());
    drop(Fault::start("reboot@node2"));
    until("Slurm knows that the job is lost", || {
        // slurmctld asks the nodes what runs there; a batch job has BatchStartTimeout to be seen.
        let _ = ROOT.run(&["scontrol", "reconfigure"]);
        let states = ROOT.run(&["sacct", "-n", "-P", "-X", "-j", &job.id, "--format=State"]).ok().text();
        states.starts_with("NODE_FAIL").then_some(()).ok_or(states)
    });
    no_pod_of(&job.id);
    until("the node is back", || {
        let ran = ALICE.run(&["srun", "-n1", "--mem=100M", "-w", "node2", &in_image("busybox"), "true"]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    let left =
        NODE2.run(&["sh", "-c", "ls /run/slurm-k8s/pods /run/slurm-k8s/mounts; find /run/slurm-k8s/grants -type f"]);
    assert!(!left.text().contains("slurm-job-"), "{}", left.text());
    nodes_are_up();
    other.ends_whole();
}

/// Slurm runs the job elsewhere. Nobody reaches the processes of its first run, until the node is back.
#[test]
fn a_node_that_slurm_gave_up_comes_back_and_ends_what_runs_elsewhere_by_now() {
    let _alone = alone();
    let _conf = SlurmConf::edit(|text| text.replace("SlurmdTimeout=60", "SlurmdTimeout=10"));
    let job = Job::submit("node1", &["--requeue"]).running();
    let mut first_run = [processes(&job.id), vec![agent(&job.id)]].concat();
    // The script starts one after the other.
    first_run.retain(|process| process.name != "sleep");
    {
        let _fault = Fault::start("network@node1");
        until("Slurm gives the node up", || {
            let argv = ["sacct", "-n", "-P", "-X", "-D", "-j", &job.id, "--format=State"];
            let states = ROOT.run(&argv).ok().text();
            states.contains("NODE_FAIL").then_some(()).ok_or(states)
        });
        // Where there is room.
        let _ = ROOT.run(&["scontrol", "update", &format!("JobId={}", job.id), "ReqNodeList="]).ok();
        start_again(&job.id);
        until("the job runs elsewhere", || {
            let state = ROOT.run(&["squeue", "-h", "-o", "%T %N", "-j", &job.id]).text();
            (state == "RUNNING node2").then_some(()).ok_or(state)
        });
        assert!(first_run.iter().all(Process::lives), "{first_run:?}");
    }
    until("nothing of the first run is left", || {
        let left: Vec<_> = first_run.iter().filter(|process| process.lives()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    job.release();
    job.has_written_all();
    job.ended("FAILED|7:0");
    until("the node has nothing of it", || {
        let left = left_on(NODE1, &job.id);
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    kubelets_follow();
}

#[test]
fn a_nodes_network_is_cut_and_comes_back() {
    let _alone = alone();
    let [living, ending] = ["node1", "node2"].map(|node| Job::submit(node, &[]).running());
    {
        let _faults = [Fault::start("network@node1"), Fault::start("network@node2")];
        ending.release();
        ending.has_written_all();
        no_process_of(&ending.id);
    }
    living.ends_whole();
    ending.ends_whole();
    kubelets_follow();
}
