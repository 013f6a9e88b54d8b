//! In srun, sbatch and salloc: what is wrong is said before anything is submitted.

use slurm_spank::{Context, SpankHandle};

use crate::{argv, options, report};

/// Checks the options.
pub fn check(spank: &SpankHandle) -> Result<(), ()> {
    match options::read(spank) {
        Ok(_) => Ok(()),
        Err(error) => {
            report::message(&error.to_string(), error.hint().as_deref());
            Err(())
        }
    }
}

/// Just before srun launches the step: srun has looked the command up on this host, but it is the image's that
/// counts, so the bare name goes back in.
pub fn before_launch(spank: &SpankHandle) -> Result<(), ()> {
    let wanted = options::read(spank).is_ok_and(|options| options.wants_pod());
    if !wanted || spank.context().ok() != Some(Context::Local) {
        return Ok(());
    }
    let Some(typed) = argv::typed() else {
        return Ok(());
    };
    if typed.multi_prog && !argv::can_prepend() {
        report::message(
            "--multi-prog cannot run in a Pod on this version of Slurm",
            Some("start one step per program, or use Slurm 23.11 or newer"),
        );
        return Err(());
    }
    argv::restore_command(&typed);
    Ok(())
}
