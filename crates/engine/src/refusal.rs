//! The refusals that the engine itself finds reason for.

use slurm_k8s_agent::link::message::{Ids, Refusal, VERSION};
use slurm_k8s_core::exit_code;

use crate::cgroup::Memory;
use crate::mounts::MountsError;

fn refusal(code: u8, message: String, hint: Option<&str>) -> Refusal {
    Refusal { code, message, hint: hint.map(str::to_owned) }
}

/// A final refusal with the whole chain of an error's causes.
pub fn because(code: u8, error: &dyn std::error::Error, hint: Option<&str>) -> Refusal {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries name their cause again, a page about it, or the number of the kernel's word.
        let text = text.split(": https://").next().and_then(|text| text.split(" (os error").next()).unwrap_or_default();
        let repeats = error.source().is_some_and(|cause| text.contains(&cause.to_string()));
        if !repeats && !message.contains(text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    refusal(code, message, hint)
}

/// A mount of the user's own that cannot be had.
pub fn mounts(error: &MountsError) -> Refusal {
    match error {
        MountsError::Node { .. } => {
            because(exit_code::SITE, error, Some("ask the site's admin: this node cannot mount"))
        }
        MountsError::Silent => {
            because(exit_code::SITE, error, Some("a shared file system hangs on this node; ask the site's admin"))
        }
        MountsError::Changeable { .. } => {
            because(exit_code::OPTION, error, Some("mount it at a path outside of the site's shared file systems"))
        }
        MountsError::NoPlace { .. } => {
            because(exit_code::OPTION, error, Some("make it first, or mount somewhere else"))
        }
        MountsError::Unreachable { .. } | MountsError::Outside { .. } => {
            because(exit_code::OPTION, error, Some("name a folder or file that you can reach on the node yourself"))
        }
    }
}

/// The container ended and nobody knows how.
pub fn lost() -> Refusal {
    refusal(
        exit_code::LOST,
        "the link to the Pod ended without a status; how the command ended is not known".into(),
        Some("`kubectl describe pod` and the kubelet's log may tell; the job can be submitted again"),
    )
}

/// The kernel has killed a process of the job for want of memory: what is said besides Slurm's own "Killed".
pub fn out_of_memory(memory: &Memory) -> [String; 2] {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{bytes} bytes"));
    let (limit, peak) = (bytes(memory.limit), bytes(memory.peak));
    [
        format!("out of memory: the kernel killed a process of the job (limit: {limit}, peak: {peak})"),
        "hint: ask Slurm for more with --mem, or let the program use less".to_owned(),
    ]
}

/// The Pod did not start in time; `seen` is what hindered it last.
pub fn start_timeout(seen: &str) -> Refusal {
    refusal(
        exit_code::NOT_STARTED,
        format!("the Pod did not start in time: {seen}"),
        Some("`kubectl get events -n slurm-jobs` tells what it waits for; the limit is start_timeout in k8s.toml"),
    )
}

/// The step's first node has no Pod that could be met.
pub fn no_meeting(name: &str) -> Refusal {
    refusal(
        exit_code::NOT_STARTED,
        format!("the Pod {name} on the step's first node has got no address in time; the tasks cannot meet there"),
        Some("look at the tasks on that node; the limit is start_timeout in k8s.toml"),
    )
}

/// The container runs with another identity than Slurm's.
pub fn identity(slurm: &Ids, container: &Ids) -> Refusal {
    refusal(
        exit_code::NOT_STARTED,
        format!("the container runs as {}, but Slurm's job as {}", shown(container), shown(slurm)),
        Some(
            "with kubernetes.way = \"runtime\", the RuntimeClass must use slurm-k8s-runtime on this node; with \"host-path\", the image's /etc/group may have no more groups for the user",
        ),
    )
}

fn shown(ids: &Ids) -> String {
    let groups: Vec<_> = ids.groups.iter().map(u32::to_string).collect();
    format!("uid {} gid {} groups {}", ids.uid, ids.gid, groups.join(","))
}

/// Shim, agent and engine are of different releases.
pub fn version(theirs: u16) -> Refusal {
    refusal(
        exit_code::SITE,
        format!("this node's slurm-k8s-agent speaks version {theirs} of the link, its plugin version {VERSION}"),
        Some("install one release of spank-k8s on the node"),
    )
}

/// The token is wrong.
pub fn door() -> Refusal {
    refusal(exit_code::LOST, "the link refused this process".into(), None)
}

/// One of the user's own ends of the link does not keep to it.
pub fn protocol(end: &str) -> Refusal {
    refusal(
        exit_code::LOST,
        format!("{end} has broken the protocol of the link; how the command ended is not known"),
        Some("a process of the job has changed it, or the node has parts of two releases; slurmd.log says more"),
    )
}
