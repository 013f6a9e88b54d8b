//! The names under which Slurm carries an option: to slurmstepd, and to the job's own commands (spank(8)).

/// What stands in front of an option of this plugin's.
const STEP: &str = "_SLURM_SPANK_OPTION_k8s_";

/// A job's SPANK variable that names those of its options that came from the user's environment, with commas.
pub const FROM_ENVIRONMENT: &str = "K8S_FROM_ENVIRONMENT";

/// The variable in which Slurm sends an option to slurmstepd.
#[must_use]
pub fn of_step(name: &str) -> String {
    format!("{STEP}{}", name.replace('-', "_"))
}

/// The variable in which Slurm gives an option of sbatch and salloc to the job.
#[must_use]
pub fn of_job(name: &str) -> String {
    in_job(&of_step(name))
}

/// The name that a job's SPANK variable has in the environment of its commands.
#[must_use]
pub fn in_job(variable: &str) -> String {
    format!("SLURM_SPANK_{variable}")
}

/// The option's name in a variable of [`of_step`].
#[must_use]
pub fn option(variable: &[u8]) -> Option<String> {
    let name = variable.strip_prefix(STEP.as_bytes())?;
    Some(String::from_utf8_lossy(name).replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::OPTIONS;

    #[test]
    fn each_option_comes_back_from_its_variable() {
        assert_eq!(of_job("k8s-image"), "SLURM_SPANK__SLURM_SPANK_OPTION_k8s_k8s_image");
        for spec in OPTIONS {
            assert_eq!(option(of_step(spec.name).as_bytes()).as_deref(), Some(spec.name));
        }
        assert_eq!(option(b"SLURM_K8S_IMAGE"), None);
    }
}
