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
        if bytes.len() as u64 == MAX_FILE {
            // Half a line would be another entry.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_passwd_is_nothing_or_a_bounded_part_of_itself() {
        let image = tempfile::tempdir().unwrap();
        let root = openat(CWD, image.path(), OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
        let path = |name: &str| image.path().join(name);
        std::fs::write(path("inside"), "root:x:0:0\n").unwrap();
        for (link, to) in [
            ("absolute", "/inside"),
            ("up", "../../../../inside"),
            ("host", "/etc/passwd"),
            ("process", "/proc/self/root/etc/passwd"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(to, path(link)).unwrap();
        }
        rustix::fs::mknodat(CWD, path("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        for inside in ["inside", "absolute", "up"] {
            assert_eq!(read(&root, inside), b"root:x:0:0\n", "{inside}");
        }
        for nothing in ["host", "process", "loop", "fifo", "folder", "absent"] {
            assert_eq!(read(&root, nothing), b"", "{nothing}");
        }
        std::fs::write(path("large"), "bob:x:10013:1\n".repeat(200_000)).unwrap();
        let large = read(&root, "large");
        assert!(large.len() as u64 <= MAX_FILE && large.ends_with(b"bob:x:10013:1\n"));
    }
}
