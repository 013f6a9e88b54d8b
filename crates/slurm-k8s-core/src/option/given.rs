//! Where an option came from: a message must name what the user wrote.

use std::fmt;

use super::{OptionSpec, find};
use crate::Place;

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line of sbatch, srun or salloc, or an `#SBATCH` line that sbatch has read.
    CommandLine,
    /// An `#SBATCH` line that we have read.
    Sbatch(Place),
    /// A `#K8S_` line.
    Script(Place),
    /// The option's variable in the environment.
    Environment,
    /// A profile in the site's config.
    Config,
}

impl Origin {
    /// The place in the script.
    #[must_use]
    pub fn place(self) -> Option<Place> {
        match self {
            Self::Sbatch(place) | Self::Script(place) => Some(place),
            Self::CommandLine | Self::Environment | Self::Config => None,
        }
    }
}

/// An option where it was given; it is printed as it was written, without the line.
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

impl Given {
    /// Another option, spelt for the same place.
    #[must_use]
    pub fn beside(self, name: &str) -> Self {
        Self { option: find(name).map_or(self.option, |(option, _)| option), ..self }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::CommandLine | Origin::Sbatch(_) => write!(f, "--{}", self.option.name),
            Origin::Script(_) => write!(f, "#{}", self.option.directive()),
            Origin::Environment => f.write_str(self.option.env),
            Origin::Config => f.write_str(self.option.name.trim_start_matches("k8s-")),
        }
    }
}
