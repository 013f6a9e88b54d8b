//! What the testbed was asked to be, kept so that `status` and `down` know it.

use crate::host::{CTL, Host, LOGIN, NODES};
use crate::paths;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The wishes of the last `up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Site {
    /// The Slurm version, as Debian's release has it.
    pub slurm: String,
    /// The folder of the system that the hosts run.
    pub system: PathBuf,
    /// How many compute nodes.
    pub nodes: usize,
}

/// Why the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A file of the state folder could not be read or written.
    #[error("could not use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no testbed.
    #[error("the testbed is not up (run `cargo testbed up`)")]
    Absent,
    /// Another run holds the lock.
    #[error("another `cargo testbed` has been changing the testbed for {} s", waited.as_secs())]
    Busy {
        /// How long this one waited.
        waited: Duration,
    },
}

impl Site {
    /// The compute nodes.
    pub fn nodes(&self) -> &'static [Host] {
        NODES.get(..self.nodes).unwrap_or(NODES)
    }

    /// All hosts.
    pub fn hosts(&self) -> Vec<Host> {
        [LOGIN, CTL].into_iter().chain(self.nodes().iter().copied()).collect()
    }

    /// What the last `up` was asked for.
    pub fn load() -> Result<Self, SiteError> {
        let text = std::fs::read(file()).map_err(|_| SiteError::Absent)?;
        serde_json::from_slice(&text).map_err(|error| SiteError::File { path: file(), source: error.into() })
    }

    /// Whether the hosts of the last `up`, if there was one, run another system.
    pub fn other_is_up(&self) -> bool {
        // A record that an older version of this program wrote tells nothing of it.
        file().exists() && Self::load().ok().is_none_or(|last| last.system != self.system)
    }

    /// Keeps it.
    pub fn save(&self) -> Result<(), SiteError> {
        let write = || {
            let new = file().with_extension("new");
            std::fs::write(&new, serde_json::to_vec(self)?)?;
            std::fs::rename(&new, file())
        };
        write().map_err(|source| SiteError::File { path: file(), source })
    }
}

fn file() -> PathBuf {
    paths::state("site.json")
}

/// The name of the lock's file in the state folder.
pub const LOCK: &str = "lock";

/// Held while the testbed is changed; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Waits for other runs that change the testbed, at most `patience`.
pub fn lock(patience: Duration) -> Result<Lock, SiteError> {
    let path = paths::state(LOCK);
    let begin = Instant::now();
    let failed = |source| SiteError::File { path: path.clone(), source };
    let mut told = false;
    loop {
        std::fs::create_dir_all(paths::STATE).map_err(failed)?;
        let file = match File::create(&path) {
            // `down` has just removed the folder.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && begin.elapsed() < patience => continue,
            result => result.map_err(failed)?,
        };
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
        // `down` removes the file: a lock on a removed one keeps nobody out.
        let current = file.metadata().ok().map(|meta| meta.ino()) == path.metadata().ok().map(|meta| meta.ino());
        if locked && current {
            return Ok(Lock { _file: file });
        }
        if begin.elapsed() >= patience {
            return Err(SiteError::Busy { waited: begin.elapsed() });
        }
        if !told {
            eprintln!("testbed: waiting for another `cargo testbed` to finish");
            told = true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
