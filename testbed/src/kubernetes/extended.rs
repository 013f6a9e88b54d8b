//! GPUs and network cards that no node has: extended resources without a device plugin behind them. A kubelet that starts
//! anew forgets them.

use super::kubectl;
use crate::command::CommandError;
use crate::host::Host;
use crate::slurm::configuration::{GPUS, NICS};
use serde_json::{Value, json};

/// What a node has of each resource.
const RESOURCES: [(&str, usize); 2] = [("nvidia.com/gpu", GPUS), ("example.com/nic", NICS)];

/// Sees to it that every node has as many as in Slurm.
pub fn bring_up(nodes: &[Host]) -> Result<(), CommandError> {
    let counts: Value =
        RESOURCES.map(|(name, count)| (name.to_owned(), json!(count.to_string()))).into_iter().collect();
    for node in nodes {
        let shown = kubectl(&["get", "node", node.name, "--output=jsonpath={.status.allocatable}"])?;
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        if RESOURCES.iter().all(|(name, _)| shown.get(name) == counts.get(name)) {
            continue;
        }
        let patch = json!({ "status": { "capacity": counts, "allocatable": counts } });
        kubectl(&["patch", "node", node.name, "--subresource=status", "--type=merge", "--patch", &patch.to_string()])?;
    }
    Ok(())
}
