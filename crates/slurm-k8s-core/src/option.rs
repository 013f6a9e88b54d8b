//! The user's options: what they are called, and what their values mean.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use crate::choice::UnknownChoice;
pub use crate::choice::{Batch, Io, Pull};
use crate::image::{ImageError, ImageRef};
use crate::shown::{nearest, quoted};

mod table;

pub use table::{BATCH, IMAGE, IO, OPTIONS, OptionSpec, PULL, WORKDIR};

/// The word for `--k8s-image` that switches off an inherited one.
pub const NO_IMAGE: &str = "none";

/// The options of one job or step; none is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobOptions {
    /// `--k8s-image`.
    pub image: Option<ImageRef>,
    /// `--k8s-image=none` was given: no Pod, whatever was inherited.
    pub no_image: bool,
    /// `--k8s-workdir`: absolute, in the container; bytes, not text.
    pub workdir: Option<PathBuf>,
    /// `--k8s-io`.
    pub io: Option<Io>,
    /// `--k8s-pull`.
    pub pull: Option<Pull>,
    /// `--k8s-batch`.
    pub batch: Option<Batch>,
}

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
    #[error("--{name}: {value} is missing")]
    Missing {
        /// The option.
        name: &'static str,
        /// What its value is called.
        value: &'static str,
    },
    /// A newline or another control character.
    #[error("--{name}: {shown} has a control character")]
    Control {
        /// The option.
        name: &'static str,
        /// The value, escaped.
        shown: String,
    },
    /// Not an image reference.
    #[error("--{name}: {shown} is not an image reference: {reason}")]
    Image {
        /// The option.
        name: &'static str,
        /// The value.
        shown: String,
        /// The part that is wrong.
        reason: ImageError,
    },
    /// Not one of the option's words.
    #[error("--{name}: {shown} is {reason}")]
    Choice {
        /// The option.
        name: &'static str,
        /// The value.
        shown: String,
        /// The allowed words.
        reason: UnknownChoice,
    },
    /// The working directory is relative.
    #[error("--{name}: {shown} is not an absolute path")]
    Relative {
        /// The option.
        name: &'static str,
        /// The value.
        shown: String,
    },
    /// Given twice, with two values.
    #[error("--{name} is given twice, and the second value {shown} is not the first one")]
    Conflict {
        /// The option.
        name: &'static str,
        /// The second value.
        shown: String,
    },
    /// An option that means nothing without an image.
    #[error("--{name} needs --{IMAGE}")]
    WithoutImage {
        /// The option.
        name: &'static str,
    },
}

impl OptionError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => nearest.map(|name| format!("did you mean --{name}?")),
            Self::Missing { name, value } => Some(format!("write --{name}={value}")),
            Self::Control { .. } => Some("remove it; is a quote missing in the script?".into()),
            Self::Image { reason, .. } => reason.hint(),
            Self::Choice { name, shown, reason } => {
                let word = shown.trim_matches('"').to_lowercase();
                let near = nearest(&word, reason.allowed.iter().copied())?;
                Some(format!("did you mean --{name}={near}?"))
            }
            Self::Relative { name, .. } => {
                Some(format!("write the folder as the container has it, for example --{name}=/data"))
            }
            Self::Conflict { name, .. } => Some(format!("give --{name} once")),
            Self::WithoutImage { name } => Some(format!("add --{IMAGE}=IMAGE, or leave --{name} out")),
        }
    }
}

impl JobOptions {
    /// Takes one option by its name, without dashes. The same value again is fine, another one is an error; values
    /// from elsewhere (environment, script) are parsed apart and put below these with [`JobOptions::over`].
    pub fn set(&mut self, name: &str, value: Option<&[u8]>) -> Result<(), OptionError> {
        let spec = table::find(name).ok_or_else(|| OptionError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, OPTIONS.iter().map(|spec| spec.name)),
        })?;
        let name = spec.name;
        let value = value.filter(|value| !value.is_empty());
        let missing = OptionError::Missing { name, value: spec.value.unwrap_or("VALUE") };
        let value = value.ok_or(missing)?;
        let shown = quoted(value);
        if value.iter().any(u8::is_ascii_control) {
            return Err(OptionError::Control { name, shown });
        }
        let conflict = OptionError::Conflict { name, shown: shown.clone() };
        let kept = match name {
            IMAGE => return self.set_image(value, shown, conflict),
            WORKDIR if !value.starts_with(b"/") => {
                return Err(OptionError::Relative { name, shown });
            }
            WORKDIR => keep(&mut self.workdir, PathBuf::from(OsString::from_vec(value.to_vec()))),
            IO => keep(&mut self.io, choice(name, value, shown)?),
            PULL => keep(&mut self.pull, choice(name, value, shown)?),
            _ => keep(&mut self.batch, choice(name, value, shown)?),
        };
        if kept { Ok(()) } else { Err(conflict) }
    }

    fn set_image(&mut self, value: &[u8], shown: String, conflict: OptionError) -> Result<(), OptionError> {
        let image = if value == NO_IMAGE.as_bytes() {
            None
        } else {
            let text = String::from_utf8_lossy(value);
            let parsed = text.parse::<ImageRef>();
            Some(parsed.map_err(|reason| OptionError::Image { name: IMAGE, shown, reason })?)
        };
        let given = self.no_image || self.image.is_some();
        if given && self.image != image {
            return Err(conflict);
        }
        self.no_image = image.is_none();
        self.image = image;
        Ok(())
    }

    /// These options, and for those not given the ones of `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        let given = self.no_image || self.image.is_some();
        let (image, no_image) = if given { (self.image, self.no_image) } else { (lower.image, lower.no_image) };
        Self {
            image,
            no_image,
            workdir: self.workdir.or(lower.workdir),
            io: self.io.or(lower.io),
            pull: self.pull.or(lower.pull),
            batch: self.batch.or(lower.batch),
        }
    }

    /// Checks what only all the options together tell.
    pub fn validate(&self) -> Result<(), OptionError> {
        // Beside `none` the others are what was inherited with the image that it switches off.
        if self.image.is_some() || self.no_image {
            return Ok(());
        }
        let given = [
            (WORKDIR, self.workdir.is_some()),
            (IO, self.io.is_some()),
            (PULL, self.pull.is_some()),
            (BATCH, self.batch.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(OptionError::WithoutImage { name }),
            None => Ok(()),
        }
    }

    /// Whether there is an image, so that processes run in a Pod. A batch script also needs [`Batch::Pod`].
    #[must_use]
    pub fn wants_pod(&self) -> bool {
        self.image.is_some()
    }
}

/// Stores a first or an equal value; false is another one.
fn keep<T: PartialEq>(slot: &mut Option<T>, value: T) -> bool {
    slot.as_ref().is_none_or(|old| *old == value) && {
        *slot = Some(value);
        true
    }
}

fn choice<T>(name: &'static str, value: &[u8], shown: String) -> Result<T, OptionError>
where
    T: FromStr<Err = UnknownChoice>,
{
    String::from_utf8_lossy(value).parse().map_err(|reason| OptionError::Choice { name, shown, reason })
}

#[cfg(test)]
mod tests;
