//! What is wrong with a line, and how to mend it.

use super::MOST_DIRECTIVES;

/// A line that was meant to be a directive and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// No such option.
    #[error("there is no #K8S_{key}")]
    Unknown {
        /// What was written, without the mark.
        key: String,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// An option's twin, which is for the command line.
    #[error("there is no #K8S_{key}")]
    Off {
        /// What was written, without the mark.
        key: String,
        /// The option's directive.
        name: &'static str,
    },
    /// Lower case, or a dash.
    #[error("{written} is not read: directives are in upper case, with '_'")]
    Spelling {
        /// What was written.
        written: String,
        /// The directive that was meant.
        name: &'static str,
    },
    /// A blank before or after `#`.
    #[error("{written} is a comment: a directive begins with #K8S_ at the beginning of the line")]
    Comment {
        /// What was written.
        written: String,
        /// The directive that was perhaps meant.
        name: &'static str,
    },
    /// Blanks or a colon instead.
    #[error("#{name} has no '=' right before its value")]
    NoEquals {
        /// The directive.
        name: &'static str,
        /// The value, as it can be written.
        value: String,
    },
    /// Neither.
    #[error("#{name} has no value")]
    NoValue {
        /// The directive.
        name: &'static str,
        /// What its value is called.
        value: &'static str,
    },
    /// A quote without end.
    #[error("#{name}: the quote {quote} has no end in this line")]
    Quote {
        /// The directive.
        name: &'static str,
        /// The quote.
        quote: char,
    },
    /// A `#` right after the value.
    #[error("#{name}: the value ends at '#': it is {value}")]
    Cut {
        /// The directive.
        name: &'static str,
        /// What is before the `#`, quoted.
        value: String,
        /// The rest of the line, as it can be written.
        whole: String,
    },
    /// Something else after the value.
    #[error("#{name}: after the value there is {more}")]
    More {
        /// The directive.
        name: &'static str,
        /// What follows, quoted.
        more: String,
        /// The rest of the line, as it can be written.
        whole: String,
    },
    /// After the first command.
    #[error("#{name} is not read: it stands after the first command, in line {body}")]
    Late {
        /// The directive.
        name: &'static str,
        /// The line of the first command.
        body: usize,
    },
    /// More than anybody needs.
    #[error("the script has more than {MOST_DIRECTIVES} #K8S_ lines")]
    TooMany,
}

impl LineError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(near), .. } => Some(format!("did you mean #K8S_{near}?")),
            Self::Unknown { nearest: None, .. } => {
                Some("`sbatch --help` has the options: --k8s-shm-size is #K8S_SHM_SIZE here".into())
            }
            Self::Off { name, .. } => Some(format!("write #{name}=no")),
            Self::Spelling { name, .. } => Some(format!("write #{name}=…")),
            Self::Comment { name, .. } => Some(format!("if it is meant, write #{name}=…; if not, write ##{name}")),
            Self::NoEquals { name, value } => Some(format!("write #{name}={value}")),
            Self::NoValue { name, value } => Some(format!("write #{name}={value}")),
            Self::Quote { quote, .. } => Some(format!("close it, or write \\{quote} where a quote is meant")),
            Self::Cut { name, whole, .. } => {
                Some(format!("put a blank before a comment, or write #{name}={whole} if '#' is part of the value"))
            }
            Self::More { name, whole, .. } => Some(format!("write #{name}={whole}, or '#' before a comment")),
            Self::Late { body, .. } => Some(format!("move it up, before line {body}")),
            Self::TooMany => None,
        }
    }
}
