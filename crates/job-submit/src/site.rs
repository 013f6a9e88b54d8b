//! The site's config, as it was when it was last looked at.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use slurm_k8s_core::config::{self, Config, ConfigError};

/// Where it is.
pub const PATH: &str = config::PATH;
/// How often the file is looked at, at most. `scontrol reconfigure` tells a `job_submit` plugin nothing in 22.05.
const LOOK: Duration = Duration::from_secs(1);
/// No config is larger.
const LARGEST: u64 = 1 << 20;

/// A config that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SiteError {
    /// The file cannot be read.
    #[error("cannot read {path} on slurmctld's host: {reason}")]
    Read {
        /// The file.
        path: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// It is no config.
    #[error("{path} on slurmctld's host: {reason}")]
    Config {
        /// The file.
        path: &'static str,
        /// What is wrong.
        reason: ConfigError,
    },
}

impl SiteError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> String {
        let mend = match self {
            Self::Read { .. } => None,
            Self::Config { reason, .. } => reason.hint(),
        };
        mend.map_or_else(String::new, |mend| mend + "; ") + "ask the site's admin to mend it"
    }
}

/// None is that there is no such file.
type Found = Result<Option<Arc<Config>>, SiteError>;

/// What tells one state of the file from another.
type Stamp = Option<(u64, u64, i64, i64, u64)>;

/// The config and when it was looked at.
#[derive(Debug)]
pub struct Site {
    path: &'static str,
    last: Mutex<Option<(Instant, Stamp, Found)>>,
}

impl Site {
    /// The config in this file.
    #[must_use]
    pub const fn at(path: &'static str) -> Self {
        Self { path, last: Mutex::new(None) }
    }

    /// The config, read anew if the file has changed, which is looked at once a second.
    pub fn config(&self) -> Found {
        // From 23.11 on slurmctld judges several jobs at once.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((looked, _, found)) = &*last
            && now.duration_since(*looked) < LOOK
        {
            return found.clone();
        }
        let stamp = self.stamp();
        let found = match last.take() {
            Some((_, same, found)) if same == stamp => found,
            _ => self.read(),
        };
        *last = Some((now, stamp, found.clone()));
        found
    }

    fn stamp(&self) -> Stamp {
        let meta = std::fs::metadata(self.path).ok()?;
        Some((meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
    }

    fn read(&self) -> Found {
        let path = self.path;
        let read = |error: std::io::Error| SiteError::Read { path, reason: plain(&error) };
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(LARGEST).read_to_string(&mut text).map_err(read)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        let config = Config::parse(&text).map_err(|reason| SiteError::Config { path, reason })?;
        Ok(Some(Arc::new(config)))
    }
}

/// An error in the kernel's words, without Rust's number behind them.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_anew_and_a_broken_one_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path: &'static str = file.path().to_str().unwrap().to_owned().leak();
        let site = Site::at(path);
        let look = || {
            if let Some((looked, ..)) = &mut *site.last.lock().unwrap() {
                *looked = looked.checked_sub(LOOK).unwrap();
            }
            site.config()
        };
        std::fs::write(path, "cluster = 'a'").unwrap();
        assert_eq!(look().unwrap().unwrap().cluster, "a");
        std::fs::write(path, "cluster = 'other'").unwrap();
        // Not yet: it was looked at just now.
        assert_eq!(site.config().unwrap().unwrap().cluster, "a");
        assert_eq!(look().unwrap().unwrap().cluster, "other");
        std::fs::write(path, "clutser = 'a'").unwrap();
        let error = look().unwrap_err();
        assert_eq!(error.to_string(), format!("{path} on slurmctld's host: line 1: there is no key clutser"));
        assert_eq!(error.hint(), "did you mean cluster?; ask the site's admin to mend it");
        std::fs::remove_file(path).unwrap();
        assert_eq!(look().unwrap(), None);
    }
}
