//! Users of one node kept apart: what of a job another user, or its own user outside of the Pod, can reach.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Child, Stdio};

use e2e::{ALICE, At, NODE1, ROOT, alone, in_image, no_pod_of, nodes_are_up, scratch, until};
use slurm_k8s_agent::link::codec::encode;
use slurm_k8s_agent::link::message::{Hello, Ids, Message, Role, VERSION};

const ALICE_ON_NODE: At = At { user: "alice", host: "node1" };
const BOB_ON_NODE: At = At { user: "bob", host: "node1" };

/// A batch job of alice's on node1 that sleeps in its Pod, and its run folder there.
struct Sleeper {
    job: String,
    folder: String,
}

impl Sleeper {
    fn start() -> Self {
        let argv = ["sbatch", "--parsable", "--output=/dev/null", "--nodelist=node1", "--mem=100"];
        let job = ALICE.run(&[&argv[..], &[&in_image("userland"), "--wrap", "sleep 300"]].concat()).ok().text();
        let mut this = Self { job, folder: String::new() };
        let job = &this.job;
        let mut folder = String::new();
        until("the job's Pod runs", || {
            let pattern = format!("/run/slurm-k8s/pods/slurm-job-{job}-*/container");
            folder = NODE1.run(&["sh", "-c", &format!("ls {pattern}")]).text().replace("/container", "");
            let log =
                NODE1.run(&["grep", "-c", &format!("\"{job}.batch\".*\"started\""), "/var/log/slurm-k8s/engine.log"]);
            (!folder.is_empty() && log.text() == "1").then_some(()).ok_or(folder.clone())
        });
        this.folder = folder;
        this
    }

    fn runs(&self) -> bool {
        ALICE.run(&["squeue", "-h", "-j", &self.job, "-o", "%T"]).text() == "RUNNING"
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = ROOT.run(&["scancel", &self.job]);
        no_pod_of(&self.job);
    }
}

/// Says something at a unix socket; fails if it cannot.
const SAY: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die qq($!\\n); \
                   syswrite $s, $ARGV[1] x 4096; sysread $s, my $answer, 9999; print qq(heard\\n)";

#[test]
fn another_user_reaches_nothing_of_a_job() {
    let _alone = alone();
    let job = Sleeper::start();
    let folder = &job.folder;
    for file in ["shim.sock", "agent.sock"] {
        let ran = BOB_ON_NODE.run(&["perl", "-e", SAY, &format!("{folder}/{file}"), "x"]);
        assert_eq!(ran.errors(), "Permission denied", "{file}: {}", ran.text());
    }
    for argv in [
        vec!["cat", &format!("{folder}/token")],
        vec!["ls", "/run/slurm-k8s/pods"],
        vec!["ls", "/run/slurm-k8s/grants"],
        vec!["ls", "/run/slurm-k8s/mounts"],
        vec!["ls", folder],
        vec!["touch", &format!("{folder}/x")],
        vec!["cat", "/etc/slurm/k8s.kubeconfig"],
        vec!["cat", "/var/log/slurm-k8s/engine.log"],
    ] {
        let ran = BOB_ON_NODE.run(&argv);
        assert!(ran.code != Some(0) && ran.errors().contains("Permission denied"), "{argv:?}: {}", ran.errors());
    }
    assert!(job.runs());
}

#[test]
fn its_own_user_cannot_change_the_run_folder_or_speak_for_the_pod() {
    let _alone = alone();
    let job = Sleeper::start();
    let folder = &job.folder;
    for argv in [
        vec!["touch", &format!("{folder}/x")],
        vec!["rm", "-f", &format!("{folder}/agent.sock")],
        vec!["ls", "/run/slurm-k8s/grants"],
        vec!["cat", "/etc/slurm/k8s.kubeconfig"],
    ] {
        let ran = ALICE_ON_NODE.run(&argv);
        assert!(ran.code != Some(0) && ran.errors().contains("Permission denied"), "{argv:?}: {}", ran.errors());
    }
    // The socket is alice's; the engine hangs up on what is no shim and no agent, and the job goes on.
    for file in ["shim.sock", "agent.sock"] {
        for text in ["x", "\u{1}", "GET / HTTP/1.0\r\n"] {
            let ran = ALICE_ON_NODE.run(&["perl", "-e", SAY, &format!("{folder}/{file}"), text]);
            assert_eq!((ran.code, ran.text().as_str()), (Some(0), "heard"), "{}", ran.errors());
        }
    }
    assert!(job.runs());
    nodes_are_up();
}

/// Sends bytes that are given in hexadecimal, and prints what is answered.
const SAY_BYTES: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die qq($!\\n); \
                         syswrite $s, pack('H*', $ARGV[1]); $s->shutdown(1); local $/; print <$s>";

/// A process of the job's own user outside of its Pod has the token, and its uid and groups are the agent's. Still it is
/// not in the container that took the grant.
#[test]
fn its_own_user_cannot_be_the_agent_outside_of_the_pod() {
    let _alone = alone();
    let job = Sleeper::start();
    let folder = &job.folder;
    let numbers = |argv: &[&str]| -> Vec<u32> {
        let mut list: Vec<_> = ALICE_ON_NODE.run(argv).ok().text().split(' ').map(|id| id.parse().unwrap()).collect();
        list.sort_unstable();
        list
    };
    let ids = Ids { uid: numbers(&["id", "-u"])[0], gid: numbers(&["id", "-g"])[0], groups: numbers(&["id", "-G"]) };
    let token = ALICE_ON_NODE.run(&["cat", &format!("{folder}/token")]).ok().stdout;
    let hello = Message::Hello(Hello { version: VERSION, role: Role::Agent, task: 0, token, ids });
    let hex: String = encode(&hello).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let ran = ALICE_ON_NODE.run(&["perl", "-e", SAY_BYTES, &format!("{folder}/agent.sock"), &hex]);
    assert_eq!((ran.code, ran.text().as_str()), (Some(0), ""), "{}", ran.errors());
    until("slurmstepd's log says why", || {
        let ran = NODE1.run(&["grep", "is not in the container that took the grant", "/var/log/slurm/slurmd.log"]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    assert!(job.runs());
    nodes_are_up();
}

#[test]
fn a_pod_has_nothing_of_the_node_and_of_other_pods() {
    let _alone = alone();
    let job = Sleeper::start();
    let look = "ls /run/slurm-k8s /etc/slurm/k8s.kubeconfig /run/containerd /var/run/secrets 2>/dev/null; \
                for file in /.slurm-k8s/x /.slurm-k8s/agent /etc/passwd; do touch $file 2>/dev/null && echo written; done; \
                cat /proc/[0-9]*/comm | sort -u | tr '\\n' ' '; env | grep -c KUBERNETES";
    let ran = ALICE.run(&["srun", "-Q", "-w", "node1", "--mem=100", &in_image("userland"), "bash", "-c", look]);
    let text = ran.text();
    let Some((processes, "0")) = text.rsplit_once(' ') else { panic!("{text}") };
    for own in processes.split_whitespace() {
        assert!(["bash", "cat", "sort", "tr", "slurm-k8s-agent", "agent"].contains(&own), "{own} is in the Pod");
    }
    assert!(job.runs());
}

#[test]
fn a_pod_has_no_rights_to_gain() {
    let ran =
        ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("hostile"), "sh", "-c", "test -u /bin/rights && rights"]);
    assert_eq!(ran.ok().text(), "euid 1000");
    let status = "grep -E 'NoNewPrivs|Seccomp:|Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | tr -d '\\t'";
    let text = ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("busybox"), "sh", "-c", status]).ok().text();
    let none = "0000000000000000";
    let expected = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map(|set| format!("Cap{set}:{none}")).join("\n");
    assert_eq!(text, format!("{expected}\nNoNewPrivs:1\nSeccomp:2"));
}

#[test]
fn a_hostile_image_gives_no_ids_and_no_groups() {
    let id = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n";
    let plain = ALICE.run(&["srun", "-Q", "-w", "node1", "sh", "-c", id]).ok().text();
    let pod = |more: &str| {
        let line = format!("{id}; {more}");
        ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("hostile"), "sh", "-c", &line]).ok().text()
    };
    assert_eq!(pod(""), plain);
    // The user's own lines come first, and the image's for that name and that number are gone.
    let accounts = pod("grep -E 'alice|:1000:' /etc/passwd; grep -c '^root:' /etc/passwd");
    let expected = "alice:x:1000:1000:alice:/home/alice:/bin/bash\n1";
    assert!(accounts.ends_with(expected), "{accounts}");
}

#[test]
fn an_image_without_accounts_has_the_users() {
    let folder = scratch("tools");
    let tool = format!("{folder}/busybox");
    let _ = ALICE.run(&["srun", "-Q", &in_image("busybox"), "cp", "/bin/busybox", &tool]).ok();
    let ids = |text: &str| {
        let mut words: Vec<_> = text.split([' ', ',', '=']).map(str::to_owned).collect();
        words.sort();
        words
    };
    let id = ALICE.run(&["srun", "-Q", &in_image("distroless"), &tool, "id"]).ok().text();
    assert!(id.starts_with("uid=1000(alice) gid=1000("), "{id}");
    assert_eq!(ids(&id), ids(&ALICE.run(&["srun", "-Q", "id"]).ok().text()));
    let passwd = ALICE.run(&["srun", "-Q", &in_image("distroless"), &tool, "cat", "/etc/passwd"]).ok().text();
    assert_eq!(passwd, "alice:x:1000:1000:alice:/home/alice:/bin/bash");
}

#[test]
fn a_link_of_the_image_leads_no_mount_anywhere_else() {
    let folder = scratch("places");
    for (target, named) in [
        ("/homes/bob/x", "leads into /home"),
        ("/all", "leads to /"),
        ("/up", "leads to /"),
        ("/devices/x", "leads to /dev/x"),
    ] {
        let mounts = format!("--k8s-mounts={folder}:{target}");
        ALICE.run(&["srun", "-w", "node1", &in_image("hostile"), &mounts, "true"]).fails(123, named);
    }
    assert_ne!(ROOT.run(&["ls", "/home/bob/x"]).code, Some(0));
    // What users can change is no place for a mount that root makes.
    for target in [format!("{folder}/x"), "/home/alice/x".to_owned()] {
        let mounts = format!("--k8s-mounts={folder}:{target}");
        ALICE.run(&["srun", "-w", "node1", &in_image("busybox"), &mounts, "true"]).fails(124, "which users can change");
    }
    let mounts = format!("--k8s-mounts={folder}:/home/alice");
    let over = ["srun", "-Q", "-w", "node1", &in_image("busybox"), &mounts, "sh", "-c", "ls -a /home/alice"];
    assert_eq!(ALICE.run(&over).ok().text(), ".\n..");
}

/// A process that is killed when the test ends, however it ends.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_link_that_is_swapped_meanwhile_never_shows_anothers_file() {
    const BOB: At = At { user: "bob", host: "login" };
    let prepare = "mkdir -p ~/private/open && chmod 0700 ~ ~/private && chmod 0755 ~/private/open && echo secret > ~/private/open/file";
    let _ = BOB.run(&["sh", "-c", prepare]).ok();
    let folder = scratch("swap");
    let swap = format!(
        "cd {folder}; mkdir own; echo mine > own/file; touch on; i=0; \
         while [ -e on ] && [ $i -lt 200000 ]; do i=$((i+1)); \
         for to in own /home/bob/private/open /etc; do ln -sfn $to next; mv -T next link; done; done"
    );
    let swapping = ALICE.command(&["sh", "-c", &swap]).stdin(Stdio::null()).spawn().unwrap();
    let _swapping = Background(swapping);
    let mounts = format!("--k8s-mounts={folder}/link:/x");
    let (mut shown, mut refused) = (0, 0);
    for _ in 0..12 {
        let ran = ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("busybox"), &mounts, "sh", "-c", "cat /x/*"]);
        match (ran.code, ran.text().as_str()) {
            (Some(0), "mine") => shown += 1,
            (Some(124), "") => refused += 1,
            (code, text) => panic!("{code:?} {text} {}", ran.errors()),
        }
    }
    let _ = ALICE.run(&["rm", &format!("{folder}/on")]);
    assert_eq!(shown + refused, 12);
    assert!(refused > 0, "the link was swapped");
    nodes_are_up();
}
