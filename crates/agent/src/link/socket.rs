//! The link over a blocking unix stream socket: shim and agent use it; the engine has its own, with tokio.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::codec::{CodecError, Decoder, encode};
use super::message::Message;

/// A link that failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("the link's socket failed")]
    Socket(#[from] io::Error),
    /// The other end broke the protocol.
    #[error("the other end of the link broke the protocol")]
    Protocol(#[from] CodecError),
}

/// Room for the descriptors of one recvmsg(2).
const MAX_DESCRIPTORS: usize = 8;

/// One end of the link.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    decoder: Decoder,
    ready: VecDeque<(Message, Vec<OwnedFd>)>,
}

impl Link {
    /// Connects to a listening socket. The path may be longer than a socket address has room for.
    pub fn connect(path: &Path) -> Result<Self, LinkError> {
        Ok(Self::new(UnixStream::connect(path)?))
    }

    /// A link over a connected socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::new(),
            ready: VecDeque::new(),
        }
    }

    /// Sends a message with its descriptors.
    pub fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let bytes = encode(message)?;
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(
                &self.stream,
                &[IoSlice::new(rest)],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// A message that was received already, without touching the socket.
    pub fn ready(&mut self) -> Option<(Message, Vec<OwnedFd>)> {
        self.ready.pop_front()
    }

    /// Reads once (it blocks if there is nothing); false at the end of the link. What came is in [`Self::ready`].
    pub fn read(&mut self) -> Result<bool, LinkError> {
        let mut bytes = vec![0_u8; 64 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            match recvmsg(
                &self.stream,
                &mut buffers,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if count == 0 {
            return Ok(false);
        }
        bytes.truncate(count);
        self.decoder.feed(&bytes, fds);
        while let Some(message) = self.decoder.next()? {
            self.ready.push_back(message);
        }
        Ok(true)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
