//! One end of the link, seen from the engine: framed messages with descriptors over a tokio socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use slurm_k8s_agent::link::codec::{CodecError, Decoder, encode};
use slurm_k8s_agent::link::message::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// What goes wrong on a link.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The socket failed.
    #[error("the link failed")]
    Socket(#[from] io::Error),
    /// The other end broke the protocol.
    #[error("the other end of the link broke the protocol")]
    Protocol(#[from] CodecError),
    /// The other end said something that was not its turn.
    #[error("the other end of the link said what it may not say now")]
    Turn,
}

/// More descriptors than any message carries.
const MAX_DESCRIPTORS: usize = 8;

/// The receiving half.
pub struct Receiver {
    stream: std::sync::Arc<UnixStream>,
    decoder: Decoder,
}

/// What goes with a message until it is sent: its descriptors, and its share of the memory that the largest may take.
#[derive(Debug)]
pub struct Freight {
    descriptors: Vec<OwnedFd>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Freight {
    /// Descriptors, and a share that is given back when they are sent or dropped.
    pub fn new(descriptors: Vec<OwnedFd>, share: Option<OwnedSemaphorePermit>) -> Self {
        Self { descriptors, _share: share }
    }
}

impl From<Vec<OwnedFd>> for Freight {
    fn from(descriptors: Vec<OwnedFd>) -> Self {
        Self::new(descriptors, None)
    }
}

/// The sending half: a queue, so that an end that does not read never stops the engine.
#[derive(Clone)]
pub struct Sender {
    queue: mpsc::Sender<(Message, Freight)>,
}

impl Sender {
    /// Queues a message; false if the other end is gone or has let too many pile up.
    pub fn send(&self, message: Message, freight: impl Into<Freight>) -> bool {
        self.queue.try_send((message, freight.into())).is_ok()
    }
}

/// Splits a connection and starts its writer.
pub fn split(stream: UnixStream) -> (Sender, Receiver, tokio::task::JoinHandle<()>) {
    let stream = std::sync::Arc::new(stream);
    let (queue, mut messages) = mpsc::channel::<(Message, Freight)>(256);
    let out = std::sync::Arc::clone(&stream);
    let writer = tokio::task::spawn_local(async move {
        while let Some((message, freight)) = messages.recv().await {
            if let Err(error) = write(&out, &message, &freight.descriptors).await {
                log::debug!("a link's writer ends: {error}");
                return;
            }
        }
    });
    let receiver = Receiver { stream, decoder: Decoder::without_start() };
    (Sender { queue }, receiver, writer)
}

impl Receiver {
    /// The next message; none at the end of the link.
    pub async fn next(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, PeerError> {
        loop {
            // One at a time: what may come next depends on what has come.
            if let Some(message) = self.decoder.next()? {
                return Ok(Some(message));
            }
            let (bytes, descriptors) = self.stream.async_io(Interest::READABLE, || receive(&self.stream)).await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.decoder.feed(&bytes, descriptors);
        }
    }

    /// The next message, which may be a large one with descriptors; none after it may.
    pub async fn next_start(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, PeerError> {
        self.decoder.allow_start(true);
        let next = self.next().await;
        self.decoder.allow_start(false);
        next
    }

    /// The peer's process and user, as the kernel vouches for them.
    pub fn credentials(&self) -> io::Result<rustix::net::UCred> {
        Ok(rustix::net::sockopt::socket_peercred(self.stream.as_fd())?)
    }
}

fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0_u8; 16 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    bytes.truncate(received.bytes);
    Ok((bytes, descriptors))
}

async fn write(stream: &UnixStream, message: &Message, descriptors: &[OwnedFd]) -> Result<(), PeerError> {
    let bytes = encode(message)?;
    let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if sent == 0 && !borrowed.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(&borrowed));
                }
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                Ok(sendmsg(stream, &[IoSlice::new(rest)], &mut control, flags)?)
            })
            .await?;
    }
    Ok(())
}
