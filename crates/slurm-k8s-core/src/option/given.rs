//! Where an option came from: a message must name what the user wrote.

use std::fmt;

use super::OptionSpec;

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line of sbatch, srun or salloc, or an `#SBATCH` line.
    CommandLine,
    /// The option's variable in the environment.
    Environment,
    /// A profile in the site's config.
    Config,
}

/// An option where it was given; it is printed as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// The option.
    pub option: &'static OptionSpec,
    /// The place.
    pub origin: Origin,
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.option.name == other.option.name && self.origin == other.origin
    }
}

impl Eq for Given {}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::CommandLine => write!(f, "--{}", self.option.name),
            Origin::Environment => f.write_str(self.option.env),
            Origin::Config => f.write_str(self.option.name.trim_start_matches("k8s-")),
        }
    }
}
