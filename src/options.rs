//! Core's option table, registered with Slurm and read back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use slurm_k8s_core::option::carried::{FROM_ENVIRONMENT, in_job, of_job, of_step};
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

/// What an `srun` has from the job that it runs in: options by name.
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

    /// An `sbatch` or `salloc` in a job makes a job of its own, whose script has its own lines: what [`pass_on`] has put
    /// into the environment for the surrounding one's steps is taken out. What the user has put there stays.
    pub fn forget() {
        let list = in_job(FROM_ENVIRONMENT);
        let users = std::env::var(&list).unwrap_or_default();
        let mut ours = vec![list];
        for (name, value) in Self::take().0 {
            ours.push(of_step(&name));
            let spec = OPTIONS.iter().find(|spec| names(spec).contains(&name));
            let spec = spec.filter(|spec| users.split(',').all(|user| user != spec.name));
            let variable = spec.filter(|spec| std::env::var_os(spec.env).is_some_and(|now| now == value));
            ours.extend(variable.map(|spec| spec.env.to_owned()));
        }
        for variable in ours {
            // SAFETY: as in `take`.
            unsafe { std::env::remove_var(variable) };
        }
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
    let users = options.of_environment();
    if !users.is_empty()
        && let Err(error) = spank.job_control_setenv(FROM_ENVIRONMENT, users, true)
    {
        log::debug!("{FROM_ENVIRONMENT} is not in the job's SPANK environment: {error}");
    }
}
