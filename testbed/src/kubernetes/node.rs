//! A compute node of Kubernetes: containerd and the kubelet.

use super::cgroup::{self, CgroupError};
use super::containerd;
use super::control_plane::PKI;
use super::files::Files;
use super::kubeconfig;
use super::pki::{Pki, PkiError};
use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::host::{Host, HostError};
use crate::wait::{self, WaitError};
use crate::{image, network};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// A file.
    #[error(transparent)]
    File(#[from] HostError),
    /// A cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The runtime handler that a site installs.
    #[error("could not read {}", path.display())]
    Handler {
        /// The file of the checkout.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The mount for the Pods' volumes.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A daemon did not get ready.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// Starts containerd; the folder has the one that Debian does not have.
pub fn start_containerd(host: Host, folder: &Path) -> Result<(), NodeError> {
    // /run is empty: the host is new.
    if !host.path("/run/containerd").exists() {
        cgroup::end_strays(host, Duration::from_secs(5));
    }
    let mut files = Files::on(host);
    // Read at each pull and at each sandbox: no restart.
    image::tell_registry(host, image::REGISTRY)?;
    let network = include_str!("../../kubernetes/cni.conflist").replace("{subnet}", &network::pod_subnet(host));
    host.write("/etc/cni/net.d/10-pods.conflist", network.as_bytes(), 0o644, 0, 0)?;
    containerd::start(&mut files, host, folder)
}

/// Waits for containerd.
pub fn await_containerd(host: Host) -> Result<(), NodeError> {
    let log = Daemon::new(host, "containerd", [""]).log();
    wait::until(&format!("containerd on {} ready", host.name), Duration::from_secs(30), &[log], || {
        Ok(containerd::version(host).is_some())
    })?;
    Ok(())
}

/// Starts the kubelet.
pub fn start_kubelet(program: &str, pki: &Pki, host: Host) -> Result<(), NodeError> {
    cgroup::bring_up(host)?;
    let mut files = Files::on(host);
    files.write(&format!("{PKI}/ca.crt"), &pki.authority.certificate)?;
    let serving = pki.pair(&format!("kubelet-serving-{}", host.name))?;
    files.write(&format!("{PKI}/kubelet-serving.crt"), &serving.certificate)?;
    files.write(&format!("{PKI}/kubelet-serving.key"), &serving.key)?;
    let path = "/etc/kubernetes/kubelet.kubeconfig";
    files.write(path, &kubeconfig::text(pki, &format!("kubelet-{}", host.name))?)?;
    let configuration = include_str!("../../kubernetes/kubelet.yaml").replace("{cgroup}", &cgroup::root(host));
    files.write("/etc/kubernetes/kubelet.yaml", &configuration)?;
    files
        .daemon(
            "kubelet",
            &[
                program,
                "kubelet",
                "--config=/etc/kubernetes/kubelet.yaml",
                &format!("--kubeconfig={path}"),
                "--root-dir=/var/lib/kubelet",
                &format!("--hostname-override={}", host.name),
                &format!("--node-ip={}", host.ip),
            ],
        )
        .start()?;
    Ok(())
}

/// Whether the kubelet itself says that it is well.
pub fn healthy(host: Host) -> bool {
    let url = "http://127.0.0.1:10248/healthz";
    command::succeeds(host.command("curl", ["--fail", "--silent", "--max-time", "2", "--noproxy", "*", url]))
}
