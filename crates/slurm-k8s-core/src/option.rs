//! The user's options: what they are called, and what their values mean.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::str::FromStr;

use crate::choice::UnknownChoice;
pub use crate::choice::{Batch, Io, Pull};
use crate::image::{ImageError, ImageRef};
use crate::shown::{nearest, quoted};

mod given;
mod table;

pub use given::{Given, Origin};
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
    /// Not an image reference.
    #[error("{given}: {shown} is not an image reference: {reason}")]
    Image {
        /// The option.
        given: Given,
        /// The value.
        shown: String,
        /// The part that is wrong.
        reason: ImageError,
    },
    /// Not one of the option's words.
    #[error("{given}: {shown} is {reason}")]
    Choice {
        /// The option.
        given: Given,
        /// The value.
        shown: String,
        /// The allowed words.
        reason: UnknownChoice,
    },
    /// The working directory is relative.
    #[error("{given}: {shown} is not an absolute path")]
    Relative {
        /// The option.
        given: Given,
        /// The value.
        shown: String,
    },
    /// Given twice, with two values.
    #[error("{given} is given twice, and the second value {shown} is not the first one")]
    Conflict {
        /// The option.
        given: Given,
        /// The second value.
        shown: String,
    },
    /// An option that means nothing without an image.
    #[error("{given} needs --{IMAGE}")]
    WithoutImage {
        /// The option.
        given: Given,
    },
}

impl OptionError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => nearest.map(|name| format!("did you mean --{name}?")),
            Self::Missing { given, value } => Some(format!("write {given}={value}")),
            Self::Control { .. } => Some("remove it; is a quote missing in the script?".into()),
            Self::Image { reason, .. } => reason.hint(),
            Self::Choice { given, shown, reason } => {
                let word = shown.trim_matches('"').to_lowercase();
                let near = nearest(&word, reason.allowed.iter().copied())?;
                Some(format!("did you mean {given}={near}?"))
            }
            Self::Relative { given, .. } => {
                Some(format!("write the folder as the container has it, for example {given}=/data"))
            }
            Self::Conflict { given, .. } => Some(format!("give {given} once")),
            Self::WithoutImage { given } => Some(format!("add --{IMAGE}=IMAGE, or leave {given} out")),
        }
    }
}

impl JobOptions {
    /// Takes one option by its name, without dashes. The same value again is fine, another one is an error; values
    /// from elsewhere (environment, script) are taken apart and put below these with [`JobOptions::over`].
    pub fn set(&mut self, origin: Origin, name: &str, value: Option<&[u8]>) -> Result<(), OptionError> {
        let spec = table::find(name).ok_or_else(|| OptionError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, OPTIONS.iter().map(|spec| spec.name)),
        })?;
        let given = Given { option: spec, origin };
        let value = value.filter(|value| !value.is_empty());
        let missing = OptionError::Missing { given, value: spec.value.unwrap_or("VALUE") };
        let value = value.ok_or(missing)?;
        let shown = quoted(value);
        if value.iter().any(u8::is_ascii_control) {
            return Err(OptionError::Control { given, shown });
        }
        let kept = match spec.name {
            IMAGE => self.set_image(value, given)?,
            WORKDIR if !value.starts_with(b"/") => {
                return Err(OptionError::Relative { given, shown });
            }
            WORKDIR => keep(&mut self.workdir, PathBuf::from(OsString::from_vec(value.to_vec()))),
            IO => keep(&mut self.io, choice(given, value)?),
            PULL => keep(&mut self.pull, choice(given, value)?),
            _ => keep(&mut self.batch, choice(given, value)?),
        };
        if kept { Ok(()) } else { Err(OptionError::Conflict { given, shown }) }
    }

    /// What holds: `given` on the command line, else the environment, else what the command `inherited` from its job.
    /// Without an image in any of them the environment's other options lie idle, right or wrong.
    pub fn layered(
        given: &Self,
        inherited: Self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, OptionError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let image = table::find(IMAGE).is_some_and(|spec| variable(spec.env).is_some());
        if given.no_image || !(image || given.wants_pod() || inherited.wants_pod()) {
            given.validate()?;
            return Ok(given.clone().over(inherited));
        }
        let mut environment = Self::default();
        for spec in OPTIONS {
            if let Some(value) = variable(spec.env) {
                environment.set(Origin::Environment, spec.name, Some(value.as_bytes()))?;
            }
        }
        Ok(given.clone().over(environment).over(inherited))
    }

    /// The options as pairs of table row and value: what [`JobOptions::set`] would take.
    #[must_use]
    pub fn values(&self) -> Vec<(&'static OptionSpec, OsString)> {
        let image = self.image.as_ref().map(|image| image.as_str().into());
        let values: [Option<OsString>; 5] = [
            image.or_else(|| self.no_image.then(|| NO_IMAGE.into())),
            self.workdir.clone().map(PathBuf::into_os_string),
            self.io.map(|io| io.word().into()),
            self.pull.map(|pull| pull.word().into()),
            self.batch.map(|batch| batch.word().into()),
        ];
        OPTIONS.iter().zip(values).filter_map(|(spec, value)| Some((spec, value?))).collect()
    }

    fn set_image(&mut self, value: &[u8], given: Given) -> Result<bool, OptionError> {
        let image = if value == NO_IMAGE.as_bytes() {
            None
        } else {
            let parsed = String::from_utf8_lossy(value).parse::<ImageRef>();
            Some(parsed.map_err(|reason| OptionError::Image { given, shown: quoted(value), reason })?)
        };
        let before = self.no_image || self.image.is_some();
        if before && self.image != image {
            return Ok(false);
        }
        self.no_image = image.is_none();
        self.image = image;
        Ok(true)
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
    fn validate(&self) -> Result<(), OptionError> {
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
        let first = given.iter().find(|(_, given)| *given).and_then(|(name, _)| table::find(name));
        match first {
            Some(option) => Err(OptionError::WithoutImage { given: Given { option, origin: Origin::CommandLine } }),
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

fn choice<T>(given: Given, value: &[u8]) -> Result<T, OptionError>
where
    T: FromStr<Err = UnknownChoice>,
{
    let parsed = String::from_utf8_lossy(value).parse();
    parsed.map_err(|reason| OptionError::Choice { given, shown: quoted(value), reason })
}

#[cfg(test)]
mod tests;
