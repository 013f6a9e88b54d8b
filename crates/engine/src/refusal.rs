//! The refusals that the engine itself finds reason for.

use slurm_k8s_agent::link::message::{Ids, Refusal, VERSION};
use slurm_k8s_core::message::refuse;

use crate::api::ApiError;
use crate::cgroup::Memory;
use crate::create::CreateError;
use crate::mounts::MountsError;

/// An error with the whole chain of its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
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
    message
}

/// What cannot be made on the node itself.
pub fn on_node(error: &dyn std::error::Error) -> Refusal {
    refuse::node(chain(error))
}

/// A mount of the user's own that cannot be had.
pub fn mounts(error: &MountsError) -> Refusal {
    let cause = chain(error);
    match error {
        MountsError::Node { .. } => refuse::mount(cause),
        MountsError::Silent => refuse::mount_silent(cause),
        MountsError::Changeable { .. } => refuse::mount_place(cause),
        MountsError::NoPlace { .. } => refuse::mount_no_place(cause),
        MountsError::Unreachable { .. } | MountsError::Outside { .. } => refuse::mount_source(cause),
    }
}

/// A Pod that could not be created.
pub fn creation(error: &CreateError) -> Refusal {
    let api = match error {
        CreateError::RunDir(_) => return on_node(error),
        CreateError::NameTaken { .. } => return refuse::name_taken(error),
        CreateError::Api(api) => api,
    };
    let cause = chain(api);
    match api {
        ApiError::Kubeconfig { .. } => refuse::kubeconfig(cause),
        ApiError::Status { code: 403, message, .. } if message.contains("exceeded quota") => refuse::over_quota(cause),
        ApiError::Status { code: 404, message, .. } if message.starts_with("namespaces ") => {
            refuse::no_namespace(cause)
        }
        ApiError::Status { code: 401 | 403, .. } => refuse::denied(cause),
        api if api.retryable() => refuse::api_down(cause),
        _ => refuse::not_created(cause),
    }
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

/// The container runs with another identity than Slurm's.
pub fn identity(slurm: &Ids, container: &Ids) -> Refusal {
    refuse::identity(shown(container), shown(slurm))
}

fn shown(ids: &Ids) -> String {
    let groups: Vec<_> = ids.groups.iter().map(u32::to_string).collect();
    format!("uid {} gid {} groups {}", ids.uid, ids.gid, groups.join(","))
}

/// Shim, agent and engine are of different releases.
pub fn version(theirs: u16) -> Refusal {
    refuse::version(theirs, VERSION)
}
