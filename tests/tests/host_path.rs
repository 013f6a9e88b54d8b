//! The way in by volumes of the node: what is tried out is what the runtime gives, as far as Kubernetes can.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::process::{no_process_of, shim};
use e2e::{ALICE, At, Changed, NODE1, NODE2, ROOT, Ran, accounting, alone, in_image, no_pod_of, scratch, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const NAMESPACE: &str = "slurm-jobs-host-path";

/// What an admin does to try it out, on one node.
fn by_volumes() -> Changed {
    by_volumes_on(NODE1, "")
}

fn by_volumes_on(node: At, more: &str) -> Changed {
    let manifest = include_bytes!("../../deploy/host-path.yaml");
    let _ = ROOT.run_with(&["kubectl", "apply", "-f", "-"], manifest).ok();
    let keys = format!("[kubernetes]\nway = \"host-path\"\nnamespace = \"{NAMESPACE}\"\n{more}");
    Changed::edit(node, CONFIG, |text| text + &keys)
}

fn srun(options: &[&str], command: &[&str], input: &[u8]) -> Ran {
    srun_on(NODE1, options, command, input)
}

fn srun_on(node: At, options: &[&str], command: &[&str], input: &[u8]) -> Ran {
    ALICE.run_with(&[&["srun", "-Q", "-w", node.host, "--mem=200M"][..], options, command].concat(), input)
}

#[test]
fn commands_are_as_plain_srun_runs_them() {
    let _alone = alone();
    // One has containerd 1.6, the other containerd 2.
    for node in [NODE1, NODE2] {
        let _changed = by_volumes_on(node, "");
        commands_are_alike_on(node);
    }
}

fn commands_are_alike_on(node: At) {
    let folder = scratch("host-path");
    let chdir = format!("--chdir={folder}");
    let sh = |line: &'static str| vec!["bash", "-c", line];
    for (command, input) in [
        (sh("id -u; id -g; id -G | tr ' ' '\\n' | sort -n; id -un; id -gn; echo ~"), &b""[..]),
        (sh("echo out; echo err >&2; exit 7"), b""),
        (sh("kill -9 $$"), b""),
        (sh("sha256sum; umask; pwd; ulimit -Sn; ulimit -Sc"), b"in\0put\xff"),
        (sh("echo here > file.$PPID.x; cat file.*.x; rm file.*.x; ls -A"), b""),
        (vec!["/no/such/command"], b""),
        (sh("echo \"$SLURM_JOB_NAME $SLURM_NTASKS $HOME $USER\"; grep -c '^SigIgn' /proc/self/status"), b""),
    ] {
        let plain = srun_on(node, &[&chdir], &command, input);
        let pod = srun_on(node, &[&chdir, &in_image("userland")], &command, input);
        assert_eq!(
            (pod.text(), pod.code),
            (plain.text(), plain.code),
            "{command:?} on {}: {}",
            node.host,
            pod.errors()
        );
    }
}

#[test]
fn an_image_without_anything_in_it_runs_its_program() {
    let _alone = alone();
    let _changed = by_volumes();
    let ran = srun(&[&in_image("distroless")], &["/app", "cat"], b"through\0the Pod");
    assert_eq!(ran.stdout, b"through\0the Pod", "{}", ran.errors());
}

#[test]
fn mounts_have_the_users_rights() {
    let _alone = alone();
    let _changed = by_volumes();
    let folder = scratch("host-path");
    let _ = ALICE.run(&["sh", "-c", &format!("echo one > {folder}/one; ln -s /home/bob {folder}/bob")]).ok();
    let image = in_image("userland");
    let ran = srun(&[&format!("--k8s-mounts={folder}:/data:ro,{folder}:/tmp"), &image], &["cat", "/data/one"], b"");
    assert_eq!(ran.ok().text(), "one");
    let hidden = ["sh", "-c", "chmod 0700 ~"];
    let _ = e2e::At { user: "bob", host: "login" }.run(&hidden).ok();
    srun(&[&format!("--k8s-mounts={folder}/bob/x:/data"), &image], &["true"], b"").fails(124, "cannot reach");
}

#[test]
fn what_needs_the_runtime_is_refused() {
    let _alone = alone();
    let _changed = by_volumes();
    srun(&["--k8s-entrypoint", &in_image("userland")], &["true"], b"").fails(124, "entrypoint");
}

#[test]
fn an_image_that_adds_groups_is_refused_before_anything_runs() {
    let _alone = alone();
    let _changed = by_volumes();
    srun(&[&in_image("hostile")], &["true"], b"").fails(123, "groups");
}

#[test]
fn where_kubernetes_can_be_strict_an_image_adds_no_groups() {
    let _alone = alone();
    let groups = ["sh", "-c", "grep Groups /proc/self/status"];
    let plain = srun_on(NODE2, &[], &groups, b"").ok().text();
    let _changed = by_volumes_on(NODE2, "strict_groups = true\n");
    let sorted = |text: &str| {
        let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    let pod = srun_on(NODE2, &[&in_image("hostile")], &groups, b"").ok().text();
    assert_eq!(sorted(&pod), sorted(&plain));
}

#[test]
fn a_job_that_takes_too_much_memory_is_told_so() {
    let _alone = alone();
    let line = "b = bytearray(); \nwhile True: b.extend(bytes(1 << 20))";
    for node in [NODE1, NODE2] {
        let _changed = by_volumes_on(node, "");
        let ran = srun_on(node, &[&in_image("userland")], &["python3", "-c", line], b"");
        ran.fails(137, "out of memory");
        assert!(ran.errors().contains("limit: 209715200 bytes, peak: "), "{}", ran.errors());
    }
}

#[test]
fn a_user_cannot_widen_the_cores() {
    let _alone = alone();
    let wider = ["bash", "-c", "taskset -cp 0-63 $$ >/dev/null 2>&1; nproc; grep Cpus_allowed_list /proc/self/status"];
    for node in [NODE1, NODE2] {
        let plain = srun_on(node, &["-n1", "-c1"], &wider, b"").ok();
        let _changed = by_volumes_on(node, "");
        let pod = srun_on(node, &["-n1", "-c1", &in_image("userland")], &wider, b"").ok();
        assert_eq!(pod.text(), plain.text(), "{}", node.host);
    }
}

#[test]
fn a_killed_shim_leaves_no_process() {
    let _alone = alone();
    for node in [NODE1, NODE2] {
        let _changed = by_volumes_on(node, "");
        let image = in_image("userland");
        let argv = ["sbatch", "--parsable", "--no-requeue", "-w", node.host, "--mem=200M", "-o", "/dev/null", &image];
        // The second has left the first one's group and session.
        let script = b"#!/bin/bash\nsetsid sleep 4343 &\nsleep 4343\n";
        let job = ALICE.run_with(&argv, script).ok().text();
        until("the script runs", || {
            let count = node.run(&["pgrep", "-c", "-f", "^sleep 4343"]).text();
            (count == "2").then_some(()).ok_or(count)
        });
        shim(&job).kill();
        no_process_of(&job);
        assert_eq!(node.run(&["pgrep", "-f", "^sleep 4343"]).code, Some(1));
        assert!(accounting(&job).starts_with(&format!("{job}|FAILED|0:9")), "{}", accounting(&job));
        no_pod_of(&job);
    }
}

#[test]
fn elsewhere_a_node_makes_no_pod_with_volumes() {
    let _alone = alone();
    let way = "[kubernetes]\nway = \"host-path\"\n";
    let _changed = Changed::edit(NODE1, CONFIG, |text| text + way);
    srun(&[&in_image("busybox")], &["true"], b"").fails(121, "hostPath");
}

#[test]
fn the_pod_and_its_processes_are_gone_afterwards() {
    let _alone = alone();
    let _changed = by_volumes();
    let argv = ["sbatch", "--parsable", "-w", "node1", "--mem=200M", "--output=/dev/null", &in_image("userland")];
    let job = ALICE.run_with(&argv, b"#!/bin/bash\nsleep 4343\n").ok().text();
    let find = ["pgrep", "-f", "^sleep 4343"];
    until("the script runs", || (NODE1.run(&find).code == Some(0)).then_some(()).ok_or_else(String::new));
    let _ = ALICE.run(&["scancel", &job]).ok();
    no_pod_of(&job);
    assert_eq!(NODE1.run(&find).code, Some(1));
}
