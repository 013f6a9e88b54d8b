//! The folders that files go through, below `watch.folder`.

use std::path::Path;

use crate::disk::{Disk, DiskError, Folder};

/// The folders, open.
#[derive(Debug)]
pub struct Folders {
    /// Where users put files.
    pub submit: Folder,
    /// What watchers have taken.
    pub processing: Folder,
    /// What has a job.
    pub processed: Folder,
    /// What was refused.
    pub failed: Folder,
}

/// Folders in which a user could do what only the watcher may do.
#[derive(Debug, thiserror::Error)]
pub enum FoldersError {
    /// One cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// One belongs to somebody else: files of others could not be moved out of it, or somebody else could move them.
    #[error("{path} belongs to uid {owner}, not to uid {me}, which runs this")]
    Owner {
        /// The folder.
        path: String,
        /// Its owner.
        owner: u32,
        /// The watcher's user.
        me: u32,
    },
    /// Users could rename each other's files.
    #[error("users can move each other's files in {path} (mode {mode:04o})")]
    Sticky {
        /// The folder.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// Users could put files where only the watcher puts them.
    #[error("others can write {path} (mode {mode:04o})")]
    Open {
        /// The folder.
        path: String,
        /// Its mode.
        mode: u32,
    },
}

impl FoldersError {
    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Disk(error) if error.is_absent() => "make it, and give it to the user that the watcher runs as",
            Self::Disk(_) => return None,
            Self::Owner { .. } => "chown it, or run the watcher as its owner",
            Self::Sticky { .. } => "chmod 1777 it",
            Self::Open { .. } => "chmod go-w it",
        })
    }
}

impl Folders {
    /// Opens them; those that are missing are made.
    pub fn open(disk: &Disk, path: &Path) -> Result<Self, FoldersError> {
        let top = Folder::open(path)?;
        check(disk, &top, false)?;
        let get = |name: &str, mode, shared| {
            disk.make(&top, name.as_bytes(), mode)?;
            let folder = disk.enter(&top, name.as_bytes())?;
            check(disk, &folder, shared)?;
            Ok::<_, FoldersError>(folder)
        };
        Ok(Self {
            submit: get("submit", 0o1777, true)?,
            // Owners read their own files in it, by their names.
            processing: get("processing", 0o711, false)?,
            processed: get("processed", 0o755, false)?,
            failed: get("failed", 0o755, false)?,
        })
    }
}

fn check(disk: &Disk, folder: &Folder, shared: bool) -> Result<(), FoldersError> {
    let Some(entry) = disk.look(folder, b".")? else { return Ok(()) };
    let (path, mode) = (folder.path.display().to_string(), entry.opened.mode);
    let me = rustix::process::geteuid().as_raw();
    if entry.opened.uid != me {
        return Err(FoldersError::Owner { path, owner: entry.opened.uid, me });
    }
    match mode & 0o022 {
        0 => Ok(()),
        _ if !shared => Err(FoldersError::Open { path, mode }),
        _ if mode & 0o1000 == 0 => Err(FoldersError::Sticky { path, mode }),
        _ => Ok(()),
    }
}
