//! `--k8s-mounts`: folders and files of the host that the user wants in the container.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use super::list;
use crate::grant::CONTAINER_RUN_DIR;

/// The most mounts of one job.
const MOST: usize = 64;

/// One mount that the user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// On the host; absolute, without `.` and `..`.
    pub source: PathBuf,
    /// In the container; absolute, without `.` and `..`.
    pub target: PathBuf,
    /// Whether nothing can be written there.
    pub read_only: bool,
}

/// What is wrong with a list of mounts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// An empty item, or one with too many parts.
    #[error("{0} is not SRC:DST")]
    Form(String),
    /// The word behind the second colon.
    #[error("{0} is not one of ro, rw")]
    Mode(String),
    /// A path that is relative or goes up.
    #[error("{0} is not an absolute path without '.' and '..'")]
    Path(String),
    /// A place that is the container's own.
    #[error("{0} is the container's own: not /, nor in /proc, /sys, /dev or /.slurm-k8s")]
    Taken(String),
    /// Two mounts at one place.
    #[error("{0} is named twice")]
    Twice(String),
    /// A mount inside of another: the runtime would make its place there as root.
    #[error("{0} is inside of {1}, which is mounted, too")]
    Nested(String, String),
    /// More than anybody needs.
    #[error("there are more than {MOST}")]
    TooMany,
}

/// Reads `SRC[:DST[:ro|rw]],…`; a source without a place keeps its own path.
pub fn parse(text: &[u8]) -> Result<Vec<MountRequest>, MountError> {
    let mounts: Vec<_> = list::split(text, b',').iter().map(|item| one(item)).collect::<Result<_, _>>()?;
    if mounts.len() > MOST {
        return Err(MountError::TooMany);
    }
    for (at, mount) in mounts.iter().enumerate() {
        if mounts.iter().skip(at + 1).any(|other| other.target == mount.target) {
            return Err(MountError::Twice(shown(mount.target.as_os_str().as_bytes())));
        }
        if let Some(outer) = mounts.iter().find(|o| o.target != mount.target && mount.target.starts_with(&o.target)) {
            let [inner, outer] = [mount, outer].map(|mount| shown(mount.target.as_os_str().as_bytes()));
            return Err(MountError::Nested(inner, outer));
        }
    }
    Ok(mounts)
}

/// The text that [`parse`] reads back.
#[must_use]
pub fn written(mounts: &[MountRequest]) -> OsString {
    let one = |mount: &MountRequest| {
        let path = |path: &Path| list::escaped(path.as_os_str().as_bytes(), b":,");
        let mode: &[u8] = if mount.read_only { b"ro" } else { b"rw" };
        [path(&mount.source), path(&mount.target), mode.to_vec()].join(&b':')
    };
    OsString::from_vec(mounts.iter().map(one).collect::<Vec<_>>().join(&b','))
}

fn one(item: &[u8]) -> Result<MountRequest, MountError> {
    let parts = list::split(item, b':');
    let (source, target, mode) = match parts.as_slice() {
        [source] => (source, source, None),
        [source, target] => (source, target, None),
        [source, target, mode] => (source, target, Some(mode)),
        _ => return Err(MountError::Form(shown(item))),
    };
    let read_only = match mode.map(Vec::as_slice) {
        None | Some(b"rw") => false,
        Some(b"ro") => true,
        Some(other) => return Err(MountError::Mode(shown(other))),
    };
    if source.is_empty() || target.is_empty() {
        return Err(MountError::Form(shown(item)));
    }
    let (source, target) = (absolute(source)?, absolute(target)?);
    let taken = [CONTAINER_RUN_DIR, "/proc", "/sys", "/dev"];
    if target == Path::new("/") || taken.iter().any(|taken| target.starts_with(taken)) {
        return Err(MountError::Taken(shown(target.as_os_str().as_bytes())));
    }
    Ok(MountRequest { source, target, read_only })
}

/// Without needless slashes; `..` could lead out of what the admin allows.
fn absolute(text: &[u8]) -> Result<PathBuf, MountError> {
    let path = PathBuf::from(OsString::from_vec(list::plain(text)));
    let dots = path.as_os_str().as_bytes().split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..");
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || dots || !plain {
        return Err(MountError::Path(shown(text)));
    }
    Ok(path.components().collect())
}

fn shown(text: &[u8]) -> String {
    crate::shown::quoted(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, target: &str, read_only: bool) -> MountRequest {
        MountRequest { source: source.into(), target: target.into(), read_only }
    }

    #[test]
    fn mounts_are_read_and_written() {
        for (text, expected) in [
            ("/a", of("/a", "/a", false)),
            ("/a:/b", of("/a", "/b", false)),
            ("/a//b/:/c:ro", of("/a/b", "/c", true)),
            ("/a\\:b\\,c:/d:rw", of("/a:b,c", "/d", false)),
            ("/a\\\\:/b", of("/a\\", "/b", false)),
        ] {
            let mounts = parse(text.as_bytes()).unwrap();
            assert_eq!(mounts, [expected]);
            assert_eq!(parse(written(&mounts).as_bytes()).unwrap(), mounts);
        }
        assert_eq!(parse(b"/a:/b,/c:/d:ro").unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "\"\" is not SRC:DST"),
            ("/a:", "\"/a:\" is not SRC:DST"),
            ("/a:/b:ro:x", "\"/a:/b:ro:x\" is not SRC:DST"),
            ("/a:/b:rx", "\"rx\" is not one of ro, rw"),
            ("a:/b", "\"a\" is not an absolute path without '.' and '..'"),
            ("/a/../b:/b", "\"/a/../b\" is not an absolute path without '.' and '..'"),
            ("/a:/./b", "\"/./b\" is not an absolute path without '.' and '..'"),
            ("/a:/", "\"/\" is the container's own: not /, nor in /proc, /sys, /dev or /.slurm-k8s"),
            ("/a:/proc/x", "\"/proc/x\" is the container's own: not /, nor in /proc, /sys, /dev or /.slurm-k8s"),
            ("/a:/b,/c:/b", "\"/b\" is named twice"),
            ("/a:/b,/c:/b/d", "\"/b/d\" is inside of \"/b\", which is mounted, too"),
            ("/a:/b/d,/c:/b", "\"/b/d\" is inside of \"/b\", which is mounted, too"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        assert_eq!(parse("/a,".repeat(70).trim_end_matches(',').as_bytes()), Err(MountError::TooMany));
    }
}
