//! Core's option table, registered with Slurm and read back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use slurm_k8s_core::option::carried::{of_job, of_step};
use slurm_k8s_core::option::{JobOptions, Kind, OPTIONS, OptionError, OptionSpec, Origin, Value};
use slurm_spank::{SpankError, SpankHandle, SpankOption};

/// Registers every option; allowed in `slurm_spank_init` only.
pub fn register(spank: &mut SpankHandle) -> Result<(), SpankError> {
    for spec in OPTIONS {
        let mut option = SpankOption::new(spec.name).usage(spec.usage);
        if let Some(value) = spec.value {
            option = option.takes_value(value);
        }
        spank.register_option(option)?;
        if spec.kind == Kind::Switch {
            spank.register_option(SpankOption::new(&twin(spec)).usage(&format!("switches --{} off", spec.name)))?;
        }
    }
    Ok(())
}

/// The name that switches an option off.
fn twin(spec: &OptionSpec) -> String {
    format!("no-{}", spec.name)
}

/// The names under which Slurm knows an option.
fn names(spec: &OptionSpec) -> Vec<String> {
    let twin = (spec.kind == Kind::Switch).then(|| twin(spec));
    std::iter::once(spec.name.to_owned()).chain(twin).collect()
}

/// What an `srun`, or an `sbatch` in a job, has from the job that it runs in: options by name.
#[derive(Default)]
pub struct Inherited(Vec<(String, OsString)>);

impl Inherited {
    /// Takes it out of this client's environment. Left there, Slurm would take it for options of the command line
    /// (`spank_process_env_options`), which beat the environment.
    pub fn take() -> Self {
        let take = |name: String| {
            let variable = of_job(&name);
            let value = std::env::var_os(&variable)?;
            // SAFETY: in slurm_spank_init of srun, sbatch and salloc; as in `pass_on`.
            unsafe { std::env::remove_var(variable) };
            Some((name, value))
        };
        Self(OPTIONS.iter().flat_map(names).filter_map(take).collect())
    }

    /// On the node it is in the step's environment.
    fn on_node(spank: &SpankHandle) -> Self {
        let find = |name: String| {
            let value = spank.getenv_os(of_job(&name)).ok()??;
            Some((name, value))
        };
        Self(OPTIONS.iter().flat_map(names).filter_map(find).collect())
    }
}

/// What the user asked for. The command line beats the environment, and that beats what is inherited.
pub fn read(spank: &SpankHandle, inherited: &Inherited) -> Result<JobOptions, OptionError> {
    layered(spank, inherited, |name| std::env::var_os(name))
}

/// The same in slurmstepd.
pub fn read_on_node(spank: &SpankHandle) -> Result<JobOptions, OptionError> {
    layered(spank, &Inherited::on_node(spank), |name| spank.getenv_os(name).ok().flatten())
}

/// What stands on the command line alone.
pub fn given(spank: &SpankHandle) -> Result<JobOptions, OptionError> {
    let mut given = JobOptions::default();
    for name in OPTIONS.iter().flat_map(names).filter(|name| spank.is_option_set(name)) {
        let value = spank.get_option_value_os(&name);
        given.set(Origin::CommandLine, &name, value.as_ref().map(|value| value.as_bytes()))?;
    }
    Ok(given)
}

fn layered(
    spank: &SpankHandle,
    inherited: &Inherited,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<JobOptions, OptionError> {
    let given = given(spank)?;
    let mut below = JobOptions::default();
    for (name, value) in &inherited.0 {
        below.set(Origin::CommandLine, name, Some(value.as_bytes()))?;
    }
    JobOptions::layered(&given, below, variable)
}

/// Writes what holds where the node and the job's own commands find it, whatever `--export` or `--export-file` say:
/// as a SPANK option, in the job's SPANK environment, and as `SLURM_*` variables.
pub fn pass_on(spank: &SpankHandle, options: &JobOptions) {
    for (spec, value) in options.values() {
        let name = if *value == Value::Switch(false) { twin(spec) } else { spec.name.to_owned() };
        let value = value.written();
        for variable in [of_step(&name), of_job(&name), spec.env.to_owned()] {
            // SAFETY: in slurm_spank_init_post_opt of srun, sbatch and salloc. Slurm itself changes the environment
            // right before it calls this hook (`spank_init_post_opt`), so none of its threads reads it now.
            unsafe { std::env::set_var(variable, &value) };
        }
        if let Err(error) = spank.job_control_setenv(of_step(&name), &value, true) {
            log::debug!("--{name} is not in the job's SPANK environment: {error}");
        }
    }
}
