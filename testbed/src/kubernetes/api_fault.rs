//! The API server as the plugin finds it: while a fault is on, through the proxy. The kubelets and people's kubectl
//! always go straight to it.

use super::control_plane::PKI;
use super::files::Files;
use super::kubeconfig::{self, KubeconfigError};
use super::pki::{Pki, PkiError};
use crate::api_proxy::PORT;
use crate::api_proxy::mode::{Mode, ModeError};
use crate::daemon::{Daemon, DaemonError};
use crate::host::{CTL, Host, HostError, NODES};
use crate::status::Row;
use crate::wait::{self, WaitError};
use crate::{network, process};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

const NAME: &str = "api-proxy";

/// Why the fault does not begin or end.
#[derive(Debug, thiserror::Error)]
pub enum ApiFaultError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// The proxy's files.
    #[error(transparent)]
    File(#[from] HostError),
    /// A node's kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The proxy's orders.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The proxy's program.
    #[error("could not copy this program to {}", path.display())]
    Program {
        /// Where to.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The proxy.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The proxy does not listen.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// Begins the fault on these nodes, or changes which it is. Gives all the nodes it is on now.
pub fn start(mode: Mode, nodes: &[Host]) -> Result<Vec<Host>, ApiFaultError> {
    let pki = Pki::kept()?;
    let daemon = proxy(&pki)?;
    mode.save()?;
    daemon.start()?;
    wait::until("the proxy's port", Duration::from_secs(10), &[daemon.log()], || {
        Ok(daemon.running() && network::listening(CTL, PORT))
    })?;
    nodes.iter().try_for_each(|node| kubeconfig::write_plugins(&pki, *node, PORT))?;
    Ok(affected())
}

/// Ends it, on every node.
pub fn stop() -> Result<(), ApiFaultError> {
    let affected = affected();
    if !affected.is_empty() {
        let pki = Pki::kept()?;
        affected.iter().try_for_each(|node| kubeconfig::write_plugins(&pki, *node, kubeconfig::API_PORT))?;
    }
    Daemon::new(CTL, NAME, [""]).stop(Duration::from_secs(5))?;
    Ok(Mode::forget()?)
}

/// Gives the plugin on this node a certificate that is good for this long.
pub fn shorten_credentials(node: Host, life: Duration) -> Result<(), ApiFaultError> {
    Ok(kubeconfig::write_short_lived(&Pki::kept()?, node, life)?)
}

/// Gives it the usual one.
pub fn renew_credentials(node: Host) -> Result<(), ApiFaultError> {
    Ok(kubeconfig::write_plugins(&Pki::kept()?, node, kubeconfig::API_PORT)?)
}

/// The nodes where the plugin goes through the proxy.
pub fn affected() -> Vec<Host> {
    NODES.iter().copied().filter(|node| kubeconfig::plugins_use(*node, PORT)).collect()
}

/// What is not as it should be.
pub fn status() -> Vec<Row> {
    let runs = Daemon::new(CTL, NAME, [""]).running();
    let affected = affected();
    let fault = Mode::load().map_or_else(|| "a fault of the API server".to_owned(), |mode| mode.to_string());
    let found = if runs { format!("{fault} is on") } else { format!("{fault} is on, but the proxy does not run") };
    let nobodys = Row::new(CTL.name, NAME, false, "runs, but no node goes through it");
    let rows = affected.iter().map(|node| Row::new(node.name, "API server", false, found.as_str()));
    rows.chain((runs && affected.is_empty()).then_some(nobodys)).collect()
}

fn proxy(pki: &Pki) -> Result<Daemon, ApiFaultError> {
    let mut files = Files::on(CTL);
    files.write(&format!("{PKI}/ca.crt"), &pki.authority.certificate)?;
    for name in ["apiserver", "front-proxy"] {
        let pair = pki.pair(name)?;
        files.write(&format!("{PKI}/{name}.crt"), &pair.certificate)?;
        files.write(&format!("{PKI}/{name}.key"), &pair.key)?;
    }
    let path = if Daemon::new(CTL, NAME, [""]).running() {
        process::path_of_copy()
    } else {
        process::copy_of_this().map_err(|(path, source)| ApiFaultError::Program { path, source })?
    };
    Ok(files.daemon(NAME, &[&path.display().to_string(), NAME]))
}
