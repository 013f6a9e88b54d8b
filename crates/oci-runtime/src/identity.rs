//! `/etc/passwd` and `/etc/group` of the container: the image's own, with the user's entries in front.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use slurm_k8s_core::account;
use slurm_k8s_core::grant::{GROUP_FILE, Grant, PASSWD_FILE};

use crate::rootfs;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct IdentityError {
    path: PathBuf,
    source: std::io::Error,
}

/// A file on the host and its place in the container.
pub struct File {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
}

/// Writes both files into the run folder.
pub fn write(rootfs: &OwnedFd, grant: &Grant) -> Result<[File; 2], IdentityError> {
    Ok([
        file(&grant.run_dir, PASSWD_FILE, &account::passwd(&rootfs::read(rootfs, "etc/passwd"), grant))?,
        file(&grant.run_dir, GROUP_FILE, &account::group(&rootfs::read(rootfs, "etc/group"), grant))?,
    ])
}

fn file(run_dir: &Path, name: &str, bytes: &[u8]) -> Result<File, IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;
    let source = run_dir.join(name);
    std::fs::write(&source, bytes)
        .and_then(|()| std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o444)))
        .map_err(|error| IdentityError { path: source.clone(), source: error })?;
    Ok(File { source, target: Path::new("/etc").join(name) })
}
