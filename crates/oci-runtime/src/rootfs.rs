//! The image's root folder: hostile until proven otherwise, so no path in it may lead out of it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use serde_json::Value;

/// Why the image's root could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// `config.json` does not name it.
    #[error("the bundle's config.json has no root.path")]
    Unnamed,
    /// It could not be opened.
    #[error("cannot open the container's root {path}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: rustix::io::Errno,
    },
}

/// The largest passwd or group file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Opens the root folder.
pub fn open(config: &Value, bundle: &Path) -> Result<OwnedFd, RootfsError> {
    let path = config.get("root").and_then(|root| root.get("path")).and_then(Value::as_str);
    let path = bundle.join(path.ok_or(RootfsError::Unnamed)?);
    openat(CWD, &path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH, Mode::empty())
        .map_err(|source| RootfsError::Open { path, source })
}

/// A file of the image, read as if its root were `/`; nothing if it isn't there or isn't a plain file.
pub fn read(rootfs: &OwnedFd, path: &str) -> Vec<u8> {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(file) = openat2(rootfs, path, flags, Mode::empty(), inside) else {
        return Vec::new();
    };
    let file = std::fs::File::from(file);
    let mut bytes = Vec::new();
    if file.metadata().is_ok_and(|about| about.is_file()) {
        let _ = file.take(MAX_FILE).read_to_end(&mut bytes);
    }
    bytes
}

/// Whether the image has a /tmp that everyone can write to.
pub fn has_tmp(rootfs: &OwnedFd) -> bool {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(rootfs, "tmp", flags, Mode::empty(), inside)
        .and_then(rustix::fs::fstat)
        .is_ok_and(|about| about.st_mode & 0o1777 == 0o1777)
}
