//! Peers that a user has changed: the engine's memory and log stay small, and the step ends with a message.

mod bed;

use std::io::Write as _;

use bed::{Agent, Bed, alone, hello, next, peak_mib, send_with, start, streams, until, write_some};
use slurm_k8s_agent::link::codec::{HEADER, encode};
use slurm_k8s_agent::link::message::{End, Message, Role, Usage};
use slurm_k8s_agent::link::socket::Link;
use slurm_k8s_core::exit_code::LOST;

fn exited(task: u32, code: u8) -> Message {
    Message::Exited { task, end: End::Code(code), usage: Usage::default() }
}

/// What the shim's user reads at the end.
fn refused(shim: &mut Link) -> String {
    loop {
        match next(shim) {
            Some((Message::Refused(refusal), _)) => {
                assert_eq!(refusal.code, LOST);
                return refusal.message;
            }
            Some(_) => {}
            None => panic!("the link ended without a word"),
        }
    }
}

/// A step with one task that runs.
fn running(bed: &Bed) -> (Agent, Link) {
    let mut shim = bed.shim(0);
    shim.send(&start(0, 10), streams()).unwrap();
    let mut agent = bed.agent();
    let Some((Message::Start(_), descriptors)) = next(&mut agent.link) else { panic!("no start") };
    assert_eq!(descriptors.len(), 3);
    agent.link.send(&Message::Started { task: 0 }, Vec::new()).unwrap();
    assert!(matches!(next(&mut shim), Some((Message::Started { task: 0 }, _))));
    (agent, shim)
}

#[test]
fn who_does_not_know_the_token_is_not_heard() {
    let bed = Bed::new(1);
    for greeting in [
        hello(Role::Shim, 0, "wrong"),
        hello(Role::Shim, 0, ""),
        hello(Role::Agent, 0, "secret"),
        hello(Role::Shim, 1, "secret"),
        start(0, 1),
        exited(0, 0),
    ] {
        let mut link = Link::new(bed.connect(Role::Shim));
        let descriptors = if matches!(greeting, Message::Start(_)) { streams() } else { Vec::new() };
        link.send(&greeting, descriptors).unwrap();
        link.send(&exited(0, 0), Vec::new()).unwrap();
        while let Some((message, _)) = next(&mut link) {
            assert!(matches!(message, Message::Refused(_)), "{message:?}");
        }
    }
    let (mut agent, mut shim) = running(&bed);
    agent.link.send(&exited(0, 3), Vec::new()).unwrap();
    assert_eq!(next(&mut shim).map(|(message, _)| message), Some(exited(0, 3)));
    drop(shim);
    bed.ends();
}

/// The kubelet kills first and says why then: an end that it has brought about waits for that, but not for long.
#[test]
fn an_end_after_the_agent_was_told_to_leave_waits_for_a_reason() {
    let killed = || Message::Exited { task: 0, end: End::Signal(15), usage: Usage::default() };
    // Nobody says why.
    let bed = Bed::new(1);
    let (mut agent, mut shim) = running(&bed);
    agent.link.send(&Message::Leaving, Vec::new()).unwrap();
    agent.link.send(&killed(), Vec::new()).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(next(&mut shim).map(|(message, _)| message), Some(killed()));
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3));
    drop(shim);
    bed.ends();
    // It ended by itself.
    let bed = Bed::new(1);
    let (mut agent, mut shim) = running(&bed);
    agent.link.send(&Message::Leaving, Vec::new()).unwrap();
    agent.link.send(&exited(0, 0), Vec::new()).unwrap();
    assert_eq!(next(&mut shim).map(|(message, _)| message), Some(exited(0, 0)));
    drop(shim);
    bed.ends();
}

#[test]
fn nobody_takes_over_what_another_has_begun() {
    let bed = Bed::new(1);
    let (mut agent, mut shim) = running(&bed);
    let mut second = bed.shim(0);
    assert!(matches!(next(&mut second), Some((Message::Refused(_), _))));
    drop(second);
    let mut rival = bed.agent();
    assert!(matches!(next(&mut rival.link), Some((Message::Refused(_), _))));
    let _ = rival.link.send(&exited(0, 0), Vec::new());
    drop(rival);
    agent.link.send(&exited(0, 7), Vec::new()).unwrap();
    assert_eq!(next(&mut shim).map(|(message, _)| message), Some(exited(0, 7)));
    drop(shim);
    bed.ends();
}

#[test]
fn a_shim_that_slurmstepd_has_not_forked_is_refused() {
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let parent = rustix::process::Pid::from_raw(i32::try_from(stranger.id()).unwrap()).unwrap();
    let bed = Bed::with_parent(1, parent);
    let mut shim = bed.shim(0);
    assert_eq!(refused(&mut shim), "the link refused this process");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn an_agent_that_breaks_the_protocol_is_killed_and_the_step_ends_with_a_message() {
    let garbage: Vec<Vec<u8>> = vec![
        vec![0xff; 64],
        // A body of 4 GiB, one of 8 MiB, one with a descriptor, one that is no message.
        vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        vec![0, 0, 0x80, 0, 3, 0, 0, 0],
        vec![1, 0, 0, 0, 1, 0, 0, 0, 0],
        vec![1, 0, 0, 0, 0, 0, 0, 0, 0xee],
        encode(&exited(1, 0)).unwrap(),
        encode(&exited(u32::MAX, 0)).unwrap(),
        encode(&hello(Role::Agent, 0, "secret")).unwrap(),
        encode(&Message::Finish).unwrap(),
        encode(&Message::Kill { task: 0 }).unwrap(),
    ];
    for bytes in garbage {
        let bed = Bed::new(1);
        let (mut agent, mut shim) = running(&bed);
        agent.raw.write_all(&bytes).unwrap();
        assert!(refused(&mut shim).starts_with("the agent has broken the protocol"), "{bytes:?}");
        until("the agent is killed", || agent.process.try_wait().unwrap().is_some());
        drop(shim);
        let log = bed.ends();
        assert!(log.contains("\"agent_gone\""), "{log}");
    }
}

#[test]
fn a_shim_that_breaks_the_protocol_ends_its_step_with_a_message() {
    let with = |message: &Message| encode(message).unwrap();
    for bytes in [
        vec![0xff; 64],
        with(&exited(0, 0)),
        with(&Message::Started { task: 0 }),
        with(&Message::Signal { task: 1, signo: 9 }),
        with(&Message::Pending { task: 1, signals: 1 }),
        with(&Message::Kill { task: 0 }),
        with(&start(0, 10)),
    ] {
        let bed = Bed::new(1);
        let stream = bed.connect(Role::Shim);
        let mut shim = Link::new(stream.try_clone().unwrap());
        shim.send(&hello(Role::Shim, 0, "secret"), Vec::new()).unwrap();
        shim.send(&start(0, 10), streams()).unwrap();
        let mut agent = bed.agent();
        assert!(matches!(next(&mut agent.link), Some((Message::Start(_), _))));
        (&stream).write_all(&bytes).unwrap();
        assert!(refused(&mut shim).starts_with("the shim has broken the protocol"), "{bytes:?}");
        // Nothing of the task goes on, whatever its shim claims.
        until("the agent is killed", || agent.process.try_wait().unwrap().is_some());
        bed.ends();
    }
}

#[test]
fn many_huge_messages_take_little_memory() {
    const TASKS: u32 = 32;
    if !alone("hostile::many_huge_messages_take_little_memory") {
        return;
    }
    let bed = Bed::new(TASKS);
    let before = peak_mib();
    let huge = encode(&start(0, 8_000_000)).unwrap();
    // The task's number is the byte behind the header and the message's kind.
    let (to_task, tail) = huge.split_at(HEADER + 1);
    let tail = &tail[1..];
    std::thread::scope(|scope| {
        for task in 0..TASKS {
            let bed = &bed;
            scope.spawn(move || {
                let stream = bed.connect(Role::Shim);
                let mut link = Link::new(stream.try_clone().unwrap());
                link.send(&hello(Role::Shim, task, "secret"), Vec::new()).unwrap();
                assert_eq!(send_with(&stream, &to_task[..1], &streams()).unwrap(), 1);
                (&stream).write_all(&to_task[1..]).unwrap();
                (&stream).write_all(&[u8::try_from(task).unwrap()]).unwrap();
                (&stream).write_all(tail).unwrap();
                assert!(matches!(next(&mut link), Some((Message::Started { .. }, _))));
            });
        }
        // Nobody reads them before the agent does.
        let mut agent = bed.agent();
        let mut started = 0;
        while started < TASKS {
            let Some((message, _)) = next(&mut agent.link) else { panic!("no start") };
            // The others are for tasks whose shims have left by now.
            if let Message::Start(start) = message {
                started += 1;
                agent.link.send(&Message::Started { task: start.task }, Vec::new()).unwrap();
            }
        }
    });
    bed.ends();
    let grown = peak_mib() - before;
    assert!(grown < 160, "{grown} MiB for {TASKS} Starts of 8 MiB");
}

#[test]
fn a_flood_of_words_fills_neither_memory_nor_the_nodes_log() {
    if !alone("hostile::a_flood_of_words_fills_neither_memory_nor_the_nodes_log") {
        return;
    }
    let bed = Bed::new(1);
    let (agent, shim) = running(&bed);
    let before = peak_mib();
    // This shim never reads.
    let notice = Message::Notice { task: 0, text: "x".repeat(60_000) };
    let mut round = encode(&Message::Started { task: 0 }).unwrap();
    for message in [Message::LogLost { task: 0, bytes: 1 }, exited(0, 0), notice] {
        round.extend(encode(&message).unwrap());
    }
    let flood = round.repeat(500);
    (&agent.raw).write_all(&flood).unwrap();
    drop(shim);
    let log = bed.ends();
    let grown = peak_mib().saturating_sub(before + flood.len() as u64 / (1 << 20));
    assert!(grown < 60, "{grown} MiB");
    assert!(log.lines().count() < 12, "{log}");
}

#[test]
fn a_peer_that_never_reads_stops_nobody() {
    let bed = Bed::new(2);
    let mut deaf = bed.shim(1);
    deaf.send(&start(1, 10), streams()).unwrap();
    let mut shim = bed.shim(0);
    shim.send(&start(0, 10), streams()).unwrap();
    // The agent reads nothing either; both shims relay signals for ever.
    let _agent = bed.agent();
    let signal = |task| encode(&Message::Signal { task, signo: 10 }).unwrap().repeat(20_000);
    let stream = bed.connect(Role::Shim);
    write_some(&stream, &signal(0));
    for (task, link) in [(0, &shim), (1, &deaf)] {
        let raw = std::os::unix::net::UnixStream::from(std::os::fd::AsFd::as_fd(link).try_clone_to_owned().unwrap());
        write_some(&raw, &signal(task));
    }
    drop((shim, deaf, stream));
    bed.ends();
}

#[test]
fn descriptors_that_belong_to_no_message_are_not_kept() {
    let bed = Bed::new(1);
    let stream = bed.connect(Role::Shim);
    let mut link = Link::new(stream.try_clone().unwrap());
    link.send(&hello(Role::Shim, 0, "secret"), Vec::new()).unwrap();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    // A Start whose body never comes whole, with descriptors at each of its bytes.
    let frame = encode(&start(0, 1000)).unwrap();
    let fds = streams();
    for byte in frame.chunks(1).take(900) {
        if send_with(&stream, byte, &fds).is_err() {
            break;
        }
    }
    assert!(refused(&mut link).starts_with("the shim has broken the protocol"));
    until("the descriptors are closed", || count() < before + 100);
    drop((link, stream));
    bed.ends();
}
