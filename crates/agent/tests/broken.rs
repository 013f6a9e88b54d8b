//! Broken links and broken peers, at each point: nothing hangs, nothing goes on in the Pod.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bed;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;

use bed::{Bed, end, next, until};
use slurm_k8s_agent::link::message::{End, Message, Refusal, Usage};
use slurm_k8s_agent::link::socket::Link;

/// Where the engine stops, counted in messages from the shim and to it.
fn shim_ends_with(engine: impl FnOnce(&Bed)) -> (Option<i32>, Option<i32>, String) {
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["true"]).spawn().unwrap();
    let mut err = shim.stderr.take().unwrap();
    engine(&bed);
    let status = end(&mut shim);
    let mut text = String::new();
    err.read_to_string(&mut text).unwrap();
    (status.code(), status.signal(), text)
}

#[test]
fn a_shim_whose_link_ends_says_so_and_exits_125() {
    let lost = |(code, _, text): (Option<i32>, Option<i32>, String)| {
        assert_eq!((code, text.starts_with("spank-k8s: ")), (Some(125), true), "{text}");
    };
    lost(shim_ends_with(|bed| drop(bed.accept_shim())));
    lost(shim_ends_with(|bed| drop(next(&mut bed.accept_shim()))));
    lost(shim_ends_with(|bed| {
        let mut link = bed.accept_shim();
        next(&mut link).unwrap();
        next(&mut link).unwrap();
        link.send(&Message::Started { task: 0 }, Vec::new()).unwrap();
    }));
}

#[test]
fn a_shim_without_an_engine_says_so() {
    let bed = Bed::new();
    std::fs::remove_file(bed.dir.path().join("shim.sock")).unwrap();
    let shim = bed.shim(0, &["true"]).output().unwrap();
    assert_eq!(shim.status.code(), Some(125));
    assert!(shim.stderr.starts_with(b"spank-k8s: "));
}

#[test]
fn a_refusal_is_printed_even_if_the_engine_read_nothing() {
    let (code, _, text) = shim_ends_with(|bed| {
        let refusal = Refusal { code: 122, message: "no such\nimage".into(), hint: Some("look".into()) };
        bed.accept_shim().send(&Message::Refused(refusal), Vec::new()).unwrap();
    });
    assert_eq!((code, text.as_str()), (Some(122), "spank-k8s: no such?image\nspank-k8s: hint: look\n"));
}

#[test]
fn a_task_cancelled_before_it_starts_ends_by_that_signal() {
    for signo in [2, 15, 1, 3, 6] {
        let bed = Bed::new();
        let mut shim = bed.shim(0, &["true"]).spawn().unwrap();
        let mut link = bed.accept_shim();
        assert!(matches!(next(&mut link), Some((Message::Hello(_), _))));
        let Some((Message::Start(start), descriptors)) = next(&mut link) else { panic!("no start") };
        assert_eq!((start.argv.len(), descriptors.len()), (1, 3));
        slurm_k8s_posix::kill(i32::try_from(shim.id()).unwrap(), 28).unwrap();
        slurm_k8s_posix::kill(i32::try_from(shim.id()).unwrap(), signo).unwrap();
        assert_eq!(end(&mut shim).signal(), Some(signo));
        assert!(next(&mut link).is_none());
    }
}

#[test]
fn a_signal_that_slurms_task_ignores_does_not_end_it_before_it_starts() {
    let bed = Bed::new();
    let shim = bed.shim(0, &["true"]);
    let mut ignoring = std::process::Command::new("sh");
    ignoring.args(["-c", "trap '' USR1; exec \"$@\"", "sh"]).arg(shim.get_program()).args(shim.get_args());
    ignoring.envs(shim.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut shim = ignoring.spawn().unwrap();
    let mut link = bed.accept_shim();
    assert!(matches!(next(&mut link), Some((Message::Hello(_), _))));
    let Some((Message::Start(start), _)) = next(&mut link) else { panic!("no start") };
    assert_eq!(start.ignored & 1 << (10 - 1), 1 << (10 - 1));
    for signo in [10, 15] {
        slurm_k8s_posix::kill(i32::try_from(shim.id()).unwrap(), signo).unwrap();
    }
    assert_eq!(end(&mut shim).signal(), Some(15));
}

#[test]
fn a_shim_can_be_cancelled_while_nobody_reads_its_long_command() {
    let bed = Bed::new();
    let long = "x".repeat(100_000);
    let argv: Vec<&str> = std::iter::repeat_n(long.as_str(), 15).collect();
    let mut shim = bed.shim(0, &argv).spawn().unwrap();
    let stream = bed.accept_shim();
    let pid = i32::try_from(shim.id()).unwrap();
    // Blocked signals are kept, so it does not matter when this one arrives.
    until("the shim catches signals", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.contains("SigBlk:\tfffffffe")
    });
    slurm_k8s_posix::kill(pid, 15).unwrap();
    assert_eq!(end(&mut shim).signal(), Some(15));
    drop(stream);
}

#[test]
fn garbage_ends_a_shim() {
    for garbage in [&[0xff; 64][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0xee], &[0, 0, 0, 0, 0, 0, 9, 9]] {
        let bed = Bed::new();
        let mut shim = bed.shim(0, &["true"]).spawn().unwrap();
        let mut stream = bed.accept_raw();
        stream.write_all(garbage).unwrap();
        assert_eq!(end(&mut shim).code(), Some(125));
    }
}

/// An agent with a task that runs until it is killed; returns the link and the task's pid.
fn busy(bed: &Bed) -> (std::process::Child, UnixStream, Link, i32) {
    let agent = bed.agent().spawn().unwrap();
    let pids = bed.dir.path().join("pid");
    let script = format!("echo $$ > {}; trap '' TERM; while :; do sleep 1; done", pids.display());
    let mut shim = bed.shim(0, &["sh", "-c", &script]).spawn().unwrap();
    let mut from_shim = bed.accept_shim();
    next(&mut from_shim).unwrap();
    let (start, descriptors) = next(&mut from_shim).unwrap();
    let raw = bed.accept_raw_agent();
    let mut link = Link::new(raw.try_clone().unwrap());
    assert!(matches!(next(&mut link), Some((Message::Hello(_), _))));
    link.send(&start, descriptors).unwrap();
    assert!(matches!(next(&mut link), Some((Message::Started { task: 0 }, _))));
    shim.kill().unwrap();
    shim.wait().unwrap();
    let mut pid = 0;
    until("the task runs", || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        pid = text.trim().parse().unwrap_or(0);
        pid != 0
    });
    (agent, raw, link, pid)
}

#[test]
fn an_agent_whose_link_ends_kills_its_tasks() {
    let bed = Bed::new();
    let (mut agent, raw, link, pid) = busy(&bed);
    drop((raw, link));
    end(&mut agent);
    until("the task is gone", || slurm_k8s_posix::kill(pid, 0).is_err());
}

#[test]
fn garbage_ends_an_agent_and_its_tasks() {
    for garbage in [&[0xff; 64][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0xee]] {
        let bed = Bed::new();
        let (mut agent, mut raw, _link, pid) = busy(&bed);
        raw.write_all(garbage).unwrap();
        assert_eq!(end(&mut agent).code(), Some(1));
        until("the task is gone", || slurm_k8s_posix::kill(pid, 0).is_err());
    }
}

#[test]
fn a_second_start_of_a_task_and_messages_for_nobody_do_no_harm() {
    let bed = Bed::new();
    let (mut agent, _raw, mut link, pid) = busy(&bed);
    for message in [
        Message::Signal { task: 9, signo: 9 },
        Message::Signal { task: 0, signo: 4000 },
        Message::Kill { task: 9 },
        Message::Exited { task: 0, end: End::Code(0), usage: Usage::default() },
    ] {
        link.send(&message, Vec::new()).unwrap();
    }
    link.send(&Message::Signal { task: 0, signo: 15 }, Vec::new()).unwrap();
    link.send(&Message::Kill { task: 0 }, Vec::new()).unwrap();
    let Some((Message::Exited { task: 0, end: how, .. }, _)) = next(&mut link) else { panic!("no end") };
    assert_eq!(how, End::Signal(9));
    assert!(slurm_k8s_posix::kill(pid, 0).is_err());
    link.send(&Message::Finish, Vec::new()).unwrap();
    assert_eq!(end(&mut agent).code(), Some(0));
}
