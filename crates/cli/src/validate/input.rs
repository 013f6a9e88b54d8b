//! The scripts and the site's config.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use slurm_k8s_core::config::{self, Config};
use slurm_k8s_core::finding::{self, Finding};

use crate::report;
use crate::site::{self, SiteError};

/// No batch script is longer: Slurm takes 4 MiB, and a site may allow more.
const LONGEST: u64 = 64 << 20;

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A script.
    #[error("cannot read {name}")]
    Script {
        /// The file.
        name: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something else than a script.
    #[error("{name} has more than {} MiB", LONGEST >> 20)]
    Long {
        /// The file.
        name: String,
    },
    /// The config that was named.
    #[error(transparent)]
    Site(#[from] SiteError),
}

impl InputError {
    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Long { .. } => Some("is it a batch script?"),
            Self::Script { .. } | Self::Site(_) => None,
        }
    }
}

/// A batch script.
pub struct Script {
    /// As it is shown.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Script {
    /// Reads it; `-` is standard input.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let stdin = path == Path::new("-");
        let name = if stdin { "<stdin>".to_owned() } else { plain(path) };
        let mut bytes = Vec::new();
        let read = if stdin {
            std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)
        } else {
            File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        };
        let read = read.map_err(|source| InputError::Script { name: name.clone(), source })?;
        if u64::try_from(read).unwrap_or(u64::MAX) > LONGEST {
            return Err(InputError::Long { name });
        }
        Ok(Self { name, bytes })
    }
}

/// A name that cannot do anything to a terminal.
fn plain(path: &Path) -> String {
    let shown = path.to_string_lossy();
    if shown.contains(char::is_control) { shown.escape_debug().to_string() } else { shown.into_owned() }
}

/// The site.
pub struct Site {
    /// Its config.
    pub config: Option<Config>,
    /// Why there is none.
    missing: Option<String>,
}

impl Site {
    /// Reads the config. One that was named must be usable; without the usual one, what it says is not checked.
    pub fn read(named: Option<&Path>) -> Result<Self, InputError> {
        if let Some(path) = named {
            return Ok(Self { config: Some(site::read(path)?), missing: None });
        }
        Ok(match site::read(&PathBuf::from(config::PATH)) {
            Ok(config) => Self { config: Some(config), missing: None },
            Err(error) => Self { config: None, missing: Some(report::chain(&error)) },
        })
    }

    /// With this config.
    pub fn of(config: Config) -> Self {
        Self { config: Some(config), missing: None }
    }

    /// That nothing could be held to the site's policy.
    pub fn finding(&self) -> Option<Finding> {
        let cause = format!("the site's policy and profiles are not known: {}", self.missing.as_ref()?);
        let hint = Some("run this on a login host, or name a copy with --config".into());
        Some(Finding { kind: finding::NO_CONFIG, place: None, cause, hint })
    }
}
