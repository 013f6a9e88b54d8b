//! A program in front of the API server for those who are to find it slow, failing or gone. It runs as a daemon
//! while such a fault is on; RBAC and the admission policies see the same users and groups as without it.

mod connection;
mod identity;
pub mod mode;
mod refusal;
mod request;
mod silence;
mod tls;
pub mod verb;

use crate::host::CTL;
use connection::Connections;
use mode::Mode;
use request::Requests;
use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;
use tokio::net::TcpListener;

/// Its port on [`CTL`].
pub const PORT: u16 = 6444;

/// Why the proxy can't run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No runtime.
    #[error("could not start the proxy's runtime")]
    Runtime(#[source] std::io::Error),
    /// The keys and certificates.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The port.
    #[error("could not listen on {}:{PORT}", CTL.ip)]
    Listen(#[source] std::io::Error),
}

/// Runs for ever.
pub fn run() -> Result<Infallible, ProxyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProxyError::Runtime)?;
    runtime.block_on(serve())
}

async fn serve() -> Result<Infallible, ProxyError> {
    let (cut, cuts) = tokio::sync::watch::channel(None);
    let connections = Connections::new(tls::server()?, Requests::new(tls::connector()?), cuts);
    let listener = TcpListener::bind((CTL.ip, PORT)).await.map_err(ProxyError::Listen)?;
    tokio::spawn(async move {
        // A request looks for itself; this is for the answers that are under way.
        loop {
            let now = Mode::load().filter(|mode| mode.ends_answers());
            cut.send_if_modified(|before| std::mem::replace(before, now) != now);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    loop {
        match listener.accept().await {
            Ok((socket, _)) => connections.begin(socket),
            Err(error) => {
                say(&format!("could not accept a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A line of the log; without a log the proxy still works.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
