//! What of Kubernetes is ready.

use super::{api_fault, containerd, control_plane, program};
use crate::daemon::Daemon;
use crate::host::{CTL, NODES};
use crate::image;
use crate::status::Row;

/// The names of the nodes that Kubernetes says are Ready.
pub fn ready_nodes() -> Vec<String> {
    let ready = "{range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}";
    let text = super::kubectl(&["get", "nodes", "--request-timeout=5s", &format!("--output=jsonpath={ready}")]);
    let text = text.unwrap_or_default();
    text.lines().filter_map(|line| line.strip_suffix("=True")).map(str::to_owned).collect()
}

/// The rows of the table.
pub fn status() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let running = Daemon::new(CTL, name, [""]).running();
        let ready = running && (name != "kube-apiserver" || control_plane::ready());
        let version = if name == "etcd" { "runs" } else { program::VERSION };
        rows.push(Row::new(CTL.name, name, ready, said(running, ready, version)));
    }
    let running = Daemon::new(CTL, "registry", [""]).running();
    let ready = running && image::registry_ready();
    rows.push(Row::new(CTL.name, "registry", ready, said(running, ready, image::REGISTRY)));
    let nodes = ready_nodes();
    for host in NODES.iter().filter(|host| host.keeper().is_some()) {
        let running = Daemon::new(*host, "containerd", [""]).running();
        let version = containerd::version(*host);
        let ready = running && version.is_some();
        rows.push(Row::new(host.name, "containerd", ready, said(running, ready, &version.unwrap_or_default())));
        let running = Daemon::new(*host, "kubelet", [""]).running();
        let ready = running && nodes.iter().any(|name| name == host.name);
        rows.push(Row::new(host.name, "kubelet", ready, said(running, ready, "the node is Ready")));
    }
    rows.extend(api_fault::status());
    rows
}

fn said(running: bool, ready: bool, well: &str) -> String {
    match (running, ready) {
        (_, true) => well.to_owned(),
        (true, false) => "runs, but is not ready".to_owned(),
        (false, false) => "does not run".to_owned(),
    }
}
