//! What users may ask of their Pod, and what they may not.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::Unasked;
use e2e::{ALICE, At, Changed, NODE1, ROOT, Ran, alone, image, in_image, no_pod_of, scratch, together, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const BOB: At = At { user: "bob", host: "login" };

/// Runs a shell line in a Pod on node1.
fn in_pod(options: &[&str], line: &str) -> Ran {
    let image = in_image("userland");
    ALICE.run(&[&["srun", "-Q", "-w", "node1", "--mem=200M", &image][..], options, &["bash", "-c", line]].concat())
}

#[test]
fn folders_and_files_of_the_users_are_mounted() {
    let _together = together();
    let folder = scratch("mounts");
    let _ = ALICE
        .run(&["sh", "-c", &format!("echo one > {folder}/one; mkdir '{folder}/a:b'; echo two > '{folder}/a:b/two'")])
        .ok();
    let mounts = format!("--k8s-mounts={folder}:/data,{folder}/one:/file:ro,{folder}/a\\:b:/colon");
    let ran = in_pod(&[&mounts], "cat /data/one /file /colon/two; echo new > /data/new; echo x > /file").ended_with(1);
    assert_eq!(ran.text(), "one\none\ntwo");
    assert!(ran.errors().contains("Read-only file system"), "{}", ran.errors());
    assert_eq!(ALICE.run(&["cat", &format!("{folder}/new")]).ok().text(), "new");
    until("no mount is left", || {
        let left = NODE1.run(&["grep", "-c", " /run/slurm-k8s/mounts/", "/proc/self/mounts"]).text();
        (left == "0").then_some(()).ok_or(left)
    });
    assert_eq!(ALICE.run(&["ls", &folder]).ok().text(), "a:b\nnew\none");
}

/// A file system on the first node, for as long as it lives.
struct Mounted(String);

impl Mounted {
    fn at(folder: String) -> Self {
        let _ = ALICE.run(&["mkdir", "-p", &folder]).ok();
        let _ = NODE1.run(&["mount", "-t", "tmpfs", "-o", "mode=0755", "none", &folder]).ok();
        let _ = NODE1.run_with(&["tee", &format!("{folder}/file")], b"the node's").ok();
        Self(folder)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = NODE1.run(&["umount", &self.0]);
    }
}

#[test]
fn what_the_node_has_mounted_below_a_source_stays_mounted() {
    let _alone = alone();
    let folder = scratch("below");
    let mounted = Mounted::at(format!("{folder}/below"));
    // As systemd has it on every host; else nothing could go wrong.
    let table = NODE1.run(&["grep", &format!(" {} ", mounted.0), "/proc/self/mountinfo"]).ok().text();
    assert!(table.contains(" shared:"), "{table}");
    for _ in 0..2 {
        let ran = in_pod(&[&format!("--k8s-mounts={folder}:/x")], "cat /x/below/file").ok();
        assert_eq!(ran.text(), "the node's");
        until("no mount is left", || {
            let left = NODE1.run(&["grep", "-c", " /run/slurm-k8s/mounts/", "/proc/self/mounts"]).text();
            (left == "0").then_some(()).ok_or(left)
        });
        assert_eq!(NODE1.run(&["cat", &format!("{}/file", mounted.0)]).ok().text(), "the node's");
    }
}

#[test]
fn mounts_have_the_users_rights_not_roots() {
    let _together = together();
    let _ = BOB.run(&["sh", "-c", "mkdir -p ~/private/open && chmod 0700 ~ ~/private && chmod 0755 ~/private/open && echo secret > ~/private/open/file"]).ok();
    in_pod(&["--k8s-mounts=/home/bob/private/open:/x"], "cat /x/file").fails(124, "/home/bob/private/open");
    let folder = scratch("links");
    let _ = ALICE
        .run(&[
            "sh",
            "-c",
            &format!(
                "ln -s /home/bob/private/open {folder}/bob; ln -s /etc {folder}/etc; ln -s /proc/1/root {folder}/root"
            ),
        ])
        .ok();
    in_pod(&[&format!("--k8s-mounts={folder}/bob:/x")], "cat /x/file").fails(124, "cannot reach");
    in_pod(&[&format!("--k8s-mounts={folder}/etc:/x")], "ls /x").fails(124, "leads to /etc");
    in_pod(&[&format!("--k8s-mounts={folder}/root:/x")], "ls /x").fails(124, "--k8s-mounts");
    in_pod(&[&format!("--k8s-mounts={folder}/absent:/x")], "ls /x").fails(124, "cannot reach");
    in_pod(&[&format!("--k8s-mounts={folder}:/home/alice/no-such-place")], "true").fails(124, "no-such-place");
    assert_ne!(ALICE.run(&["ls", "/home/alice/no-such-place"]).code, Some(0));
}

#[test]
fn what_is_no_mount_is_refused_at_once() {
    let _alone = alone();
    for (value, named) in [
        ("relative:/x", "\"relative\""),
        ("/home/alice/../bob:/x", "'..'"),
        ("/home:/proc/x", "/proc"),
        ("/home:/x,/mnt/nas:/x", "named twice"),
        ("/etc:/x", "/etc is not in a folder"),
        ("/home:/x:wr", "\"wr\""),
    ] {
        ALICE
            .run(&["sbatch", &in_image("busybox"), &format!("--k8s-mounts={value}"), "--wrap", "true"])
            .fails(1, named);
    }
}

#[test]
fn the_home_folder_can_be_left_out() {
    let _together = together();
    let script = "ls -d ~/. 2>/dev/null || echo no home; pwd";
    assert_eq!(in_pod(&["--k8s-workdir=/mnt/nas"], script).ok().text(), "/home/alice/.\n/mnt/nas");
    assert_eq!(in_pod(&["--no-k8s-mount-home", "--k8s-workdir=/mnt/nas"], script).ok().text(), "no home\n/mnt/nas");
}

#[test]
fn the_home_folder_can_be_had_where_the_site_does_not_mount_it() {
    let _alone = alone();
    let _changed = Changed::edit(NODE1, CONFIG, |text| text.replace("[\"/home\", ", "["));
    let script = "ls -d ~/. 2>/dev/null || echo no home; ls /home 2>/dev/null";
    assert_eq!(in_pod(&["--k8s-workdir=/mnt/nas"], script).ok().text(), "no home");
    let options = ["--k8s-mount-home", "--k8s-workdir=/mnt/nas"];
    // And nobody else's.
    assert_eq!(in_pod(&options, script).ok().text(), "/home/alice/.\nalice");
}

#[test]
fn variables_stand_above_slurms_and_the_images() {
    let _together = together();
    let ran = in_pod(&["--k8s-env=A=1,B=x\\,y,HOME=/mnt/nas,C="], "echo $A $B $HOME [${C-unset}]");
    assert_eq!(ran.ok().text(), "1 x,y /mnt/nas []");
    let line = format!("PATH=$PATH:/from/the/host srun -Q {} --k8s-env=PATH sh -c 'echo $PATH'", in_image("busybox"));
    assert!(ALICE.run(&["sh", "-c", &line]).ok().text().contains(":/from/the/host:"));
}

#[test]
fn the_images_entrypoint_can_be_used() {
    let _together = together();
    let image = in_image("distroless");
    assert_eq!(ALICE.run(&["srun", "-Q", &image, "--k8s-entrypoint", "exit", "9"]).code, Some(9));
    assert_eq!(ALICE.run(&["srun", "-Q", &image, "/app", "exit", "9"]).code, Some(9));
    // busybox's image has none.
    let _ = ALICE.run(&["srun", "-Q", &in_image("busybox"), "--k8s-entrypoint", "true"]).ok();
}

#[test]
fn the_root_can_be_read_only_and_shm_has_its_size() {
    let _together = together();
    let ran = in_pod(&["--k8s-readonly"], "touch /tmp/ok /dev/shm/ok && ! touch /etc/no 2>/dev/null && echo held");
    assert_eq!(ran.ok().text(), "held");
    let size = "df --output=size -B1 /dev/shm | tail -n 1 | tr -d ' '";
    assert_eq!(in_pod(&["--k8s-shm-size=3M"], size).ok().text(), "3145728");
    assert_eq!(in_pod(&[], size).ok().text(), (200 << 20).to_string());
}

#[test]
fn a_kept_pod_stays() {
    let _together = together();
    let ran = ALICE.run(&["srun", "-Q", "--k8s-keep", &in_image("busybox"), "sh", "-c", "echo $SLURM_JOB_ID"]).ok();
    let label = format!("job-id={}", ran.text());
    let get =
        ["kubectl", "get", "pods", "-l", &label, "-o", "jsonpath={.items[*].metadata.name} {.items[*].status.phase}"];
    until("the Pod is finished and there", || {
        let text = ALICE.run(&get).ok().text();
        (text.ends_with(" Succeeded") || text.ends_with(" Failed")).then_some(()).ok_or(text)
    });
    let _ = ROOT.run(&["kubectl", "delete", "pods", "-l", &label, "--wait=false"]).ok();
    no_pod_of(&ran.text());
}

#[test]
fn what_the_site_does_not_allow_is_refused_on_both_sides() {
    let _alone = alone();
    let _unasked = Unasked::start();
    let image = in_image("busybox");
    for (option, named) in [
        ("--k8s-network=host", "--k8s-network"),
        ("--k8s-namespace=kube-system", "--k8s-namespace"),
        ("--k8s-priority-class=system-node-critical", "--k8s-priority-class"),
        ("--k8s-mounts=/etc:/x", "--k8s-mounts"),
    ] {
        ALICE.run(&["srun", &image, option, "true"]).fails(1, named);
        // A login host with another config lets it pass; the node does not.
        let _changed = Changed::edit(ROOT, CONFIG, |_| {
            "[policy]\nhost_network = true\nnamespaces = ['kube-system']\npriority_classes = ['system-node-critical']\nmounts = ['/etc']\n".into()
        });
        ALICE.run(&["srun", &image, option, "true"]).fails(124, named);
    }
    let only = |text: String| text + "[policy]\nimages = ['nas-hub.local:5407/user*']\n";
    let _changed = Changed::edit(NODE1, CONFIG, only);
    ALICE.run(&["srun", "-w", "node1", &image, "true"]).fails(124, &self::image("busybox"));
    let _ = ALICE.run(&["srun", "-w", "node1", &in_image("userland"), "true"]).ok();
}

#[test]
fn the_nodes_network_can_be_had_where_it_is_allowed() {
    let _alone = alone();
    let _unasked = Unasked::start();
    // Pod Security "restricted" of the namespace forbids it, too: the message is Kubernetes'.
    let allow = |text: String| text + "[policy]\nhost_network = true\n";
    let (_login, _node) = (Changed::edit(ROOT, CONFIG, allow), Changed::edit(NODE1, CONFIG, allow));
    ALICE.run(&["srun", "-w", "node1", &in_image("busybox"), "--k8s-network=host", "true"]).fails(121, "hostNetwork");
    let relax = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        let _ = ROOT.run(&["kubectl", "label", "--overwrite", "namespace", "slurm-jobs", &label]).ok();
    };
    relax("privileged");
    let line = "hostname; echo $MASTER_ADDR";
    let ran = ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("busybox"), "--k8s-network=host", "sh", "-c", line]);
    relax("restricted");
    let address = NODE1.run(&["getent", "ahostsv4", "node1"]).ok().text();
    let address = address.split_whitespace().next().unwrap();
    assert_eq!(ran.ok().text(), format!("node1\n{address}"));
}

#[test]
fn a_user_cannot_widen_the_cores() {
    let _together = together();
    let wider = "taskset -cp 0-63 $$ >/dev/null 2>&1; nproc; grep Cpus_allowed_list /proc/self/status";
    // Of one allocation, so that both have the same core.
    let steps = format!("srun -Q bash -c '{wider}'; srun -Q {} bash -c '{wider}'", in_image("userland"));
    let ran = ALICE.run(&["salloc", "-Q", "-w", "node1", "-n1", "-c1", "--mem=200M", "bash", "-c", &steps]).ok();
    let text = ran.text();
    let [cores, list, cores_in_pod, list_in_pod] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((cores_in_pod, list_in_pod), (cores, list));
    assert_eq!(cores, "1");
}
