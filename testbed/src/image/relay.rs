//! A way to the registry on which everything comes slowly: the fault `registry-slow`.

use super::{REGISTRY, registry};
use crate::daemon::{Daemon, DaemonError};
use crate::host::{CTL, Host, HostError};
use crate::wait::{self, WaitError};
use crate::{network, process};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Its daemon, and the hidden command that it is.
const NAME: &str = "registry-relay";
const PORT: u16 = 5408;
/// The registry's own.
const REGISTRY_PORT: u16 = 5407;
/// How many bytes come in a tenth of a second: 64 KiB a second.
const PORTION: usize = 6554;
const PERIOD: Duration = Duration::from_millis(100);

/// Why there is no such way.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// No runtime.
    #[error("could not start the relay's runtime")]
    Runtime(#[source] std::io::Error),
    /// The port.
    #[error("could not listen on {}:{PORT}", CTL.ip)]
    Listen(#[source] std::io::Error),
    /// The relay's program.
    #[error("could not copy this program to {}", path.display())]
    Program {
        /// Where to.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The relay.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The relay does not listen.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
    /// containerd's file.
    #[error(transparent)]
    Hosts(#[from] HostError),
}

/// From now on the node pulls slowly.
pub fn start(node: Host) -> Result<(), RelayError> {
    let daemon = Daemon::new(CTL, NAME, [""]);
    if !daemon.running() {
        let path = process::copy_of_this().map_err(|(path, source)| RelayError::Program { path, source })?;
        Daemon::new(CTL, NAME, [path.display().to_string(), NAME.to_owned()]).start()?;
        wait::until("the relay's port", Duration::from_secs(10), &[daemon.log()], || {
            Ok(network::listening(CTL, PORT))
        })?;
    }
    let (name, _) = REGISTRY.split_once(':').unwrap_or((REGISTRY, ""));
    Ok(registry::tell(node, &format!("{name}:{PORT}"))?)
}

/// It pulls as fast as ever; what is under way breaks.
pub fn stop(node: Host) -> Result<(), RelayError> {
    registry::tell(node, REGISTRY)?;
    Ok(Daemon::new(CTL, NAME, [""]).stop(Duration::from_secs(5))?)
}

/// Runs for ever.
pub fn run() -> Result<Infallible, RelayError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RelayError::Runtime)?;
    runtime.block_on(async {
        let listener = TcpListener::bind((CTL.ip, PORT)).await.map_err(RelayError::Listen)?;
        loop {
            if let Ok((client, _)) = listener.accept().await {
                // A connection that breaks has ended, which is all there is to it.
                tokio::spawn(async move {
                    let _ = relay(client).await;
                });
            }
        }
    })
}

async fn relay(client: TcpStream) -> std::io::Result<()> {
    let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, REGISTRY_PORT)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_registry, mut to_registry) = upstream.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_registry).await });
    let mut portion = [0; PORTION];
    loop {
        let count = from_registry.read(&mut portion).await?;
        let Some(bytes) = portion.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        to_client.write_all(bytes).await?;
        tokio::time::sleep(PERIOD).await;
    }
}
