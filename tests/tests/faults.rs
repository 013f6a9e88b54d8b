//! What is missing or broken on a node or in the cluster: named on the job's stderr, with its exit code, and the node
//! stays idle. These tests break what others need, so each runs alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, Away, Changed, Fault, Job, NODE1, NODE2, alone, in_image, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";

#[test]
fn what_is_not_installed_on_the_node_is_named() {
    let _alone = alone();
    let image = in_image("busybox");
    let argv = ["srun", "-w", "node1", &image, "true"];
    for file in [
        "/etc/slurm/k8s.kubeconfig",
        "/usr/libexec/slurm-k8s/slurm-k8s-agent",
        "/usr/libexec/slurm-k8s/slurm-k8s-runtime",
    ] {
        let _away = Away::take(NODE1, file);
        ALICE.run(&argv).fails(120, file);
    }
    assert_eq!(ALICE.run(&argv).ok().code, Some(0));
}

#[test]
fn a_wrong_config_names_line_key_and_mend() {
    let _alone = alone();
    let argv = ["srun", "-w", "node1", &in_image("busybox"), "true"];
    for (wrong, named) in [
        ("[kubernets]\n", "kubernetes"),
        ("[signal]\nscope = \"all\"\n", "scope"),
        ("[log]\nmax_bytes = 1\n", "max_bytes"),
        ("not toml", CONFIG),
    ] {
        let _changed = Changed::edit(NODE1, CONFIG, |text| text + wrong);
        ALICE.run(&argv).fails(120, named);
    }
    {
        let _away = Away::take(NODE1, CONFIG);
        ALICE.run(&argv).fails(120, CONFIG);
    }
    assert_eq!(ALICE.run(&argv).ok().code, Some(0));
}

#[test]
fn a_kubeconfig_that_root_cannot_use_is_named() {
    let _alone = alone();
    let _changed = Changed::edit(NODE1, "/etc/slurm/k8s.kubeconfig", |_| "apiVersion: v1\nkind: Config\n".to_owned());
    ALICE.run(&["srun", "-w", "node1", &in_image("busybox"), "true"]).fails(120, "k8s.kubeconfig");
}

#[test]
fn a_grant_that_is_not_there_keeps_the_container_from_starting() {
    let _alone = alone();
    // slurmstepd and the runtime look in different places.
    let _changed = Changed::edit(NODE1, CONFIG, |text| text + "[paths]\nrun = \"/run/elsewhere\"\n");
    let _ = NODE1.run(&["mkdir", "-p", "-m", "0711", "/run/elsewhere"]).ok();
    ALICE.run(&["srun", "-w", "node1", &in_image("busybox"), "true"]).fails(123, "no grant");
    let _ = NODE1.run(&["rm", "-r", "/run/elsewhere"]).ok();
}

#[test]
fn a_handler_that_containerd_does_not_have_is_named() {
    let _alone = alone();
    let argv = ["srun", "-w", "node2", &in_image("busybox"), "true"];
    {
        let other = |text: String| text.replace("runtimes.slurm-k8s", "runtimes.slurm-gone");
        let _changed = Changed::edit(NODE2, "/etc/containerd/config.toml", other);
        restart("containerd@node2");
        ALICE.run(&argv).fails(120, "no runtime for \"slurm-k8s\"");
    }
    restart("containerd@node2");
    runs(&argv);
}

fn restart(daemon: &'static str) {
    drop(Fault::start(daemon));
}

#[test]
fn the_registry_is_down() {
    let _alone = alone();
    let _changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\npull_timeout = \"5s\"\n");
    let argv = ["srun", "-w", "node2", "--k8s-pull=always", &in_image("busybox"), "true"];
    {
        let _fault = Fault::start("registry");
        ALICE.run(&argv).fails(122, "nas-hub.local:5407");
    }
    runs(&argv);
}

#[test]
fn a_job_waits_for_a_registry_that_comes_back() {
    let _alone = alone();
    let job = {
        let _fault = Fault::start("registry");
        let job = Job::submit("node2", &["--k8s-pull=always"]);
        until("the user is told", || {
            let errors = job.errors();
            errors.contains("spank-k8s: ").then_some(()).ok_or(errors)
        });
        job
    };
    let job = job.running();
    job.release();
    job.ended("FAILED|7:0");
    // The pull has failed for a while, and nothing else.
    let errors = job.errors();
    assert!(
        errors
            .lines()
            .all(|line| !line.starts_with("spank-k8s: ") || line.contains("pull") || line.contains("nas-hub")),
        "{errors}"
    );
}

#[test]
fn the_api_server_is_down() {
    let _alone = alone();
    let _changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\napi_timeout = \"3s\"\n");
    let argv = ["srun", "-w", "node2", &in_image("busybox"), "true"];
    {
        let _fault = Fault::start("apiserver");
        ALICE.run(&argv).fails(121, "API server");
    }
    runs(&argv);
}

#[test]
fn a_pod_whose_creation_was_answered_too_late_is_deleted_by_its_step() {
    let _alone = alone();
    // Later than request_timeout: the Pod runs before anybody has confirmed it.
    let _fault = Fault::start("api-slow=2500@node2");
    let script = "echo $SLURM_JOB_ID";
    let job = ALICE.run(&["srun", "-Q", "-w", "node2", &in_image("busybox"), "sh", "-c", script]).ok().text();
    // Not by `slurm-k8s gc`: the engine's own log says so.
    until("the engine has deleted the Pod", || {
        let entry = format!("\"job\":\"{job}.0\".*\"phase\":\"deleted\"");
        let log = NODE2.run(&["grep", "-c", &entry, "/var/log/slurm-k8s/engine.log"]).text();
        (log == "1").then_some(()).ok_or(log)
    });
}

fn runs(argv: &[&str]) {
    until("jobs run again", || {
        let ran = ALICE.run(argv);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
}
