//! Kubernetes on the testbed's hosts: a control plane on `ctl`, a kubelet and a containerd on each compute node.

pub mod api_fault;
mod cgroup;
mod containerd;
mod control_plane;
mod deploy;
mod extended;
mod files;
pub mod fingerprint;
mod kubeconfig;
mod node;
mod pki;
mod program;
mod state;

pub use control_plane::PKI;
pub use kubeconfig::API_PORT;
pub use state::status;

use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::go_program::{GoProgram, GoProgramError};
use crate::host::{ALL, CTL, Host, NODES};
use crate::image::{self, ImageError};
use crate::step::step;
use crate::wait::{self, WaitError};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

/// Why Kubernetes is not up.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The program.
    #[error(transparent)]
    Program(#[from] GoProgramError),
    /// The certificates.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// The kubeconfigs.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::KubeconfigError),
    /// The control plane.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::ControlPlaneError),
    /// A node.
    #[error(transparent)]
    Node(#[from] node::NodeError),
    /// A fault that was left on.
    #[error(transparent)]
    ApiFault(#[from] api_fault::ApiFaultError),
    /// The images.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The product's objects.
    #[error(transparent)]
    Deploy(#[from] deploy::DeployError),
    /// The nodes' GPUs and network cards.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A daemon did not end.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Something took too long.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// Brings Kubernetes up with these compute nodes, the registry and the images too; what is there is kept.
pub fn up(nodes: &[Host]) -> Result<(), KubernetesError> {
    let program = built(&program::program())?.join("kubernetes").display().to_string();
    let containerd = built(&containerd::program())?;
    image::build()?;
    let pki = pki::Pki::bring_up()?;
    for host in ALL.iter().filter(|host| host.keeper().is_some()) {
        program::link_kubectl(&program, *host)?;
        kubeconfig::write(&pki, *host)?;
    }
    api_fault::stop()?;
    control_plane::start(&program, &pki)?;
    image::start_registry()?;
    nodes.iter().try_for_each(|host| node::start_containerd(*host, &containerd))?;
    // The API server takes seconds to get ready.
    step("images in the registry", image::push)?;
    step("control plane", || control_plane::complete(&program, &pki))?;
    for host in nodes {
        node::await_containerd(*host)?;
        node::start_kubelet(&program, &pki, *host)?;
    }
    step("spank-k8s in the cluster, images on the nodes", || {
        std::thread::scope(|scope| {
            let pull = scope.spawn(|| image::pull(nodes));
            deploy::apply()?;
            nodes.first().map_or(Ok(()), |host| deploy::await_effect(*host))?;
            pull.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<(), KubernetesError>(())
        })
    })?;
    step("nodes", || await_nodes(nodes))?;
    extended::bring_up(nodes)?;
    Ok(())
}

/// Whether nothing is to be built from Go modules.
pub fn all_built() -> bool {
    [program::program(), containerd::program()].iter().all(GoProgram::built)
}

fn built(program: &GoProgram) -> Result<PathBuf, GoProgramError> {
    let (name, version) = (program.name, program.version);
    let text = if program.built() {
        name.to_owned()
    } else {
        format!("{name} {version} built from source (some minutes, once)")
    };
    step(&text, || program.bring_up())
}

/// Ends the daemons that would else start containers while the hosts are taken away.
pub fn down() -> Result<(), KubernetesError> {
    for host in NODES {
        for name in ["kubelet", "containerd"] {
            Daemon::new(*host, name, [""]).stop(Duration::from_secs(5))?;
        }
    }
    Ok(())
}

/// kubectl as the cluster's admin.
fn kubectl(arguments: &[&str]) -> Result<String, CommandError> {
    let admin = ["--kubeconfig", kubeconfig::ADMIN];
    command::run(CTL.command("kubectl", admin.iter().chain(arguments)))
}

fn await_nodes(nodes: &[Host]) -> Result<(), WaitError<Infallible>> {
    let logs: Vec<_> = nodes.iter().map(|host| Daemon::new(*host, "kubelet", [""]).log()).collect();
    wait::until("every node Ready", Duration::from_secs(90), &logs, || {
        // The API server believes in a kubelet that just died for 40 seconds more: ask the kubelet, too.
        let ready = state::ready_nodes();
        Ok(nodes.iter().all(|host| node::healthy(*host) && ready.iter().any(|name| name == host.name)))
    })
}
