//! The link: length-prefixed messages, some with descriptors, over unix stream sockets.

pub mod codec;
pub mod message;
pub mod socket;
