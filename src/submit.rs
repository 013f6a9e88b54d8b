//! In srun, sbatch and salloc: what is wrong is said before anything is submitted.

use std::os::unix::ffi::OsStrExt as _;

use slurm_spank::{Context, SpankHandle};

use crate::options::{self, Inherited};
use crate::{argv, node, report};

/// Checks the options, and sees to it that they reach the node.
pub fn check(spank: &SpankHandle, inherited: &Inherited) -> Result<(), ()> {
    match options::read(spank, inherited) {
        Ok(options) => {
            options::pass_on(spank, &options);
            Ok(())
        }
        Err(error) => {
            report::message(&error.to_string(), error.hint().as_deref());
            Err(())
        }
    }
}

/// Just before srun launches the step: the command must be the image's, and reach the node through the shim.
pub fn before_launch(spank: &SpankHandle, inherited: &Inherited) {
    let wanted = options::read(spank, inherited).is_ok_and(|options| options.wants_pod());
    if wanted && spank.context().ok() == Some(Context::Local) {
        // A config that cannot be read is the node's to refuse.
        let shim = node::config().map(|config| config.paths).unwrap_or_default().agent();
        argv::prepare_launch(shim.as_os_str().as_bytes());
    }
}
