//! Files in folders that are held open. Names are one component, and nothing follows a link, so nobody who renames or
//! links in these folders leads a call elsewhere. Every call is one step that a test can stop at.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, StatxFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;

use crate::entry::{Entry, shown};

/// How folders are opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What the watcher writes is small.
const MOST: usize = 1 << 20;

/// A call that failed. It is no file's fault: what is there is left as it is and gone on with later.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct DiskError {
    action: &'static str,
    path: String,
    source: io::Error,
}

impl DiskError {
    /// Of a folder that is known by its path only.
    pub fn of(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { action, path: path.display().to_string(), source: source.into() }
    }

    /// What the system says, whatever it was about.
    pub fn what(&self) -> String {
        self.source.to_string()
    }

    /// Whether what it was about is not there.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// A folder that is held open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    /// As messages call it.
    pub path: PathBuf,
}

impl Folder {
    /// Opens one by its path; its last component is no link.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let fd = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|source| DiskError::of("open", path, source))?;
        Ok(Self { fd, path: path.to_owned() })
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is called before each step; an error stops the work there.
pub type Before = Box<dyn Fn(&'static str) -> io::Result<()>>;

/// The calls.
#[derive(Default)]
pub struct Disk {
    before: Option<Before>,
}

impl Disk {
    /// With something that is called before each step.
    #[cfg(test)]
    pub fn with(before: Before) -> Self {
        Self { before: Some(before) }
    }

    /// One call.
    pub fn step<T>(
        &self,
        action: &'static str,
        folder: &Folder,
        name: &[u8],
        call: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, DiskError> {
        let stopped = self.before.as_ref().map_or(Ok(()), |before| before(action));
        stopped.and_then(|()| call().map_err(io::Error::from)).map_err(|source| {
            let path = match name {
                b"" => folder.path.display().to_string(),
                name => format!("{}/{}", folder.path.display(), shown(name)),
            };
            DiskError { action, path, source }
        })
    }

    /// Opens a folder in a folder.
    pub fn enter(&self, folder: &Folder, name: &[u8]) -> Result<Folder, DiskError> {
        let fd = self.step("open", folder, name, || rustix::fs::openat(folder, name, FOLDER, Mode::empty()))?;
        Ok(Folder { fd, path: folder.path.join(std::ffi::OsStr::from_bytes(name)) })
    }

    /// Makes a folder; false if there is one. It has its mode from the first moment, since the process's umask is 0: one that
    /// nobody may enter could not be taken over.
    pub fn make(&self, folder: &Folder, name: &[u8], mode: u32) -> Result<bool, DiskError> {
        let mode = Mode::from_raw_mode(mode);
        self.step("make the folder", folder, name, || match rustix::fs::mkdirat(folder, name, mode) {
            Err(Errno::EXIST) => Ok(false),
            result => result.map(|()| true),
        })
    }

    /// The names in a folder, in no order.
    pub fn names(&self, folder: &Folder) -> Result<Vec<Vec<u8>>, DiskError> {
        self.step("list", folder, b"", || {
            // A descriptor of its own: the place in the listing is shared otherwise.
            let fd = rustix::fs::openat(folder, c".", FOLDER, Mode::empty())?;
            let mut buffer = Vec::with_capacity(32 << 10);
            let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
            let mut names = Vec::new();
            while let Some(entry) = entries.next() {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(name);
                }
            }
            Ok(names)
        })
    }

    /// What a name is; none if there is nothing. The file server is asked, whatever is remembered here.
    pub fn look(&self, folder: &Folder, name: &[u8]) -> Result<Option<Entry>, DiskError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
        let found = self.step("look at", folder, name, || {
            match rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS) {
                Err(Errno::NOENT) => Ok(None),
                result => result.map(Some),
            }
        })?;
        Ok(found.as_ref().map(Entry::from))
    }

    /// What an open file is.
    pub fn look_at(&self, folder: &Folder, file: &OwnedFd) -> Result<Entry, DiskError> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let found =
            self.step("look at", folder, b"", || rustix::fs::statx(file, c"", flags, StatxFlags::BASIC_STATS))?;
        Ok(Entry::from(&found))
    }

    /// Moves.
    pub fn rename(&self, from: (&Folder, &[u8]), to: (&Folder, &[u8])) -> Result<(), DiskError> {
        self.step("move", from.0, from.1, || rustix::fs::renameat(from.0, from.1, to.0, to.1))
    }

    /// Makes a file for somebody to write into; an old one is emptied.
    pub fn create(&self, folder: &Folder, name: &[u8]) -> Result<OwnedFd, DiskError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.step("write", folder, name, || rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600)))
    }

    /// Writes a file, whole or not at all.
    pub fn write(&self, folder: &Folder, name: &[u8], bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        let new = [b".", name, b".new"].concat();
        self.fill(folder, &new, bytes, mode)?;
        self.rename((folder, &new), (folder, name))
    }

    /// Writes a file unless there is one; whether this one is there. Also after a crash and once more: an equal one counts.
    /// `draft` is this caller's own name.
    pub fn reserve(&self, folder: &Folder, name: &[u8], draft: &[u8], bytes: &[u8]) -> Result<bool, DiskError> {
        self.fill(folder, draft, bytes, 0o644)?;
        let linked = self.step("write", folder, name, || {
            match rustix::fs::linkat(folder, draft, folder, name, AtFlags::empty()) {
                Err(Errno::EXIST) => Ok(false),
                // File systems without links.
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    rustix::fs::renameat_with(folder, draft, folder, name, rustix::fs::RenameFlags::NOREPLACE)
                        .map(|()| true)
                        .or_else(|error| if error == Errno::EXIST { Ok(false) } else { Err(error) })
                }
                result => result.map(|()| true),
            }
        })?;
        let ours = linked || self.read(folder, name)?.is_some_and(|there| there == bytes);
        self.remove(folder, draft)?;
        Ok(ours)
    }

    fn fill(&self, folder: &Folder, name: &[u8], bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        let file = self.create(folder, name)?;
        self.step("write", folder, name, || {
            let mut rest = bytes;
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
                rest = rest.get(written..).unwrap_or_default();
            }
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
        })?;
        // Also on a file server's disk, before its name is there.
        self.step("write", folder, name, || rustix::fs::fsync(&file))
    }

    /// Reads a file of the watcher's own; none if there is none.
    pub fn read(&self, folder: &Folder, name: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.step("read", folder, name, || match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            file => read_all(&file?, MOST).map(Some),
        })
    }

    /// Removes a file; there may be none.
    pub fn remove(&self, folder: &Folder, name: &[u8]) -> Result<(), DiskError> {
        self.gone("remove", folder, name, AtFlags::empty())
    }

    /// Removes an empty folder; there may be none.
    pub fn remove_folder(&self, folder: &Folder, name: &[u8]) -> Result<(), DiskError> {
        self.gone("remove the folder", folder, name, AtFlags::REMOVEDIR)
    }

    fn gone(&self, action: &'static str, folder: &Folder, name: &[u8], flags: AtFlags) -> Result<(), DiskError> {
        self.step(action, folder, name, || match rustix::fs::unlinkat(folder, name, flags) {
            Err(Errno::NOENT) => Ok(()),
            result => result,
        })
    }

    /// What was done in a folder is on the disk.
    pub fn sync(&self, folder: &Folder) -> Result<(), DiskError> {
        self.step("write", folder, b"", || match rustix::fs::fsync(folder) {
            // Some file systems cannot do it for folders.
            Err(Errno::INVAL) => Ok(()),
            result => result,
        })
    }

    /// Gives a file the time of now, by the file server's clock.
    pub fn touch(&self, folder: &Folder, name: &[u8]) -> Result<(), DiskError> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        self.step("touch", folder, name, || rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW))
    }
}

/// Reads to the end, at most one byte more than `most`.
pub fn read_all(file: &OwnedFd, most: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    while bytes.len() <= most {
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut buffer))? {
            0 => break,
            count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    bytes.truncate(most + 1);
    Ok(bytes)
}
