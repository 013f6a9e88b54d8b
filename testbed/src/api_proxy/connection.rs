//! A client's connection, from the handshake to its end or cut.

use super::identity::{Identity, IdentityError};
use super::mode::Mode;
use super::request::Requests;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next request: as long as at the API server.
const IDLE: Duration = Duration::from_secs(90);

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    /// The client was too slow.
    #[error("a client did not finish the handshake within {} s", HANDSHAKE.as_secs())]
    Slow,
    /// No TLS with it.
    #[error("could not agree with a client on TLS")]
    Handshake(#[source] std::io::Error),
    /// TLS without a certificate, which the verifier does not let pass.
    #[error("a client has no certificate")]
    NoCertificate,
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// HTTP.
    #[error("a connection broke")]
    Http(#[from] hyper::Error),
}

/// What every connection needs.
#[derive(Clone)]
pub struct Connections {
    acceptor: TlsAcceptor,
    requests: Requests,
    cuts: watch::Receiver<Option<Mode>>,
}

impl Connections {
    /// Connections with this side's TLS; `cuts` changes to a mode when they are to be cut.
    pub fn new(tls: ServerConfig, requests: Requests, cuts: watch::Receiver<Option<Mode>>) -> Self {
        Self { acceptor: TlsAcceptor::from(Arc::new(tls)), requests, cuts }
    }

    /// Serves one, in the background.
    pub fn begin(&self, socket: TcpStream) {
        let connection = self.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.serve(socket).await {
                let mut cause: Option<&dyn Error> = Some(&error);
                let mut text = Vec::new();
                while let Some(present) = cause {
                    text.push(present.to_string());
                    cause = present.source();
                }
                super::say(&text.join(": "));
            }
        });
    }

    async fn serve(mut self, socket: TcpStream) -> Result<(), ConnectionError> {
        // Only new cuts count: a connection during one lives until its first request.
        self.cuts.mark_unchanged();
        // Without it answers wait for acknowledgements, nothing else.
        let _ = socket.set_nodelay(true);
        let stream = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(socket)).await;
        let stream = stream.map_err(|_| ConnectionError::Slow)?.map_err(ConnectionError::Handshake)?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let identity = Identity::of(certificates.first().ok_or(ConnectionError::NoCertificate)?)?;
        let service = service_fn(|request| self.requests.answer(&identity, request));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            result = serving => Ok(result?),
            // What is dropped is closed, whatever was under way.
            () = cut(&mut self.cuts) => Ok(()),
        }
    }
}

async fn cut(cuts: &mut watch::Receiver<Option<Mode>>) {
    while cuts.changed().await.is_ok() {
        if cuts.borrow_and_update().is_some() {
            return;
        }
    }
}
