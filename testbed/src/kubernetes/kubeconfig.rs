//! The files by which people and programs on the hosts reach the API server.

use super::pki::{Pair, Pki, PkiError};
use crate::account;
use crate::host::{CTL, Host, HostError};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::time::Duration;

/// The namespace of the jobs' Pods: everybody's default.
pub const NAMESPACE: &str = "slurm-jobs";
/// The cluster admin's file, on every host.
pub const ADMIN: &str = "/etc/testbed/kubeconfig-root";
/// The compute node's own, for the plugin.
pub const NODE: &str = "/etc/slurm/k8s.kubeconfig";
/// The file of `slurm-k8s gc`, on [`CTL`].
pub const GC: &str = "/etc/slurm/k8s-gc.kubeconfig";
/// The API server's port on [`CTL`].
pub const API_PORT: u16 = 6443;

/// Why a kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The identity's certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// The file.
    #[error(transparent)]
    Write(#[from] HostError),
    /// Whose it is.
    #[error(transparent)]
    User(#[from] account::UnknownUser),
}

/// A kubeconfig with the certificate `identity` inside.
pub fn text(pki: &Pki, identity: &str) -> Result<String, PkiError> {
    through(API_PORT, pki, identity)
}

fn through(port: u16, pki: &Pki, identity: &str) -> Result<String, PkiError> {
    Ok(with_pair(port, pki, identity, pki.pair(identity)?))
}

fn with_pair(port: u16, pki: &Pki, identity: &str, pair: &Pair) -> String {
    let encode = |pem: &str| BASE64_STANDARD.encode(pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {identity}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: testbed
  context: {{cluster: testbed, user: {identity}, namespace: {NAMESPACE}}}
current-context: testbed
",
        server = server(port),
        authority = encode(&pki.authority.certificate),
        certificate = encode(&pair.certificate),
        key = encode(&pair.key),
    )
}

/// Writes the files of the host's people, on a compute node the plugin's, on the controller that of `slurm-k8s gc`.
pub fn write(pki: &Pki, host: Host) -> Result<(), KubeconfigError> {
    host.write(ADMIN, text(pki, "admin")?.as_bytes(), 0o600, 0, 0)?;
    for user in account::USERS {
        let path = format!("/etc/testbed/kubeconfig-{}", user.name);
        let text = text(pki, &format!("user-{}", user.name))?;
        host.write(&path, text.as_bytes(), 0o600, user.uid, user.uid)?;
    }
    if host.is_node() {
        write_plugins(pki, host, API_PORT)?;
    }
    if host == CTL {
        let account::SystemUser { uid, gid } = account::system(host, "slurm")?;
        host.write(GC, text(pki, "slurm-gc")?.as_bytes(), 0o600, uid, gid)?;
    }
    Ok(())
}

/// Writes the plugin's file: it finds the API server on this port.
pub fn write_plugins(pki: &Pki, node: Host, port: u16) -> Result<(), KubeconfigError> {
    let text = through(port, pki, &format!("slurm-{}", node.name))?;
    node.write(NODE, text.as_bytes(), 0o600, 0, 0)?;
    Ok(())
}

/// Writes the plugin's file with a certificate that is good for this long.
pub fn write_short_lived(pki: &Pki, node: Host, life: Duration) -> Result<(), KubeconfigError> {
    let identity = format!("slurm-{}", node.name);
    let pair = pki.short_lived(&identity, life)?;
    node.write(NODE, with_pair(API_PORT, pki, &identity, &pair).as_bytes(), 0o600, 0, 0)?;
    Ok(())
}

/// Whether the plugin's file names this port.
pub fn plugins_use(node: Host, port: u16) -> bool {
    let line = format!("server: {}", server(port));
    std::fs::read_to_string(node.path(NODE)).is_ok_and(|text| text.lines().any(|present| present.trim() == line))
}

fn server(port: u16) -> String {
    format!("https://{}:{port}", CTL.ip)
}
