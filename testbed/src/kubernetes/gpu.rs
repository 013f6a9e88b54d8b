//! GPUs that no node has: an extended resource without a device plugin behind it. A kubelet that starts anew forgets it.

use super::kubectl;
use crate::command::CommandError;
use crate::host::Host;
use crate::slurm::configuration::GPUS;
use serde_json::json;

/// The resource.
const RESOURCE: &str = "nvidia.com/gpu";

/// Sees to it that every node has as many as in Slurm.
pub fn bring_up(nodes: &[Host]) -> Result<(), CommandError> {
    let count = GPUS.to_string();
    for node in nodes {
        let shown = "jsonpath={.status.allocatable['nvidia\\.com/gpu']}";
        if kubectl(&["get", "node", node.name, "--output", shown])?.trim() == count {
            continue;
        }
        let patch = json!({ "status": { "capacity": { RESOURCE: count }, "allocatable": { RESOURCE: count } } });
        kubectl(&["patch", "node", node.name, "--subresource=status", "--type=merge", "--patch", &patch.to_string()])?;
    }
    Ok(())
}
