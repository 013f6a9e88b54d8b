//! What fails on a compute node: its kubelet, its containerd, its disk, its network.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::no_process_of;
use e2e::{ALICE, Changed, Fault, Job, NODE1, alone, in_image};

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
}
