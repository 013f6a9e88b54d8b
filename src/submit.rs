//! In srun, sbatch and salloc: what is wrong is said before anything is submitted.

use std::os::unix::ffi::OsStrExt as _;

use slurm_k8s_core::message::refuse;
use slurm_k8s_core::option::{JobOptions, OptionError};
use slurm_k8s_core::template::Template;
use slurm_k8s_core::{policy, profile};
use slurm_spank::{Context, SpankHandle};

use crate::options::{self, Inherited};
use crate::{argv, node, report};

/// Checks the options, and sees to it that they reach the node.
pub fn check(spank: &SpankHandle, inherited: &Inherited) -> Result<(), ()> {
    match options::read(spank, inherited) {
        Ok(options) => {
            allowed(&options)?;
            options::pass_on(spank, &options);
            Ok(())
        }
        // The script's `#K8S_` lines may have one; slurmctld sees them together.
        Err(OptionError::WithoutImage { .. }) if is_sbatch() => {
            let given = options::given(spank).unwrap_or_default();
            options::pass_on(spank, &given);
            Ok(())
        }
        Err(error) => {
            report::message(&error.to_string(), error.hint().as_deref());
            Err(())
        }
    }
}

/// Of the commands that make allocations, this is the one with a script.
fn is_sbatch() -> bool {
    let program = std::fs::read_link("/proc/self/exe").ok();
    program.as_deref().and_then(std::path::Path::file_name).is_some_and(|name| name == "sbatch")
}

/// What the site does not allow is said here, where it is read at once; the node has the last word.
fn allowed(options: &JobOptions) -> Result<(), ()> {
    // Whose job it becomes is not known here (`sbatch --uid`), but root's only if root asks.
    const SOMEBODY: u32 = u32::MAX;
    if !options.wants_pod() {
        return Ok(());
    }
    let Ok(config) = node::config() else {
        return Ok(());
    };
    policy::check(&config, options, SOMEBODY)
        .map_err(|error| report::message(&error.to_string(), Some(&error.hint())))?;
    let (_, template) =
        profile::resolve(&config, options).map_err(|error| report::message(&error.to_string(), Some(&error.hint())))?;
    // The node needs to read it; this host perhaps has none.
    let text = template.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    if let (Some(path), Some(text)) = (template, text)
        && let Err(error) = Template::parse(&text)
    {
        let refusal = refuse::template(path.display(), error);
        report::message(&refusal.message, refusal.hint.as_deref());
        return Err(());
    }
    Ok(())
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
