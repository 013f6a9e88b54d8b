//! What an option's value is, by the option's kind.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::error::Problem;
use super::mount::{self, MountRequest};
use super::variable::{self, Variable};
use crate::choice::UnknownChoice;
use crate::image::ImageRef;

/// The word for `--k8s-image` that switches off an inherited one.
pub const NO_IMAGE: &str = "none";
/// The words that an environment has for on and off.
const SWITCH: [(&str, bool); 8] = [
    ("yes", true),
    ("no", false),
    ("1", true),
    ("0", false),
    ("true", true),
    ("false", false),
    ("on", true),
    ("off", false),
];

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image reference, or `none`.
    Image,
    /// An absolute path; bytes, not text.
    Path,
    /// One of these words.
    Words(&'static [&'static str]),
    /// On, or off by the option's twin with `no-` in front.
    Switch,
    /// [`mount::parse`].
    Mounts,
    /// [`variable::parse`].
    Variables,
    /// Bytes.
    Size,
    /// A name in Kubernetes.
    Name,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// None is the word `none`.
    Image(Option<ImageRef>),
    /// An absolute path.
    Path(PathBuf),
    /// One of the option's words.
    Word(&'static str),
    /// On or off.
    Switch(bool),
    /// Mounts.
    Mounts(Vec<MountRequest>),
    /// Variables.
    Variables(Vec<Variable>),
    /// Bytes.
    Size(u64),
    /// A name in Kubernetes.
    Name(String),
}

impl Value {
    /// Reads a value.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Problem> {
        let text = || String::from_utf8_lossy(bytes);
        let choice = |allowed: Vec<_>| Problem::Choice(UnknownChoice { allowed });
        match kind {
            Kind::Image if bytes == NO_IMAGE.as_bytes() => Ok(Self::Image(None)),
            Kind::Image => text().parse().map(|image| Self::Image(Some(image))).map_err(Problem::Image),
            Kind::Path if !bytes.starts_with(b"/") => Err(Problem::Relative),
            Kind::Path => Ok(Self::Path(PathBuf::from(OsString::from_vec(bytes.to_vec())))),
            Kind::Words(words) => {
                let word = words.iter().find(|word| word.as_bytes() == bytes);
                word.map(|word| Self::Word(word)).ok_or_else(|| choice(words.to_vec()))
            }
            Kind::Switch => {
                let low = text().to_ascii_lowercase();
                let on = SWITCH.iter().find(|(word, _)| *word == low).map(|(_, on)| Self::Switch(*on));
                on.ok_or_else(|| choice(vec!["yes", "no"]))
            }
            Kind::Mounts => mount::parse(bytes).map(Self::Mounts).map_err(Problem::Mount),
            Kind::Variables => variable::parse(bytes).map(Self::Variables).map_err(Problem::Variable),
            Kind::Size => size(&text()).map(Self::Size).ok_or(Problem::Size),
            Kind::Name if is_name(&text()) => Ok(Self::Name(text().into_owned())),
            Kind::Name => Err(Problem::Name),
        }
    }

    /// The text that [`Value::parse`] reads back.
    #[must_use]
    pub fn written(&self) -> OsString {
        match self {
            Self::Image(image) => image.as_ref().map_or(NO_IMAGE, ImageRef::as_str).into(),
            Self::Path(path) => path.clone().into_os_string(),
            Self::Word(word) => word.into(),
            Self::Switch(on) => if *on { "yes" } else { "no" }.into(),
            Self::Mounts(mounts) => mount::written(mounts),
            Self::Variables(variables) => variable::written(variables),
            Self::Size(bytes) => bytes.to_string().into(),
            Self::Name(name) => name.into(),
        }
    }
}

/// `8G` as Slurm writes sizes and `8Gi` as Kubernetes does, both by 1024; a bare number is bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let power = match unit.strip_suffix('i').filter(|rest| !rest.is_empty()).unwrap_or(unit) {
        "" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1024_u64.checked_pow(power)?).filter(|bytes| *bytes > 0)
}

/// A DNS label, as namespaces and our profiles have it; also each part of a class's name.
pub(crate) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1", Some(1)),
            ("8G", Some(8 << 30)),
            ("8Gi", Some(8 << 30)),
            ("64k", Some(64 << 10)),
            ("0", None),
            ("G", None),
            ("i", None),
            ("-1G", None),
            ("1.5G", None),
            ("99999999999T", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
