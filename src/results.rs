//! In slurmstepd: the job's folder for what it leaves behind.

use std::error::Error;

use slurm_k8s_core::config::Config;
use slurm_k8s_core::results;
use slurm_k8s_engine::results::{Owner, make};
use slurm_spank::SpankHandle;

use crate::step;

/// Makes the folder, before Slurm opens the job's output in it. What hinders that hinders no job: it is told, in the line
/// that comes back.
pub fn leave_room(spank: &SpankHandle, config: &Config) -> Option<String> {
    let folder = config.results.folder.as_deref()?;
    let error = leave_room_in(folder, spank).err()?;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    log::warn!("{text}");
    Some(text)
}

fn leave_room_in(folder: &std::path::Path, spank: &SpankHandle) -> Result<(), Box<dyn Error>> {
    let owner = Owner {
        uid: spank.job_uid()?,
        gid: spank.job_gid()?,
        groups: spank.job_supplementary_gids()?,
        mode: 0o777 & !umask(spank),
    };
    // In a heterogeneous job each component has a number of its own, and the variable the first one's.
    let variable = |name: &str| step::variable(spank, name);
    let first = variable("SLURM_HET_SIZE").and_then(|_| variable("SLURM_JOB_ID")?.parse().ok());
    let job = first.map_or_else(|| spank.job_id(), Ok)?;
    let outputs = make(folder, &results::id(job, step::array(spank)), &owner)?;
    Ok(spank.setenv(results::VARIABLE, &outputs, true)?)
}

/// The job's, which Slurm sends as octal digits.
fn umask(spank: &SpankHandle) -> u32 {
    step::variable(spank, "SLURM_UMASK").and_then(|text| u32::from_str_radix(&text, 8).ok()).unwrap_or(0o022)
}
