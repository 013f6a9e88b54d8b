//! The link over a unix stream socket: shim and agent use it; the engine has its own, with tokio.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
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

/// One end of the link. It never blocks: wait for it with poll(2), for writing too while [`Self::pending`].
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    decoder: Decoder,
    ready: VecDeque<(Message, Vec<OwnedFd>)>,
    outbox: VecDeque<Frame>,
}

/// A message on its way out.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Link {
    /// Connects to a listening socket.
    pub fn connect(path: &Path) -> Result<Self, LinkError> {
        Ok(Self::new(UnixStream::connect(path)?))
    }

    /// A link over a connected socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::new(), ready: VecDeque::new(), outbox: VecDeque::new() }
    }

    /// Sends a message with its descriptors, or as much of it as the socket takes now; the rest goes with the next
    /// [`Self::flush`].
    pub fn send(&mut self, message: &Message, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        self.outbox.push_back(Frame { bytes: encode(message)?, sent: 0, descriptors });
        self.flush()
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what the socket takes now. If the other end is gone, what waits is dropped: its last words may still be
    /// there to [`Self::read`].
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while let Some(frame) = self.outbox.front_mut() {
            match frame.send(&self.stream) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => self.outbox.clear(),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// A message that was received already, without touching the socket.
    pub fn ready(&mut self) -> Option<(Message, Vec<OwnedFd>)> {
        self.ready.pop_front()
    }

    /// Reads once; false at the end of the link. What came is in [`Self::ready`].
    pub fn read(&mut self) -> Result<bool, LinkError> {
        let mut bytes = vec![0_u8; 64 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let count = loop {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.stream, &mut buffers, &mut control, flags) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(true),
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

impl Frame {
    /// Sends all of it, or fails with [`Errno::AGAIN`] where the socket is full.
    fn send(&mut self, stream: &UnixStream) -> Result<(), Errno> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let borrowed: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
            if !borrowed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            self.sent += sendmsg(stream, &[IoSlice::new(rest)], &mut control, flags)?;
            // They went with the first byte.
            self.descriptors.clear();
        }
        Ok(())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
