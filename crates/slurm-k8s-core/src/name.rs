//! Names of Pods and steps.

/// The prefix of every Pod's name.
pub const PREFIX: &str = "slurm-job-";
/// Slurm's step id of the batch script.
pub const BATCH_STEP: u32 = 0xffff_fffb;
/// Slurm's step id of salloc's shell on the node.
pub const INTERACTIVE_STEP: u32 = 0xffff_fffa;
/// Slurm's step id of the step that adopts foreign processes.
pub const EXTERN_STEP: u32 = 0xffff_fffc;

/// The Pod's name: `slurm-job-<job>` for the batch script, `slurm-job-<job>-<step>-<node index>` for others.
///
/// Het components and requeued jobs can meet a Pod that has the name already: [`variant`].
#[must_use]
pub fn pod(job_id: u32, step_id: u32, node_index: u32) -> String {
    match step_id {
        BATCH_STEP => format!("{PREFIX}{job_id}"),
        _ => format!("{PREFIX}{job_id}-{}-{node_index}", step_label(step_id)),
    }
}

/// The `n`th other name for a Pod whose name another Pod has. `n` counts from 1.
#[must_use]
pub fn variant(name: &str, n: u32) -> String {
    // The letter keeps it apart from the names of steps.
    format!("{name}-r{n}")
}

/// A step as Slurm's commands write it: `7.batch`, `7.0`.
#[must_use]
pub fn step(job_id: u32, step_id: u32) -> String {
    format!("{job_id}.{}", step_label(step_id))
}

/// A step's id as Slurm's commands write it: `batch`, `0`.
#[must_use]
pub fn step_label(step_id: u32) -> String {
    match step_id {
        BATCH_STEP => "batch".to_owned(),
        INTERACTIVE_STEP => "interactive".to_owned(),
        EXTERN_STEP => "extern".to_owned(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_steps() {
        assert_eq!(pod(42, BATCH_STEP, 0), "slurm-job-42");
        assert_eq!(pod(42, 0, 1), "slurm-job-42-0-1");
        assert_eq!(pod(42, INTERACTIVE_STEP, 0), "slurm-job-42-interactive-0");
        assert_eq!(pod(u32::MAX, 4_294_967_280, u32::MAX).len(), 42);
        assert_eq!(step(42, BATCH_STEP), "42.batch");
        assert_eq!(step(42, 3), "42.3");
    }

    #[test]
    fn a_variant_is_no_other_steps_name() {
        assert_eq!(variant(&pod(42, BATCH_STEP, 0), 1), "slurm-job-42-r1");
        assert_eq!(variant(&pod(42, 0, 1), 2), "slurm-job-42-0-1-r2");
    }
}
