//! What is wrong with an option, and how to mend it.

use super::mount::MountError;
use super::variable::VariableError;
use super::{Given, IMAGE};
use crate::choice::UnknownChoice;
use crate::image::ImageError;
use crate::shown::nearest;

/// An option that cannot be taken. [`OptionError::hint`] says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No such option.
    #[error("there is no option --{name}")]
    Unknown {
        /// What was given.
        name: String,
        /// The option that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The value is missing.
    #[error("{given}: {value} is missing")]
    Missing {
        /// The option.
        given: Given,
        /// What its value is called.
        value: &'static str,
    },
    /// A newline or another control character.
    #[error("{given}: {shown} has a control character")]
    Control {
        /// The option.
        given: Given,
        /// The value, escaped.
        shown: String,
    },
    /// A value that the option does not take.
    #[error("{given}: {shown} {problem}")]
    Value {
        /// The option.
        given: Given,
        /// The value, quoted.
        shown: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Given twice, with two values.
    #[error("{given} is given twice, and the second value {shown} is not the first one")]
    Conflict {
        /// The option.
        given: Given,
        /// The second value, quoted.
        shown: String,
    },
    /// An option that means nothing without an image.
    #[error("{given} needs {}", given.beside(IMAGE))]
    WithoutImage {
        /// The option.
        given: Given,
    },
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not an image reference.
    #[error("is not an image reference: {0}")]
    Image(ImageError),
    /// Not one of the option's words.
    #[error("is {0}")]
    Choice(UnknownChoice),
    /// A folder that is not absolute.
    #[error("is not an absolute path")]
    Relative,
    /// Not a list of mounts.
    #[error("is not a list of mounts: {0}")]
    Mount(MountError),
    /// Not a list of variables.
    #[error("is not a list of variables: {0}")]
    Variable(VariableError),
    /// Not a size.
    #[error("is not a size")]
    Size,
    /// Not a name in Kubernetes.
    #[error("is not a name in Kubernetes")]
    Name,
}

impl OptionError {
    /// The option where it was given; none if there is no such option.
    #[must_use]
    pub fn given(&self) -> Option<Given> {
        match self {
            Self::Unknown { .. } => None,
            Self::Missing { given, .. }
            | Self::Control { given, .. }
            | Self::Value { given, .. }
            | Self::Conflict { given, .. }
            | Self::WithoutImage { given, .. } => Some(*given),
        }
    }

    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => nearest.map(|name| format!("did you mean --{name}?")),
            Self::Missing { given, value } => Some(format!("write {given}={value}")),
            Self::Control { .. } => Some("remove it; is a quote missing in the script?".into()),
            Self::Value { given, shown, problem } => problem.hint(*given, shown),
            Self::Conflict { given, .. } => Some(format!("give {given} once")),
            Self::WithoutImage { given } => Some(format!("add {}=IMAGE, or leave {given} out", given.beside(IMAGE))),
        }
    }
}

impl Problem {
    fn hint(&self, given: Given, shown: &str) -> Option<String> {
        match self {
            Self::Image(reason) => reason.hint(),
            Self::Choice(reason) => {
                let word = shown.trim_matches('"').to_lowercase();
                let near = nearest(&word, reason.allowed.iter().copied())?;
                Some(format!("did you mean {given}={near}?"))
            }
            Self::Relative => Some(format!("write the whole path as the container has it, for example {given}=/data")),
            Self::Mount(_) => Some(format!(
                "write {given}=SRC:DST or SRC:DST:ro, more of them with commas; \\: and \\, stand for themselves"
            )),
            Self::Variable(_) => {
                Some(format!("write {given}=NAME or NAME=VALUE, more of them with commas; \\, stands for a comma"))
            }
            Self::Size => Some(format!("write a number with K, M, G or T, for example {given}=8G")),
            Self::Name => Some("a name has at most 63 of a-z, 0-9 and '-'".into()),
        }
    }
}
