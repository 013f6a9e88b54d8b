//! In slurmstepd: the job's folder for what it leaves behind.

use std::error::Error;

use slurm_k8s_core::config::Config;
use slurm_k8s_core::results;
use slurm_k8s_engine::results::{Owner, Place, enqueue, make};
use slurm_spank::SpankHandle;

use crate::step;

/// Makes the folder, before Slurm opens the job's output in it. What hinders that hinders no job: the second is a line that
/// tells the user.
pub fn leave_room(spank: &SpankHandle, config: &Config) -> (Option<Place>, Option<String>) {
    let Some(folder) = config.results.folder.as_deref() else { return (None, None) };
    match leave_room_in(folder, spank) {
        Ok(place) => (Some(place), None),
        Err(error) => (None, Some(warn(&*error))),
    }
}

fn warn(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    log::warn!("{text}");
    text
}

fn leave_room_in(folder: &std::path::Path, spank: &SpankHandle) -> Result<Place, Box<dyn Error>> {
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
    let id = results::id(job, step::array(spank));
    let outputs = make(folder, &id, &owner)?;
    spank.setenv(results::VARIABLE, &outputs, true)?;
    // One node's word is enough; a user could do nothing about it.
    if spank.job_nodeid().is_ok_and(|index| index == 0)
        && let Err(error) = enqueue(folder, &id, &owner)
    {
        warn(&error);
    }
    Ok(Place { folder: folder.join(id), owner })
}

/// The job's, which Slurm sends as octal digits.
fn umask(spank: &SpankHandle) -> u32 {
    step::variable(spank, "SLURM_UMASK").and_then(|text| u32::from_str_radix(&text, 8).ok()).unwrap_or(0o022)
}
