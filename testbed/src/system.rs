//! What the hosts run: this machine's own programs, or those of another release of Debian in a folder of its own.

use crate::command::{self, CommandError};
use crate::kubernetes::fingerprint::Fingerprint;
use crate::packages::OF_HOSTS;
use crate::paths;
use crate::step::step;
use crate::wait::{self, WaitError};
use rustix::fs::{FlockOperation, flock};
use std::convert::Infallible;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A release of Debian, which has one version of Slurm.
#[derive(Debug, PartialEq, Eq)]
pub struct System {
    /// Slurm's version, as in `cargo testbed up --slurm`.
    pub slurm: &'static str,
    /// The release's name.
    pub suite: &'static str,
}

/// This machine's.
const MACHINE: System = System { slurm: "22.05", suite: "bookworm" };
/// All that there are.
pub const ALL: &[System] =
    &[MACHINE, System { slurm: "24.11", suite: "trixie" }, System { slurm: "26.05", suite: "forky" }];

/// Besides what hosts run: Slurm's headers, against which plugins are built.
const MORE: &[&str] = &["libslurm-dev"];

/// What no host looks at, or has for itself.
const SUPERFLUOUS: &[&str] = &[
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/lib/mysql",
    "var/log",
];

/// How long its making may take, on a slow network too.
const PATIENCE: Duration = Duration::from_mins(30);

/// Why there is no such system.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// No release has this version.
    #[error("there is no Slurm {version} here: Debian's releases have {}", versions())]
    Unknown {
        /// The version.
        version: String,
    },
    /// A release that is not out yet has moved on.
    #[error(
        "Debian {suite} has Slurm {found} by now, and spank-k8s has not been tried with it: choose another version, or give {suite} its new one in testbed/src/system.rs"
    )]
    Moved {
        /// The release.
        suite: &'static str,
        /// Its Slurm.
        found: String,
    },
    /// It could not be made.
    #[error("could not make a system of Debian {suite}")]
    Make {
        /// The release.
        suite: &'static str,
        /// What the program said.
        source: CommandError,
    },
    /// Somebody else has been making one for too long.
    #[error(transparent)]
    Busy(#[from] WaitError<Infallible>),
    /// A file of it could not be made.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

fn versions() -> String {
    ALL.iter().map(|system| system.slurm).collect::<Vec<_>>().join(", ")
}

impl System {
    /// The one with this version of Slurm.
    pub fn with_slurm(version: &str) -> Result<&'static Self, SystemError> {
        let unknown = || SystemError::Unknown { version: version.to_owned() };
        ALL.iter().find(|system| system.slurm == version).ok_or_else(unknown)
    }

    /// The folder that its hosts' files come from.
    pub fn root(&self) -> PathBuf {
        if *self == MACHINE {
            return PathBuf::from("/");
        }
        let mut parts = Fingerprint::new();
        [OF_HOSTS, MORE, SUPERFLUOUS].iter().copied().flatten().for_each(|part| parts.add(part.as_bytes()));
        paths::cache().join("system").join(format!("{}-{}", self.suite, parts.text()))
    }

    /// Makes it if the cache does not have it.
    pub fn bring_up(&self) -> Result<(), SystemError> {
        let root = self.root();
        if root.exists() {
            return Ok(());
        }
        step(&format!("Debian {} with Slurm {} (some minutes, once)", self.suite, self.slurm), || self.make(&root))
    }

    /// Makes it at `target`, whole or not at all.
    fn make(&self, target: &Path) -> Result<(), SystemError> {
        let new = target.with_added_extension("new");
        let _lock = lock(&new.with_extension("lock"))?;
        if target.exists() {
            return Ok(());
        }
        // A run that was killed may have left one.
        remove(&new).and_then(|()| std::fs::create_dir(&new)).map_err(at(&new))?;
        command::run(self.debootstrap(&new)).map_err(|source| SystemError::Make { suite: self.suite, source })?;
        self.check(&new)?;
        for path in SUPERFLUOUS.iter().map(|path| new.join(path)) {
            remove(&path).and_then(|()| std::fs::create_dir(&path)).map_err(at(&path))?;
        }
        std::fs::rename(&new, target).map_err(at(target))
    }

    fn debootstrap(&self, target: &Path) -> Command {
        // In the caller's environment: the way to the network is the caller's. What it mounts and starts must not
        // outlive it, and it starts no daemon: debootstrap keeps maintainer scripts from that.
        let mut debootstrap = Command::new("timeout");
        debootstrap
            .args(["--kill-after=10", &PATIENCE.as_secs().to_string()])
            .args(["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"])
            .args(["debootstrap", "--variant=minbase"])
            .arg(format!("--include={}", [OF_HOSTS, MORE].concat().join(",")))
            .arg(self.suite)
            .arg(target)
            // The mirror is debootstrap's own; the script is named, since an old debootstrap does not know a new release.
            .args(["", "/usr/share/debootstrap/scripts/sid"])
            .env("LC_ALL", "C.UTF-8");
        debootstrap
    }

    /// Whether its Slurm is the one that it should have.
    fn check(&self, root: &Path) -> Result<(), SystemError> {
        let mut query = command::clean("dpkg-query");
        query.arg(format!("--admindir={}", root.join("var/lib/dpkg").display()));
        query.args(["--show", "--showformat=${Version}", "slurmctld"]);
        let found = command::run(query).map_err(|source| SystemError::Make { suite: self.suite, source })?;
        if found.starts_with(&format!("{}.", self.slurm)) {
            return Ok(());
        }
        Err(SystemError::Moved { suite: self.suite, found })
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SystemError {
    let path = path.to_owned();
    move |source| SystemError::File { path, source }
}

/// Keeps others of this machine's checkouts out, which have the same cache.
fn lock(path: &Path) -> Result<File, SystemError> {
    let file = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create(path));
    let file = file.map_err(at(path))?;
    wait::until(&format!("the end of another run that has {}", path.display()), PATIENCE, &[], || {
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
    })?;
    Ok(file)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, System};
    use std::path::Path;

    #[test]
    fn each_version_has_a_folder_of_its_own_and_the_machine_has_the_first() {
        let roots: Vec<_> = ["22.05", "24.11", "26.05"].iter().map(|slurm| System::with_slurm(slurm)).collect();
        let mut roots: Vec<_> = roots.into_iter().map(|system| system.unwrap_or(&ALL[0]).root()).collect();
        assert_eq!(roots[0], Path::new("/"));
        roots.dedup();
        assert_eq!(roots.len(), ALL.len());
    }

    #[test]
    fn an_unknown_version_is_refused_with_those_there_are() {
        let refused = System::with_slurm("23.11").map_err(|error| error.to_string());
        let text = "there is no Slurm 23.11 here: Debian's releases have 22.05, 24.11, 26.05";
        assert_eq!(refused, Err(text.to_owned()));
    }
}
