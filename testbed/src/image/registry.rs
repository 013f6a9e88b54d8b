//! The site's registry, and the images on their way to it and to the nodes.

use super::recipe::ALL;
use super::{ImageError, full};
use crate::command;
use crate::daemon::Daemon;
use crate::host::{CTL, Host, HostError};
use crate::wait;
use std::time::Duration;

/// The registry as every host knows it.
pub const REGISTRY: &str = "nas-hub.local:5407";

const CONFIGURATION: &str = "version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: /var/lib/docker-registry}
  delete: {enabled: true}
http: {addr: \"0.0.0.0:5407\"}
";

/// Starts the registry.
pub fn start() -> Result<(), ImageError> {
    let path = "/etc/testbed/registry.yml";
    CTL.write(path, CONFIGURATION.as_bytes(), 0o644, 0, 0)?;
    Daemon::new(CTL, "registry", ["docker-registry", "serve", path]).start()?;
    Ok(())
}

/// Tells the node's containerd by which address it reaches the registry.
pub fn tell(node: Host, address: &str) -> Result<(), HostError> {
    let path = format!("/etc/containerd/certs.d/{REGISTRY}/hosts.toml");
    let text = format!(
        "server = \"http://{address}\"\n[host.\"http://{address}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    );
    node.write(&path, text.as_bytes(), 0o644, 0, 0)?;
    Ok(())
}

/// Whether it answers.
pub fn ready() -> bool {
    let url = format!("http://{REGISTRY}/v2/");
    command::succeeds(CTL.command("curl", ["--fail", "--silent", "--max-time", "2", "--noproxy", "*", &url]))
}

/// Pushes all images; what the registry has is not sent again.
pub fn push() -> Result<(), ImageError> {
    let log = Daemon::new(CTL, "registry", [""]).log();
    wait::until("the registry ready", Duration::from_secs(20), &[log], || Ok(ready()))?;
    // In the network of the host only: the cache may lie where the host does not see it.
    let net = format!("--net=/proc/{}/ns/net", CTL.keeper().map_or(0, |keeper| keeper.pid));
    for recipe in ALL {
        let mut copy = command::clean("nsenter");
        copy.args([&net, "--", "skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:1", recipe.layout()?.display()))
            .arg(format!("docker://{}:5407/{}:1", CTL.ip, recipe.name));
        let failed = |source| ImageError::Copy { name: recipe.name, to: REGISTRY.to_owned(), source };
        command::run(copy).map_err(failed)?;
    }
    Ok(())
}

/// Pulls all images onto these nodes, so that the first jobs don't wait for it.
pub fn pull(nodes: &[Host]) -> Result<(), ImageError> {
    std::thread::scope(|scope| {
        let pulls: Vec<_> = nodes.iter().map(|host| scope.spawn(|| pull_to(*host))).collect();
        let ended = |pull: std::thread::ScopedJoinHandle<'_, Result<(), ImageError>>| {
            pull.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        pulls.into_iter().try_for_each(ended)
    })
}

fn pull_to(host: Host) -> Result<(), ImageError> {
    for recipe in ALL {
        let reference = full(recipe.name);
        let arguments = ["--namespace=k8s.io", "images", "pull", "--hosts-dir=/etc/containerd/certs.d", &reference];
        command::run(host.command("ctr", arguments)).map_err(|source| ImageError::Copy {
            name: recipe.name,
            to: host.name.to_owned(),
            source,
        })?;
    }
    Ok(())
}
