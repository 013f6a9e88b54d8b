//! Slurm's nodes beside Kubernetes', with an admin's identity.

use std::path::Path;

use k8s_openapi::api::core::v1::{Node, Taint};
use slurm_k8s_core::pod::TAINT;
use slurm_k8s_core::{diagnosis, quantity};

use super::Finding;
use crate::cluster::Cluster;
use crate::report::chain;
use crate::slurm;

/// What every Pod of ours tolerates.
const TOLERATED: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", TAINT];

/// A node as Slurm has it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    cpus: u64,
    memory_mib: u64,
}

/// Holds each against its fellow of the same name.
pub async fn check(kubeconfig: &Path) -> Vec<Finding> {
    let of_slurm = match slurm::output("scontrol", &["show", "node", "--oneliner"]).await {
        Ok(text) => text.lines().filter_map(wanted).collect::<Vec<_>>(),
        Err(error) => return vec![Finding::new(diagnosis::SLURM, chain(&error))],
    };
    let nodes = match Cluster::connect(Some(kubeconfig), Path::new(""), String::new()).await {
        Ok(cluster) => cluster.all::<Node>().await,
        Err(error) => Err(error),
    };
    match nodes {
        Ok(nodes) => of_slurm.iter().flat_map(|wanted| judge(wanted, &nodes)).collect(),
        Err(error) => vec![Finding::new(diagnosis::API, chain(&error))],
    }
}

fn wanted(line: &str) -> Option<Wanted> {
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    Some(Wanted {
        name: value("NodeName")?.to_owned(),
        cpus: value("CPUTot")?.parse().ok()?,
        memory_mib: value("RealMemory")?.parse().ok()?,
    })
}

fn judge(wanted: &Wanted, nodes: &[Node]) -> Vec<Finding> {
    let name = &wanted.name;
    let Some(node) = nodes.iter().find(|node| node.metadata.name.as_ref() == Some(name)) else {
        return vec![Finding::new(diagnosis::NODE_ABSENT, name.clone())];
    };
    let mut found = Vec::new();
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    if !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
        let said =
            conditions.iter().find(|condition| condition.type_ == "Ready").and_then(|ready| ready.message.clone());
        found.push(Finding::new(
            diagnosis::NODE_NOT_READY,
            format!("{name}: {}", said.unwrap_or_else(|| "no word of its kubelet".into())),
        ));
    }
    let allocatable = |what: &str| {
        let quantity = status.and_then(|status| status.allocatable.as_ref()?.get(what));
        quantity.and_then(|quantity| quantity::value(&quantity.0))
    };
    let memory = quantity::value(&format!("{}Mi", wanted.memory_mib));
    if allocatable("memory").is_some_and(|has| Some(has) < memory) {
        let has = status.and_then(|status| status.allocatable.as_ref()?.get("memory")).map_or("", |has| &has.0);
        found.push(Finding::new(
            diagnosis::NODE_MEMORY,
            format!("{name}: RealMemory={}M, and {has} for Pods", wanted.memory_mib),
        ));
    }
    if allocatable("pods").is_some_and(|has| Some(has) < quantity::value(&wanted.cpus.to_string())) {
        let has = status.and_then(|status| status.allocatable.as_ref()?.get("pods")).map_or("", |has| &has.0);
        found.push(Finding::new(diagnosis::NODE_PODS, format!("{name}: CPUs={}, and {has} Pods", wanted.cpus)));
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let bad = |taint: &&Taint| taint.effect == "NoExecute" && !TOLERATED.contains(&taint.key.as_str());
    found.extend(
        taints.iter().filter(bad).map(|taint| Finding::new(diagnosis::NODE_TAINT, format!("{name}: {}", taint.key))),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(change: impl FnOnce(&mut serde_json::Value)) -> Node {
        let mut value = serde_json::json!({
            "metadata": { "name": "node1" },
            "spec": { "taints": [{ "key": TAINT, "effect": "NoExecute" }, { "key": "x", "effect": "NoSchedule" }] },
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "allocatable": { "memory": "8000Mi", "pods": "110" },
            },
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn found(change: impl FnOnce(&mut serde_json::Value)) -> Vec<(&'static str, String)> {
        let line = "NodeName=node1 Arch=x86_64 CoresPerSocket=1 CPUAlloc=0 CPUTot=2 RealMemory=8000 State=IDLE";
        let wanted = wanted(line).unwrap();
        let found = judge(&wanted, &[node(change)]);
        found.into_iter().map(|finding| (finding.kind.id, finding.cause)).collect()
    }

    #[test]
    fn a_node_that_has_what_slurm_gives_out_is_right() {
        assert!(found(|_| {}).is_empty());
        assert_eq!(wanted("no node"), None);
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_with_its_values() {
        let cases: [(&str, serde_json::Value, (&str, &str)); 5] = [
            ("/metadata/name", "other".into(), ("node-absent", "node1")),
            ("/status/conditions/0/status", "False".into(), ("node-not-ready", "node1: no word of its kubelet")),
            (
                "/status/allocatable/memory",
                "7999Mi".into(),
                ("node-memory", "node1: RealMemory=8000M, and 7999Mi for Pods"),
            ),
            ("/status/allocatable/pods", "1".into(), ("node-pods", "node1: CPUs=2, and 1 Pods")),
            ("/spec/taints/0/key", "gone".into(), ("node-taint", "node1: gone")),
        ];
        for (pointer, value, (id, cause)) in cases {
            let told = found(|node| *node.pointer_mut(pointer).unwrap() = value);
            assert_eq!(told, [(id, cause.to_owned())], "{pointer}");
        }
    }
}
