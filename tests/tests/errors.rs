//! The errors a first user meets: each has its line, its exit code, and leaves the node idle.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, ROOT, in_image};

#[test]
fn a_bad_value_fails_before_submission() {
    let ran = ALICE.run(&["sbatch", "--k8s-image=docker://busybox", "--wrap", "true"]);
    ran.fails(1, "--k8s-image");
    assert!(ran.errors().contains("hint"), "{}", ran.errors());
    assert!(ran.text().is_empty(), "{}", ran.text());
    ALICE.run(&["srun", "--k8s-image=Bad:", "true"]).fails(1, "--k8s-image");
    ALICE.run(&["srun", "--k8s-image=a", "--k8s-workdir=rel", "true"]).fails(1, "--k8s-workdir");
    ALICE.run(&["srun", "--k8s-workdir=/tmp", "true"]).fails(1, "--k8s-workdir");
    ALICE.run(&["env", "SLURM_K8S_IMAGE=Bad:", "salloc", "true"]).fails(1, "SLURM_K8S_IMAGE");
}

#[test]
fn a_command_that_is_not_there_or_not_executable() {
    let image = in_image("busybox");
    ALICE.run(&["srun", &image, "no-such-command"]).fails(2, "no-such-command");
    ALICE.run(&["srun", &image, "/etc/passwd"]).fails(13, "/etc/passwd");
}

#[test]
fn a_workdir_that_is_not_there() {
    let ran = ALICE.run(&["srun", &in_image("busybox"), "--k8s-workdir=/not/there", "true"]);
    ran.fails(124, "/not/there");
}

#[test]
fn an_image_that_does_not_exist() {
    let ran = ALICE.run(&["srun", "--k8s-image=nas-hub.local:5407/no-such-image:1", "true"]);
    ran.fails(122, "nas-hub.local:5407/no-such-image:1");
    let ran = ALICE.run(&["srun", "--k8s-image=nas-hub.local:5407/busybox:1", "--k8s-pull=never", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.errors());
    ALICE.run(&["srun", "--k8s-image=nas-hub.local:5407/absent:1", "--k8s-pull=never", "true"]).fails(122, "absent");
}

#[test]
fn root_gets_no_pod() {
    ROOT.run(&["srun", &in_image("busybox"), "true"]).fails(1, "root");
}

#[test]
fn a_foreign_pod_with_our_runtime_class_is_refused() {
    // With all that Pod Security "restricted" asks for, so that it is our policy that refuses.
    let spec = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"foreign","namespace":"slurm-jobs"},
        "spec":{"runtimeClassName":"slurm-k8s","nodeName":"node1",
        "securityContext":{"runAsUser":1000,"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
        "containers":[{"name":"x","image":"x",
        "securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}"#;
    let ran = ROOT.run_with(&["kubectl", "create", "-f", "-"], spec.as_bytes());
    assert_ne!(ran.code, Some(0));
    assert!(ran.errors().contains("only a node's own Slurm identity may use it"), "{}", ran.errors());
}
