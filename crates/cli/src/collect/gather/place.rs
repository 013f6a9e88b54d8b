//! The job's folder.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;
use slurm_k8s_core::collect::queue;

/// How folders are opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How the names of files end that are being written.
const DRAFT: &str = ".draft";

/// Whether a file of this name in the folder is being written.
pub fn is_draft(name: &[u8]) -> bool {
    name.starts_with(b".") && name.ends_with(DRAFT.as_bytes())
}

/// The folder cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It is not there, or cannot be entered.
    #[error("cannot open {}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is another user's.
    #[error("{} belongs to uid {owner}, not to the job's user", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A file in it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else writes the same files, again and again.
    #[error("another process writes its summaries in {}", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// A folder in it cannot be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl PlaceError {
    /// Whether somebody else has tidied up meanwhile.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether it is so tomorrow as well.
    pub fn is_for_ever(&self) -> bool {
        match self {
            // The whole file system may be away.
            Self::Open { path, source } => {
                let queue = path.parent().map(|results| results.join(queue::FOLDER));
                source.kind() == io::ErrorKind::NotFound && queue.is_some_and(|queue| queue.exists())
            }
            Self::Foreign { .. } => true,
            Self::Write { .. } | Self::Remove { .. } | Self::Taken { .. } | Self::List { .. } => false,
        }
    }
}

/// The folder, held open.
pub struct Place {
    fd: OwnedFd,
    /// For messages, and for listing what is in it.
    pub path: PathBuf,
}

impl Place {
    /// Opens it if it is this process's user's.
    pub fn open(path: &Path) -> Result<Self, PlaceError> {
        let failed = |source: Errno| PlaceError::Open { path: path.to_owned(), source: source.into() };
        let fd = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(failed)?;
        let owner = fstat(&fd).map_err(failed)?.st_uid;
        if owner != rustix::process::geteuid().as_raw() {
            return Err(PlaceError::Foreign { path: path.to_owned(), owner });
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens a file in it. A FIFO holds nobody up.
    pub fn file(&self, name: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
    }

    /// Reads a file that is no longer than this; none for any other.
    pub fn read(&self, name: &Path, most: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        self.file(name).ok()?.take(limit.saturating_add(1)).read_to_end(&mut bytes).ok()?;
        (bytes.len() <= most).then_some(bytes)
    }

    /// The names in a folder in it, at most so many; none if there is no such folder.
    pub fn names(&self, folder: &str, most: usize) -> Result<Vec<String>, PlaceError> {
        let failed = |source: Errno| PlaceError::List { path: self.path.join(folder), source: source.into() };
        let fd = match openat(&self.fd, folder, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            fd => fd.map_err(failed)?,
        };
        let mut names = Vec::new();
        // The folder itself and the one above are there, too.
        for entry in Dir::new(fd).map_err(failed)?.take(most.saturating_add(2)) {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            names.extend(String::from_utf8(name).ok().filter(|name| name != "." && name != ".."));
        }
        names.truncate(most);
        Ok(names)
    }

    /// Removes what a process that was killed has left half written; the first that cannot be removed.
    pub fn tidy(&self) -> Option<PlaceError> {
        let names = self.names(".", usize::MAX).unwrap_or_default();
        let drafts = names.iter().filter(|name| is_draft(name.as_bytes()));
        let failed: Vec<_> = drafts.filter_map(|name| self.remove(Path::new(name)).err()).collect();
        failed.into_iter().next()
    }

    /// Fills a file: whole or not at all.
    pub fn make(
        &self,
        name: &str,
        mode: u32,
        content: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), PlaceError> {
        // Also another collector's process, on another host, has one of its own.
        let failed = |source| PlaceError::Write { path: self.path.join(name), source };
        let draft = format!(".{name}.{:x}{DRAFT}", crate::clock::random().map_err(failed)?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let write = || {
            let mut file = File::from(openat(&self.fd, &*draft, flags, Mode::from_raw_mode(mode))?);
            content(&mut file)?;
            // A file server may say only now that there is no room.
            file.sync_all()?;
            Ok(renameat(&self.fd, &*draft, &self.fd, name)?)
        };
        write().map_err(|source: io::Error| {
            let _ = self.remove(Path::new(&draft));
            failed(source)
        })
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        self.make(name, 0o644, |file| file.write_all(bytes))
    }

    /// Removes a file; there may be none.
    pub fn remove(&self, name: &Path) -> Result<(), PlaceError> {
        self.gone(name, AtFlags::empty())
    }

    /// Removes a folder, unless there is something in it.
    pub fn remove_folder(&self, name: &str) -> Result<(), PlaceError> {
        self.gone(Path::new(name), AtFlags::REMOVEDIR)
    }

    fn gone(&self, name: &Path, flags: AtFlags) -> Result<(), PlaceError> {
        match unlinkat(&self.fd, name.as_os_str().as_bytes(), flags) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(PlaceError::Remove { path: self.path.join(name), source: error.into() }),
        }
    }
}
