//! Frames, without any I/O: bytes and descriptors in, messages out.
//!
//! A frame is a header of eight bytes (little endian: `u32` body length, `u16` descriptor count, `u16` zero) and a
//! postcard-encoded [`Message`]. Whatever a peer sends, the decoder's memory stays bounded.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::link::message::Message;

/// Bytes of the header.
pub const HEADER: usize = 8;
/// The largest body of a [`Message::Start`], in bytes: arguments and environment can have up to 6 MiB (execve(2)).
pub const MAX_START: usize = 8 << 20;
/// The largest body of any other message, in bytes.
pub const MAX_OTHER: usize = 64 << 10;
/// Descriptors that come with a [`Message::Start`]: stdin, stdout, stderr.
pub const START_DESCRIPTORS: usize = 3;

/// A frame that breaks the protocol, or a message that fits in none.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The body is too long.
    #[error("a message of {length} bytes is longer than the {limit} allowed")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit for its kind.
        limit: usize,
    },
    /// The header's reserved field is used.
    #[error("the header's reserved field is {0}, not zero")]
    Reserved(u16),
    /// The number of descriptors is not that of the message's kind.
    #[error("{got} descriptors came with a message that has {want}")]
    Descriptors {
        /// What came.
        got: usize,
        /// What belongs to it.
        want: usize,
    },
    /// More descriptors than frames that could own them.
    #[error("descriptors without a message")]
    Flood,
    /// The body is not a message.
    #[error("the message cannot be decoded")]
    Body(#[source] postcard::Error),
    /// Bytes follow the message in its body.
    #[error("{0} bytes follow the message in its frame")]
    Trailing(usize),
}

/// How many descriptors belong to a message.
#[must_use]
pub const fn descriptors(message: &Message) -> usize {
    match message {
        Message::Start(_) => START_DESCRIPTORS,
        _ => 0,
    }
}

/// A message as a frame.
pub fn encode(message: &Message) -> Result<Vec<u8>, CodecError> {
    let frame = postcard::to_extend(message, vec![0; HEADER]).map_err(CodecError::Body)?;
    let length = frame.len().saturating_sub(HEADER);
    let limit = limit(message);
    let too_long = CodecError::TooLong { length, limit };
    if length > limit {
        return Err(too_long);
    }
    let Ok(length) = u32::try_from(length) else {
        return Err(too_long);
    };
    // At most START_DESCRIPTORS, so it fits.
    let count = u16::try_from(descriptors(message)).unwrap_or(0);
    let mut header = [0; HEADER];
    let (length_field, rest) = header.split_at_mut(4);
    length_field.copy_from_slice(&length.to_le_bytes());
    if let Some(field) = rest.get_mut(..2) {
        field.copy_from_slice(&count.to_le_bytes());
    }
    let mut frame = frame;
    if let Some(place) = frame.get_mut(..HEADER) {
        place.copy_from_slice(&header);
    }
    Ok(frame)
}

const fn limit(message: &Message) -> usize {
    match message {
        Message::Start(_) => MAX_START,
        _ => MAX_OTHER,
    }
}

/// Puts frames together again.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
    fds: VecDeque<OwnedFd>,
    no_start: bool,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty decoder that takes small messages without descriptors only.
    #[must_use]
    pub fn without_start() -> Self {
        Self { no_start: true, ..Self::default() }
    }

    /// Whether the next message may be a [`Message::Start`].
    pub fn allow_start(&mut self, allowed: bool) {
        self.no_start = !allowed;
    }

    /// Adds what one recvmsg(2) gave.
    pub fn feed(&mut self, bytes: &[u8], fds: Vec<OwnedFd>) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        // What one long message needed is not kept for the short ones after it.
        self.bytes.shrink_to(self.bytes.len().max(MAX_OTHER));
        self.bytes.extend_from_slice(bytes);
        self.fds.extend(fds);
    }

    /// The next whole message with its descriptors; none until more is fed. After an error the link is of no use.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, CodecError> {
        let Some(rest) = self.bytes.get(self.taken..) else {
            return Ok(None);
        };
        let Some(header) = rest.first_chunk::<HEADER>() else {
            // Descriptors arrive with a header's first byte: no frame, no descriptors.
            return if self.fds.len() > START_DESCRIPTORS { Err(CodecError::Flood) } else { Ok(None) };
        };
        let [l0, l1, l2, l3, n0, n1, r0, r1] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let count = usize::from(u16::from_le_bytes([n0, n1]));
        match u16::from_le_bytes([r0, r1]) {
            0 => {}
            used => return Err(CodecError::Reserved(used)),
        }
        // The kind is not known before the body is decoded; the count tells which limit to hold it to.
        let limit = match count {
            0 => MAX_OTHER,
            START_DESCRIPTORS if !self.no_start => MAX_START,
            got => {
                let want = if self.no_start { 0 } else { START_DESCRIPTORS };
                return Err(CodecError::Descriptors { got, want });
            }
        };
        if length > limit {
            return Err(CodecError::TooLong { length, limit });
        }
        let Some(body) = rest.get(HEADER..HEADER + length) else {
            return if self.fds.len() > 2 * START_DESCRIPTORS { Err(CodecError::Flood) } else { Ok(None) };
        };
        let (message, trailing) = postcard::take_from_bytes::<Message>(body).map_err(CodecError::Body)?;
        if !trailing.is_empty() {
            return Err(CodecError::Trailing(trailing.len()));
        }
        let want = descriptors(&message);
        if count != want || self.fds.len() < want {
            return Err(CodecError::Descriptors { got: self.fds.len().min(count), want });
        }
        let fds = self.fds.drain(..want).collect();
        self.taken += HEADER + length;
        Ok(Some((message, fds)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::link::message::{Hello, Ids, Role, Start, VERSION};

    fn hello() -> Message {
        let ids = Ids { uid: 1000, gid: 1000, groups: vec![4, 5] };
        Message::Hello(Hello { version: VERSION, role: Role::Shim, task: 3, token: b"t".to_vec(), ids })
    }

    fn start(bytes: usize) -> Message {
        Message::Start(Box::new(Start {
            rlimits: vec![(7, 1024, u64::MAX)],
            cpus: vec![0, 1],
            ..Start::plain([vec![0xff; bytes]])
        }))
    }

    fn files(n: usize) -> Vec<OwnedFd> {
        (0..n).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn messages_come_out_as_they_went_in_byte_by_byte() {
        let mut bytes = encode(&hello()).unwrap();
        bytes.extend(encode(&start(10)).unwrap());
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        let first = encode(&hello()).unwrap().len();
        for (at, byte) in bytes.iter().enumerate() {
            decoder.feed(&[*byte], if at == first { files(3) } else { vec![] });
            while let Some((message, fds)) = decoder.next().unwrap() {
                out.push((message, fds.len()));
            }
        }
        assert_eq!(out, vec![(hello(), 0), (start(10), 3)]);
    }

    #[test]
    fn a_start_as_large_as_any_command_line_fits_and_a_larger_one_does_not() {
        let mut decoder = Decoder::new();
        decoder.feed(&encode(&start(6 << 20)).unwrap(), files(3));
        assert!(decoder.next().unwrap().is_some());
        assert!(matches!(encode(&start(9 << 20)), Err(CodecError::TooLong { .. })));
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        let with = |header: [u8; 8], fds| {
            let mut decoder = Decoder::new();
            decoder.feed(&header, files(fds));
            decoder.next()
        };
        assert!(matches!(with([255, 255, 255, 255, 0, 0, 0, 0], 0), Err(CodecError::TooLong { .. })));
        assert!(matches!(with([1, 0, 0, 0, 2, 0, 0, 0], 2), Err(CodecError::Descriptors { .. })));
        assert!(matches!(with([1, 0, 0, 0, 0, 0, 1, 0], 0), Err(CodecError::Reserved(1))));
        assert!(matches!(with([9, 0, 0, 0, 3, 0, 0, 0], 200), Err(CodecError::Flood)));
        let mut decoder = Decoder::new();
        decoder.feed(&encode(&start(1)).unwrap(), files(2));
        assert!(matches!(decoder.next(), Err(CodecError::Descriptors { got: 2, want: 3 })));
    }

    #[test]
    fn a_start_is_taken_only_when_it_is_its_turn() {
        let mut decoder = Decoder::without_start();
        let mut bytes = encode(&hello()).unwrap();
        bytes.extend(encode(&start(1)).unwrap());
        decoder.feed(&bytes, files(3));
        assert!(decoder.next().unwrap().is_some());
        decoder.allow_start(true);
        assert!(decoder.next().unwrap().is_some());
        decoder.allow_start(false);
        decoder.feed(&encode(&start(1)).unwrap(), files(3));
        assert!(matches!(decoder.next(), Err(CodecError::Descriptors { got: 3, want: 0 })));
    }

    #[test]
    fn many_empty_words_take_no_more_memory_than_execve_would_let_through() {
        let with = |argv: usize, cpus: usize| {
            let Message::Start(mut start) = start(0) else { unreachable!() };
            start.argv = vec![serde_bytes::ByteBuf::new(); argv];
            start.cpus = vec![0; cpus];
            let mut decoder = Decoder::new();
            decoder.feed(&encode(&Message::Start(start)).unwrap(), files(3));
            decoder.next()
        };
        assert!(with(600_000, 4096).is_ok());
        assert!(matches!(with(800_000, 1), Err(CodecError::Body(_))));
        assert!(matches!(with(1, 800_000), Err(CodecError::Body(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_fail_otherwise_than_by_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..4096), fds in 0_usize..9
        ) {
            let mut decoder = Decoder::new();
            decoder.feed(&bytes, files(fds));
            while let Ok(Some(_)) = decoder.next() {}
        }
    }
}
