//! What a job asks Slurm for.

use slurm_k8s_core::config::Requirement;
use slurm_k8s_core::gres;
use slurm_k8s_core::limit::Amount;
use slurm_k8s_slurm_sys::job_desc::{JobDesc, Memory};

/// On each of its nodes, as far as the job itself says it: what Slurm's own defaults add is known on the node.
pub fn of(job: &JobDesc<'_>) -> Amount {
    let nodes = u64::from(job.nodes().unwrap_or(1));
    let tasks = u64::from(job.tasks().unwrap_or(1)).div_ceil(nodes);
    let tasks = job.tasks_per_node().map_or(tasks, u64::from);
    let cpus = tasks.saturating_mul(job.cpus_per_task().unwrap_or(1).into());
    let cpus = cpus.max(u64::from(job.cpus().unwrap_or(1)).div_ceil(nodes));
    let mib = match job.memory() {
        // 0 is all that the node has.
        None | Some(Memory::Node(0)) => None,
        Some(Memory::Node(mib)) => Some(mib),
        Some(Memory::Cpu(mib)) => Some(mib.saturating_mul(cpus)),
    };
    let [of_job, of_node, of_socket, of_task] = job.gres().map(|text| gres::asked(text.unwrap_or_default()));
    let gpus = of_node.max(of_job.div_ceil(nodes)).max(of_socket).max(of_task.saturating_mul(tasks));
    Amount { cpus: Some(cpus), memory: mib.map(|mib| mib.saturating_mul(1 << 20)), gpus: Some(gpus) }
}

/// Whether the job asks for it.
pub fn has(job: &JobDesc<'_>, what: Requirement) -> bool {
    match what {
        Requirement::Account => job.account().is_some(),
        Requirement::CpusPerTask => job.cpus_per_task().is_some() || job.cpus_per_gres().is_some(),
        Requirement::Memory => job.memory().is_some() || job.memory_per_gres().is_some(),
        // srun and salloc keep their output where they are.
        Requirement::Output => job.output().is_some() || job.script().is_none(),
        Requirement::Partition => job.partition().is_some(),
        Requirement::Time => job.minutes().is_some(),
    }
}
