//! etcd, the API server, the controller manager and the scheduler, all on one host.

use super::files::Files;
use super::kubeconfig::{self, API_PORT};
use super::pki::{FRONT_PROXY, Pki, PkiError};
use crate::daemon::{Daemon, DaemonError};
use crate::host::{CTL, HostError};
use crate::wait::{self, WaitError};
use std::convert::Infallible;
use std::time::Duration;

/// The certificates' folder on every host.
pub const PKI: &str = "/etc/kubernetes/pki";
/// The log of what the nodes' Slurm identities asked of the API server, on [`CTL`]: JSON lines.
pub const AUDIT: &str = "/var/log/kubernetes/audit.log";

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// A file.
    #[error(transparent)]
    File(#[from] HostError),
    /// A daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// It did not get ready.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// Starts etcd and the API server.
pub fn start(program: &str, pki: &Pki) -> Result<(), ControlPlaneError> {
    etcd().start()?;
    apiserver(program, pki)?.start()?;
    Ok(())
}

/// Waits for the API server, then starts what needs it.
pub fn complete(program: &str, pki: &Pki) -> Result<(), ControlPlaneError> {
    let logs = [Daemon::new(CTL, "etcd", [""]).log(), Daemon::new(CTL, "kube-apiserver", [""]).log()];
    wait::until("the API server ready", Duration::from_secs(60), &logs, || Ok(ready()))?;
    controller_manager(program, pki)?.start()?;
    scheduler(program, pki)?.start()?;
    Ok(())
}

/// Whether the API server says that it is ready.
pub fn ready() -> bool {
    super::kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]).is_ok()
}

fn etcd() -> Daemon {
    let argv = [
        "etcd",
        "--name=ctl",
        "--data-dir=/var/lib/etcd",
        // Its data need not outlive the machine.
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=ctl=http://127.0.0.1:2380",
        "--logger=zap",
        "--log-level=warn",
    ];
    Daemon::new(CTL, "etcd", argv)
}

fn apiserver(program: &str, pki: &Pki) -> Result<Daemon, ControlPlaneError> {
    let mut files = Files::on(CTL);
    files.write(&format!("{PKI}/ca.crt"), &pki.authority.certificate)?;
    for name in ["apiserver", "apiserver-kubelet"] {
        let pair = pki.pair(name)?;
        files.write(&format!("{PKI}/{name}.crt"), &pair.certificate)?;
        files.write(&format!("{PKI}/{name}.key"), &pair.key)?;
    }
    files.write(&format!("{PKI}/service-account.key"), &pki.service_account.key)?;
    files.write(&format!("{PKI}/service-account.pub"), &pki.service_account.certificate)?;
    files.write("/etc/kubernetes/audit-policy.yaml", include_str!("../../kubernetes/audit-policy.yaml"))?;
    let address = format!("--advertise-address={}", CTL.ip);
    let port = format!("--secure-port={API_PORT}");
    let front_proxy = format!("--requestheader-allowed-names={FRONT_PROXY}");
    let audit = format!("--audit-log-path={AUDIT}");
    Ok(files.daemon(
        "kube-apiserver",
        &[
            program,
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            &port,
            &address,
            // There is no kube-proxy, so nobody asks for its endpoints.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            // The proxy of the faults `api-slow`, `api-error` and `api-cut` says who its clients are.
            "--requestheader-client-ca-file=/etc/kubernetes/pki/ca.crt",
            &front_proxy,
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt",
            "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
            "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt",
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet.crt",
            "--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=/etc/kubernetes/pki/service-account.key",
            "--service-account-key-file=/etc/kubernetes/pki/service-account.pub",
            "--audit-policy-file=/etc/kubernetes/audit-policy.yaml",
            &audit,
            "--audit-log-maxsize=50",
            "--audit-log-maxbackup=1",
            "--profiling=false",
        ],
    ))
}

fn controller_manager(program: &str, pki: &Pki) -> Result<Daemon, ControlPlaneError> {
    let mut files = Files::on(CTL);
    let path = "/etc/kubernetes/controller-manager.kubeconfig";
    files.write(path, &kubeconfig::text(pki, "kube-controller-manager")?)?;
    files.write(&format!("{PKI}/ca.key"), &pki.authority.key)?;
    Ok(files.daemon(
        "kube-controller-manager",
        &[
            program,
            "kube-controller-manager",
            &format!("--kubeconfig={path}"),
            "--service-account-private-key-file=/etc/kubernetes/pki/service-account.key",
            "--root-ca-file=/etc/kubernetes/pki/ca.crt",
            // For certificates that an admin approves, as deploy/README.md says.
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            "--bind-address=127.0.0.1",
            // There is only one.
            "--leader-elect=false",
            "--profiling=false",
        ],
    ))
}

fn scheduler(program: &str, pki: &Pki) -> Result<Daemon, ControlPlaneError> {
    let mut files = Files::on(CTL);
    let path = "/etc/kubernetes/scheduler.kubeconfig";
    files.write(path, &kubeconfig::text(pki, "kube-scheduler")?)?;
    Ok(files.daemon(
        "kube-scheduler",
        &[
            program,
            "kube-scheduler",
            &format!("--kubeconfig={path}"),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--profiling=false",
        ],
    ))
}
