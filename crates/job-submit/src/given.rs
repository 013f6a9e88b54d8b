//! The options of a job, where Slurm carries them: read from a job that is submitted, and written back.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use slurm_k8s_core::option::carried::{self, FROM_ENVIRONMENT, in_job, of_job, of_step};
use slurm_k8s_core::option::{JobOptions, OptionError, Origin, Value};
use slurm_k8s_slurm_sys::job_desc::JobDesc;

/// What the submitting command was given: its plugin has put it into the job's SPANK environment, and Slurm itself into
/// that of a batch script.
pub fn read(job: &JobDesc<'_>) -> Result<JobOptions, OptionError> {
    let mut options = JobOptions::default();
    for (name, value) in job.spank_environment().chain(job.environment()).filter_map(split) {
        let Some(name) = carried::option(name) else { continue };
        match options.set(Origin::CommandLine, &name, Some(value)) {
            // One that a newer plugin knows is the node's to judge. The second place of a value is no second value.
            Ok(()) | Err(OptionError::Unknown { .. } | OptionError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(options)
}

/// A variable of the batch script's environment.
pub fn variable(job: &JobDesc<'_>, name: &str) -> Option<OsString> {
    let value = job.environment().find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(OsStr::from_bytes(value).to_owned())
}

/// Writes what holds where the node and the script's own commands find it, as the plugin in sbatch does
/// (`options::pass_on`). False if a value cannot be written, which it can, since it was read from such a place or from
/// a script.
pub fn write(job: &mut JobDesc<'_>, options: &JobOptions) -> bool {
    options.values().all(|(spec, value)| {
        let name = if *value == Value::Switch(false) { format!("no-{}", spec.name) } else { spec.name.to_owned() };
        let value = value.written();
        let value = value.as_bytes();
        let everywhere = [of_step(&name), of_job(&name), spec.env.to_owned()];
        everywhere.iter().all(|variable| job.set_variable(variable, value))
            && job.set_spank_variable(&of_step(&name), value)
    }) && {
        // sbatch's plugin knows which of those that it was given are the environment's.
        let (users, list) = (options.of_environment(), in_job(FROM_ENVIRONMENT));
        users.is_empty() || variable(job, &list).is_some() || job.set_variable(&list, users.as_bytes())
    }
}

fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    Some((entry.get(..at)?, entry.get(at + 1..)?))
}
