//! Core's option table, registered with Slurm and read back.

use slurm_k8s_core::option::{JobOptions, OPTIONS, OptionError};
use slurm_spank::{SpankError, SpankHandle, SpankOption};

/// Registers every option; allowed in `slurm_spank_init` only.
pub fn register(spank: &mut SpankHandle) -> Result<(), SpankError> {
    for spec in OPTIONS {
        let mut option = SpankOption::new(spec.name).usage(spec.usage);
        if let Some(value) = spec.value {
            option = option.takes_value(value);
        }
        spank.register_option(option)?;
    }
    Ok(())
}

/// What the user asked for. A job without any of our options costs one look-up per option.
pub fn read(spank: &SpankHandle) -> Result<JobOptions, OptionError> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut options = JobOptions::default();
    for spec in OPTIONS {
        if spank.is_option_set(spec.name) {
            let value = spank.get_option_value_os(spec.name);
            options.set(spec.name, value.as_ref().map(|value| value.as_bytes()))?;
        }
    }
    options.validate()?;
    Ok(options)
}
