//! MUNGE, by which Slurm's daemons and commands believe each other: one key, a daemon per host.

use crate::account::{self, SystemUser};
use crate::daemon::{Daemon, DaemonError};
use crate::folder::{self, FolderError};
use crate::host::{Host, HostError};
use crate::{command, paths, wait};
use std::convert::Infallible;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Why MUNGE does not run.
#[derive(Debug, thiserror::Error)]
pub enum MungeError {
    /// The user munge is not there.
    #[error(transparent)]
    User(#[from] account::UnknownUser),
    /// The key could not be made.
    #[error("could not make the key {}", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the host.
    #[error(transparent)]
    File(#[from] HostError),
    /// A folder of the host.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// It does not answer.
    #[error(transparent)]
    Late(#[from] wait::WaitError<Infallible>),
}

/// Starts MUNGE on a host and waits until it signs.
pub fn bring_up(host: Host) -> Result<(), MungeError> {
    let SystemUser { uid, gid } = account::system(host, "munge")?;
    folder::make(host, "/etc/munge", 0o700, uid, gid)?;
    for (path, mode) in [("/run/munge", 0o755), ("/var/log/munge", 0o700), ("/var/lib/munge", 0o711)] {
        folder::make(host, path, mode, uid, gid)?;
    }
    host.write("/etc/munge/munge.key", &key()?, 0o400, uid, gid)?;
    let daemon = daemon(host);
    daemon.start()?;
    wait::until(&format!("munged on {}", host.name), Duration::from_secs(20), &[daemon.log()], || Ok(ready(host)))?;
    Ok(())
}

/// Whether it signs.
pub fn ready(host: Host) -> bool {
    command::succeeds(host.command("munge", ["--no-input"]))
}

/// The daemon on this host.
pub fn daemon(host: Host) -> Daemon {
    let argv = ["setpriv", "--reuid=munge", "--regid=munge", "--init-groups", "munged", "--foreground", "--force"];
    Daemon::new(host, "munged", argv)
}

fn key() -> Result<Vec<u8>, MungeError> {
    let path = paths::state("munge.key");
    let make = || {
        if let Ok(present) = std::fs::read(&path)
            && present.len() == 128
        {
            return Ok(present);
        }
        let mut bytes = vec![0; 128];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        std::fs::write(&path, &bytes)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(bytes)
    };
    make().map_err(|source| MungeError::Key { path: path.clone(), source })
}
