//! An answer of which, from some moment on, nothing more comes, and whose connection stays open: `api-silent`.

use super::mode::Mode;
use super::verb::Verb;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer of the API server's.
pub struct Silence {
    body: Incoming,
    verb: Verb,
    begun: bool,
}

impl Silence {
    /// Silent as soon as the proxy is told so of requests with this verb, and from then on for good.
    pub fn over(body: Incoming, verb: Verb) -> Self {
        Self { body, verb, begun: false }
    }
}

impl Body for Silence {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        self.begun |= matches!(Mode::load(), Some(mode @ Mode::Silent(_)) if mode.concerns(self.verb));
        // Nobody wakes it any more: only the end of its connection ends it.
        if self.begun { Poll::Pending } else { Poll::Ready(frame) }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
