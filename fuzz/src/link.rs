//! The link's frames, as each end takes them apart.

use std::fs::File;
use std::os::fd::OwnedFd;

use serde_bytes::ByteBuf;
use slurm_k8s_agent::link::codec::{Decoder, MAX_OTHER, START_DESCRIPTORS, encode};
use slurm_k8s_agent::link::message::{End, Failure, Hello, Ids, Message, Refusal, Role, Stage, Start, Usage, VERSION};

/// What the engine reads: no Start, or one where it is one's turn.
pub fn link_engine(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let mut decoder = Decoder::without_start();
    decoder.allow_start(first & 1 == 1);
    feed(&mut decoder, data);
}

/// What shim and agent read.
pub fn link_end(data: &[u8]) {
    feed(&mut Decoder::new(), data);
}

/// A stream in pieces: a byte says how long the next piece is, and how many descriptors come with it.
fn feed(decoder: &mut Decoder, mut data: &[u8]) {
    while let Some((how, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(1 + usize::from(how >> 2) * 4));
        data = rest;
        decoder.feed(piece, descriptors(usize::from(how & 3)));
        loop {
            match decoder.next() {
                Ok(Some((message, descriptors))) => check(&message, descriptors.len()),
                Ok(None) => break,
                // After an error the link is closed.
                Err(_) => return,
            }
        }
    }
}

/// What was taken can be passed on, and is the same at the other end.
fn check(message: &Message, count: usize) {
    let start = matches!(message, Message::Start(_));
    assert_eq!(count, if start { START_DESCRIPTORS } else { 0 });
    let frame = encode(message).expect("what was taken can be passed on");
    assert!(start || frame.len() <= MAX_OTHER + 8);
    let mut decoder = Decoder::new();
    decoder.feed(&frame, descriptors(count));
    let again = decoder.next().expect("it can be read again").map(|(message, _)| message);
    assert_eq!(again.as_ref(), Some(message));
}

fn descriptors(count: usize) -> Vec<OwnedFd> {
    (0..count).filter_map(|_| File::open("/dev/null").ok()).map(OwnedFd::from).collect()
}

/// One frame of each kind of message, as the corpus has them: with the bytes that [`feed`] wants in between.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ids = Ids { uid: 1000, gid: 1000, groups: vec![5001, 5002] };
    let hello = Hello { version: VERSION, role: Role::Shim, task: 0, token: b"0123456789abcdef".to_vec(), ids };
    let start = Start {
        env: vec![ByteBuf::from("HOME=/home/alice")],
        variables: vec![(ByteBuf::from("A"), Some(ByteBuf::from("1"))), (ByteBuf::from("B"), None)],
        rlimits: vec![(7, 1024, u64::MAX)],
        cpus: vec![0, 1],
        ..Start::plain(["sh", "-c", "true"])
    };
    let failure = Failure { stage: Stage::Exec, what: b"no-such-command".to_vec(), errno: 2 };
    let refusal = Refusal { code: 122, message: "no such image".into(), hint: Some("look".into()) };
    let messages = [
        ("hello", Message::Hello(hello)),
        ("start", Message::Start(Box::new(start))),
        ("signal", Message::Signal { task: 0, signo: 15 }),
        ("pending", Message::Pending { task: 0, signals: 1 << 9 }),
        ("kill", Message::Kill { task: 0 }),
        ("finish", Message::Finish),
        ("leaving", Message::Leaving),
        ("started", Message::Started { task: 0 }),
        ("exited", Message::Exited { task: 0, end: End::Code(3), usage: Usage::default() }),
        ("not-started", Message::NotStarted { task: 0, failure }),
        ("refused", Message::Refused(refusal)),
        ("notice", Message::Notice { task: 0, text: "waiting".into() }),
        ("log-lost", Message::LogLost { task: 0, bytes: 1 << 20 }),
    ];
    messages
        .into_iter()
        .filter_map(|(name, message)| Some((name, in_pieces(&message, &encode(&message).ok()?))))
        .collect()
}

fn in_pieces(message: &Message, frame: &[u8]) -> Vec<u8> {
    let longest = 1 + usize::from(u8::MAX >> 2) * 4;
    let mut out = Vec::new();
    for (at, piece) in frame.chunks(longest).enumerate() {
        let with = if at == 0 && matches!(message, Message::Start(_)) { 3 } else { 0 };
        out.push(u8::MAX << 2 | with);
        out.extend_from_slice(piece);
    }
    out
}
