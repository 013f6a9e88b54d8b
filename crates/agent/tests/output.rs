//! Output: every byte, in order, with the container's log beside it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bed;

use std::io::{Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use bed::{Bed, end, run_in};
use slurm_k8s_agent::link::message::Message;

/// Bytes that look random, the same each time.
fn data(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn sixty_four_mebibytes_arrive_byte_for_byte() {
    let data = data(64 << 20);
    for io in ["tee", "direct"] {
        let bed = Bed::new();
        let file = bed.dir.path().join("data");
        std::fs::write(&file, &data).unwrap();
        let mut shim = bed.shim(0, &["cat", file.to_str().unwrap()]);
        shim.env("SPANK_K8S_SHIM_IO", io);
        let begin = std::time::Instant::now();
        let ran = run_in(&bed, shim);
        eprintln!("{io}: {:?}", begin.elapsed());
        assert!(ran.stdout == data, "{io}: {} of {} bytes", ran.stdout.len(), data.len());
        assert_eq!(ran.status.code(), Some(0));
    }
}

#[test]
fn stdout_and_stderr_in_one_file_keep_their_order() {
    for io in ["tee", "direct"] {
        let bed = Bed::new();
        let mut file = tempfile::tempfile().unwrap();
        let script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
        let mut shim = bed.shim(0, &["sh", "-c", script]);
        shim.env("SPANK_K8S_SHIM_IO", io);
        shim.stdout(file.try_clone().unwrap()).stderr(file.try_clone().unwrap());
        assert_eq!(run_in(&bed, shim).status.code(), Some(0));
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let expected = (0..500).flat_map(|i| [format!("out {i}"), format!("err {i}")]);
        assert!(text.lines().eq(expected), "{io}");
    }
}

#[test]
fn stdout_and_stderr_in_two_places_stay_apart() {
    let bed = Bed::new();
    let ran = run_in(&bed, bed.shim(0, &["sh", "-c", "echo out; echo err >&2"]));
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_str()), (b"out\n".as_slice(), "err\n"));
}

#[test]
fn a_reader_that_goes_away_is_a_sigpipe() {
    for io in ["tee", "direct"] {
        let bed = Bed::new();
        let mut shim = bed.shim(0, &["yes"]);
        shim.env("SPANK_K8S_SHIM_IO", io);
        let mut shim = shim.spawn().unwrap();
        let mut agent = bed.agent().spawn().unwrap();
        let mut out = shim.stdout.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| bed.relay(1));
            out.read_exact(&mut [0; 1000]).unwrap();
            drop(out);
        });
        assert_eq!(end(&mut shim).signal(), Some(13), "{io}");
        end(&mut agent);
    }
}

#[test]
fn a_full_disk_is_told() {
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["sh", "-c", "while :; do echo x; done"]);
    shim.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let ran = run_in(&bed, shim);
    assert_eq!(ran.status.signal(), Some(13));
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
}

#[test]
fn the_log_has_what_the_task_wrote() {
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["sh", "-c", "echo out; echo err >&2"]).spawn().unwrap();
    let mut agent = bed.agent();
    let agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bed.relay(1);
    assert!(end(&mut shim).success());
    let log = agent.wait_with_output();
    let log = log.unwrap();
    assert_eq!((log.stdout.as_slice(), log.stderr.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
}

#[test]
fn a_log_that_takes_nothing_never_slows_the_task() {
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["head", "-c", "20000000", "/dev/zero"]).spawn().unwrap();
    let mut agent = bed.agent();
    let mut agent = agent.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = shim.stdout.take().unwrap();
    let (mut got, mut messages) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| messages = bed.relay(1));
        out.read_to_end(&mut got).unwrap();
    });
    assert_eq!((got.len(), end(&mut shim).code()), (20_000_000, Some(0)));
    let lost = messages.iter().find_map(|message| match message {
        Message::LogLost { bytes, .. } => Some(*bytes),
        _ => None,
    });
    // Nobody has read, so the log has what its pipe held.
    let mut log = Vec::new();
    let mut pipe = agent.stdout.take().unwrap();
    pipe.read_to_end(&mut log).unwrap();
    let zeros = log.iter().position(|byte| *byte != 0).unwrap_or(log.len());
    let written = u64::try_from(zeros).unwrap();
    assert_eq!(lost.unwrap() + written, 20_000_000);
    end(&mut agent);
}
