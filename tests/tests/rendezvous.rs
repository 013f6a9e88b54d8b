//! Tasks of one step find each other: the variables that `PyTorch` starts its processes with, and the way between Pods.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, At, NODE1, NODE2, in_image, scratch};

/// Rank 0 listens; the others connect, and are called back at the address that they come from.
const MEET: &str = r#"
import os, socket, sys, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    server = socket.create_server(("", place[1]))
    own = socket.gethostbyname(socket.gethostname())
    assert own == place[0], (own, place)
    for _ in range(world - 1):
        peer, (address, _) = server.accept()
        port = int(peer.makefile().readline())
        socket.create_connection((address, port), 20).sendall(b"welcome")
else:
    back = socket.create_server(("", 0))
    deadline = time.monotonic() + 30
    while True:
        try:
            link = socket.create_connection(place, 5)
            break
        except OSError:
            if time.monotonic() > deadline: raise
            time.sleep(0.1)
    link.sendall(b"%d\n" % back.getsockname()[1])
    caller, (address, _) = back.accept()
    assert address == place[0] or address == "127.0.0.1", (address, place)
    assert caller.recv(7) == b"welcome"
print(rank, world, os.environ["LOCAL_RANK"], os.environ["SLURM_NODEID"], place[1])
"#;

const VARIABLES: &str = "echo $MASTER_ADDR/$MASTER_PORT/$WORLD_SIZE/$RANK/$LOCAL_RANK";

/// What the engine's log of a node says of a job's first node: a line for each time that it was asked for.
fn asked(node: At, job: &str) -> usize {
    let log = node.run(&["cat", "/var/log/slurm-k8s/engine.log"]).ok().text();
    log.lines().filter(|line| line.contains(&format!("\"{job}.")) && line.contains("first_node")).count()
}

#[test]
fn the_tasks_of_a_step_on_two_nodes_meet() {
    let srun = ["srun", "-Q", "-N2", "-n4", "--mem=100M", &in_image("userland"), "python3", "-c", MEET];
    let ran = ALICE.run(&srun).ok();
    let mut lines: Vec<_> = ran.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    let text: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let port = text[0].rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    assert!((20000..30000).contains(&port), "{text:?}");
    let expected = ["0 4 0 0", "1 4 1 0", "2 4 0 1", "3 4 1 1"].map(|line| format!("{line} {port}"));
    assert_eq!(text, expected);
}

#[test]
fn what_the_user_has_set_stays() {
    let image = in_image("userland");
    let line = format!("MASTER_PORT=7 RANK= srun -Q {image} --k8s-env=LOCAL_RANK=mine bash -c '{VARIABLES}'");
    let text = ALICE.run(&["sh", "-c", &line]).ok().text();
    let (address, rest) = text.split_once('/').unwrap();
    assert!(address.starts_with("10."), "{text}");
    assert_eq!(rest, "7/1//mine");
}

#[test]
fn the_first_nodes_pod_is_asked_for_by_those_who_need_it() {
    let image = in_image("userland");
    let job = |before: &str, options: &str| {
        let line = format!("{before} srun -Q --mem=100M {options} {image} bash -c 'echo $SLURM_JOB_ID; sleep 3'");
        ALICE.run(&["sh", "-c", &line]).ok().text().lines().next().unwrap().to_owned()
    };
    let both = |job: &str| (asked(NODE1, job), asked(NODE2, job));
    assert_eq!(both(&job("", "-N1 -w node2")), (0, 0));
    assert_eq!(both(&job("MASTER_ADDR=elsewhere", "-N2")), (0, 0));
    assert_eq!(both(&job("", "-N2")), (0, 1));
}

#[test]
fn a_command_that_ends_at_once_on_the_first_node_holds_up_no_other() {
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let line = "[ $SLURM_NODEID = 0 ] || echo here";
        let ran = ALICE.run(&["srun", "-Q", "-N2", "-n2", "--mem=100M", &in_image("busybox"), "sh", "-c", line]);
        assert_eq!(ran.ok().text(), "here");
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_batch_script_starts_others_as_it_likes() {
    let out = format!("--output={}/out", scratch("meet"));
    let argv = ["sbatch", "--mem=100M", &out, &in_image("userland")];
    let _ = ALICE.batch(&argv, &format!("#!/bin/bash\n{VARIABLES}\n")).ok();
    let file = out.strip_prefix("--output=").unwrap();
    assert_eq!(ALICE.run(&["cat", file]).ok().text(), "////");
}
