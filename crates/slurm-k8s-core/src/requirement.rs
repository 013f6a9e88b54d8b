//! What a site asks of each job of a Pod (`submit.require`).

use crate::config::{Config, Requirement};

/// Something that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has no --{0}, which this site asks for")]
pub struct Missing(pub Requirement);

impl Missing {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(self) -> String {
        let Self(what) = self;
        let example = match what {
            Requirement::CpusPerTask => "4",
            Requirement::Memory => "4G",
            Requirement::Output => "job-%j.out",
            Requirement::Account | Requirement::Partition => "NAME",
            Requirement::Time => "01:00:00",
        };
        format!("write #SBATCH --{what}={example} into the script, or --{what}={example} on the command line")
    }
}

/// The first thing that is missing, in the order of the config.
pub fn check(config: &Config, has: impl Fn(Requirement) -> bool) -> Result<(), Missing> {
    config.submit.require.iter().find(|what| !has(**what)).map_or(Ok(()), |what| Err(Missing(*what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        let config = Config::parse("submit.require = ['time', 'mem']").unwrap();
        assert_eq!(check(&config, |_| true), Ok(()));
        let missing = check(&config, |what| what == Requirement::Time).unwrap_err();
        assert_eq!(missing.to_string(), "the job has no --mem, which this site asks for");
        let hint = "write #SBATCH --mem=4G into the script, or --mem=4G on the command line";
        assert_eq!(missing.hint(), hint);
        assert!(Config::parse("submit.require = ['memory']").is_err());
    }
}
