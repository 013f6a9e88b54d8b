//! Folders on a host.

use crate::host::Host;
use std::os::unix::fs::{PermissionsExt, chown};

/// A folder could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make the folder {path} on {host}")]
pub struct FolderError {
    host: &'static str,
    path: String,
    source: std::io::Error,
}

/// Makes a folder on a host if need be, and sets its mode and owner.
pub fn make(host: Host, path: &str, mode: u32, uid: u32, gid: u32) -> Result<(), FolderError> {
    let seen = host.path(path);
    let make = || {
        std::fs::create_dir_all(&seen)?;
        chown(&seen, Some(uid), Some(gid))?;
        std::fs::set_permissions(&seen, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|source| FolderError { host: host.name, path: path.to_owned(), source })
}
