//! The errors a first user meets: each has its line, its exit code, and leaves the node idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, At, ROOT, Ran, in_image, nodes_are_up, until};

fn fails(ran: &Ran, code: i32, text: &str) {
    assert_eq!(ran.code, Some(code), "{}", ran.errors());
    let line = ran.errors();
    assert!(line.lines().any(|line| line.starts_with("spank-k8s: ") && line.contains(text)), "{line}");
    nodes_are_up();
}

#[test]
fn a_bad_value_fails_before_submission() {
    let ran = ALICE.run(&["sbatch", "--k8s-image=docker://busybox", "--wrap", "true"]);
    fails(&ran, 1, "--k8s-image");
    assert!(ran.errors().contains("hint"), "{}", ran.errors());
    assert!(ran.text().is_empty(), "{}", ran.text());
    fails(&ALICE.run(&["srun", "--k8s-image=Bad:", "true"]), 1, "--k8s-image");
    fails(&ALICE.run(&["srun", "--k8s-image=a", "--k8s-workdir=rel", "true"]), 1, "--k8s-workdir");
    fails(&ALICE.run(&["srun", "--k8s-workdir=/tmp", "true"]), 1, "--k8s-workdir");
}

#[test]
fn a_command_that_is_not_there_or_not_executable() {
    let image = in_image("busybox");
    fails(&ALICE.run(&["srun", &image, "no-such-command"]), 2, "no-such-command");
    fails(&ALICE.run(&["srun", &image, "/etc/passwd"]), 13, "/etc/passwd");
}

#[test]
fn a_workdir_that_is_not_there() {
    let ran = ALICE.run(&["srun", &in_image("busybox"), "--k8s-workdir=/not/there", "true"]);
    fails(&ran, 124, "/not/there");
}

#[test]
fn an_image_that_does_not_exist() {
    let ran = ALICE.run(&["srun", "--k8s-image=nas-hub.local:5407/no-such-image:1", "true"]);
    fails(&ran, 122, "nas-hub.local:5407/no-such-image:1");
}

/// A file of a node is away while `check` runs.
fn without(path: &str, check: impl FnOnce()) {
    let node = At { user: "root", host: "node1" };
    let aside = format!("{path}.aside");
    let _ = node.run(&["mv", path, &aside]).ok();
    check();
    let _ = node.run(&["mv", &aside, path]).ok();
}

#[test]
fn what_is_not_installed_on_the_node_is_named() {
    let image = in_image("busybox");
    let argv = ["srun", "-w", "node1", &image, "true"];
    for file in [
        "/etc/slurm/k8s.toml",
        "/etc/slurm/k8s.kubeconfig",
        "/usr/libexec/slurm-k8s/slurm-k8s-agent",
        "/usr/libexec/slurm-k8s/slurm-k8s-runtime",
    ] {
        without(file, || fails(&ALICE.run(&argv), 120, file));
    }
    let node = At { user: "root", host: "node1" };
    let _ = node.run(&["cp", "-p", "/etc/slurm/k8s.toml", "/etc/slurm/k8s.toml.good"]).ok();
    let _ = node.run_with(&["tee", "-a", "/etc/slurm/k8s.toml"], b"\n[kubernets]\n").ok();
    let ran = ALICE.run(&argv);
    let _ = node.run(&["mv", "/etc/slurm/k8s.toml.good", "/etc/slurm/k8s.toml"]).ok();
    fails(&ran, 120, "kubernetes");
    assert_eq!(ALICE.run(&argv).ok().code, Some(0));
}

#[test]
fn a_foreign_pod_with_our_runtime_class_is_refused() {
    let spec = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"foreign","namespace":"slurm-jobs"},
        "spec":{"runtimeClassName":"slurm-k8s","nodeName":"node1","containers":[{"name":"x","image":"x"}]}}"#;
    let ran = ROOT.run_with(&["kubectl", "create", "-f", "-"], spec.as_bytes());
    assert_ne!(ran.code, Some(0));
    assert!(ran.errors().contains("slurm-k8s"), "{}", ran.errors());
}

#[test]
fn the_registry_or_the_api_server_is_down() {
    // Alone on node2, so that the other tests go on.
    let fault = |name: &str, verb: &str| {
        let testbed = format!("{}/../target/debug/testbed", env!("CARGO_MANIFEST_DIR"));
        let status = std::process::Command::new(testbed).args(["fault", name, verb]).status().unwrap();
        assert!(status.success(), "fault {name} {verb}");
    };
    fault("registry", "start");
    let ran = ALICE.run(&["srun", "-w", "node2", "--k8s-pull=always", &in_image("busybox"), "true"]);
    fault("registry", "stop");
    fails(&ran, 122, "nas-hub.local:5407");
    fault("apiserver", "start");
    let ran = ALICE.run(&["srun", "-w", "node2", &in_image("busybox"), "true"]);
    fault("apiserver", "stop");
    fails(&ran, 121, "API server");
    until("jobs run again", || {
        let ran = ALICE.run(&["srun", "-w", "node2", &in_image("busybox"), "true"]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
}
