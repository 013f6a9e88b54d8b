//! What a file is, as statx(2) tells it, and how its name is shown.

use slurm_k8s_core::shown::quoted;
use slurm_k8s_core::watch::admit::{Kind, Opened};
use slurm_k8s_core::watch::settle::Look;

/// What a name in a folder is.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// For the rules.
    pub opened: Opened,
    /// For completeness.
    pub look: Look,
}

impl From<&rustix::fs::Statx> for Entry {
    fn from(found: &rustix::fs::Statx) -> Self {
        let mode = u32::from(found.stx_mode);
        let kind = match rustix::fs::FileType::from_raw_mode(mode) {
            rustix::fs::FileType::RegularFile => Kind::File,
            rustix::fs::FileType::Directory => Kind::Folder,
            rustix::fs::FileType::Symlink => Kind::Link,
            _ => Kind::Special,
        };
        let time =
            |time: rustix::fs::StatxTimestamp| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
        Self {
            opened: Opened {
                kind,
                links: found.stx_nlink.into(),
                uid: found.stx_uid,
                gid: found.stx_gid,
                mode: mode & 0o7777,
                size: found.stx_size,
            },
            look: Look {
                inode: found.stx_ino,
                size: found.stx_size,
                modified: time(found.stx_mtime),
                changed: time(found.stx_ctime),
            },
        }
    }
}

/// A user's name for a file, in a line that people read.
pub fn shown(name: &[u8]) -> String {
    /// In characters.
    const LONGEST: usize = 100;
    let whole = escaped(name);
    let cut: String = whole.chars().take(LONGEST).collect();
    if cut.len() < whole.len() { cut + "…" } else { whole }
}

fn escaped(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"') => text.to_owned(),
        _ => quoted(name),
    }
}
