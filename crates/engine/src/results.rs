//! A job's folder for what it leaves behind. Slurm opens the job's output in it right after the plugin's first hook; its steps
//! leave records for the collector (`slurm_k8s_core::collect`).

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fchown, fstat, mkdirat, openat, renameat, statat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use slurm_k8s_core::collect::{STEPS, queue};
use slurm_k8s_core::results::OUTPUTS;

use crate::rundir::random;

/// How long the file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for what no job needs.
const BRIEF: Duration = Duration::from_secs(3);

/// How folders are opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a job has no folder.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Somebody else's is there.
    #[error("the folder for results {} belongs to user {owner}, not to the job's", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It cannot be made.
    #[error("cannot make the folder for results {}", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A step's record cannot be left in it.
    #[error("cannot leave a record for the job's summary in {}", path.display())]
    Leave {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The job cannot be named to the collector.
    #[error("cannot tell the collector of the job in {}", path.display())]
    Enqueue {
        /// The collector's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system does not answer.
    #[error("the folder for results {} did not answer within {} s", path.display(), limit.as_secs())]
    Silent {
        /// The folder.
        path: PathBuf,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// Whose folder it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The user's group for this job.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The permissions of new folders.
    pub mode: u32,
}

/// Makes `folder/id` and `outputs` in it, where they are not there yet, and gives the latter's path: with the user's own
/// rights, or, where only root may, as root for the user. One that is somebody else's is refused: a job's number can be guessed.
pub fn make(folder: &Path, id: &str, owner: &Owner) -> Result<PathBuf, ResultsError> {
    let path = folder.join(id);
    let failed = |source: io::Error| ResultsError::Make { path: path.clone(), source };
    let made = attempt(folder, id, owner, false);
    let made =
        match made.map_err(failed)?.ok_or_else(|| ResultsError::Silent { path: path.clone(), limit: PATIENCE })? {
            Err(Fault::Errno(Errno::ACCESS | Errno::PERM)) => attempt(folder, id, owner, true)
                .map_err(failed)?
                .ok_or_else(|| ResultsError::Silent { path: path.clone(), limit: PATIENCE })?,
            made => made,
        };
    match made {
        Ok(()) => Ok(path.join(OUTPUTS)),
        Err(Fault::Errno(error)) => Err(failed(error.into())),
        Err(Fault::Foreign(owner)) => Err(ResultsError::Foreign { path, owner }),
    }
}

/// Where a job's steps leave their records.
#[derive(Debug, Clone)]
pub struct Place {
    /// The job's folder.
    pub folder: PathBuf,
    /// Whose it is.
    pub owner: Owner,
}

impl Place {
    /// Leaves a record: whole or not at all, with the user's rights.
    pub fn leave(&self, name: &str, bytes: Vec<u8>) -> Result<(), ResultsError> {
        let (folder, name, user) = (self.folder.clone(), name.to_owned(), self.owner.clone());
        let work = move || -> Result<(), Errno> {
            let job = openat(CWD, &folder, FOLDER, Mode::empty())?;
            let steps = own(&job, Path::new(STEPS), &user, false).map_err(|fault| match fault {
                Fault::Errno(error) => error,
                Fault::Foreign(_) => Errno::PERM,
            })?;
            let draft = format!(".{name}.{}", random().unwrap_or_default());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = std::fs::File::from(openat(&steps, &draft, flags, Mode::from_raw_mode(0o600))?);
            let written = (&file).write_all(&bytes).and_then(|()| file.sync_all());
            written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            renameat(&steps, &draft, &steps, &name)
        };
        let path = || self.folder.clone();
        match self.owner.run(BRIEF, work) {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) => Err(ResultsError::Leave { path: path(), source: error.into() }),
            Ok(None) => Err(ResultsError::Silent { path: path(), limit: BRIEF }),
            Err(source) => Err(ResultsError::Leave { path: path(), source }),
        }
    }
}

impl Owner {
    /// Does something with the user's rights; none if it took too long.
    fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        slurm_k8s_posix::as_user(self.uid, self.gid, &self.groups, limit, work)
    }
}

/// Names the job to the collector, if this site has one. A name that is somebody else's is no hindrance: it does not count.
pub fn enqueue(folder: &Path, id: &str, owner: &Owner) -> Result<(), ResultsError> {
    let path = folder.join(queue::FOLDER);
    let (queue, id, uid) = (path.clone(), id.to_owned(), owner.uid);
    let work = move || -> Result<(), Errno> {
        let queue = match openat(CWD, &queue, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            queue => queue?,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = |name: &str| openat(&queue, name, flags, Mode::from_raw_mode(0o600)).map(drop);
        match create(&id) {
            Err(Errno::EXIST) => match statat(&queue, &*id, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if there.st_uid == uid => Ok(()),
                // The collector may just have taken it.
                _ => create(&format!("{id}.{}", random().unwrap_or_default())),
            },
            made => made,
        }
    };
    match owner.run(BRIEF, work) {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(error))) => Err(ResultsError::Enqueue { path, source: error.into() }),
        Ok(None) => Err(ResultsError::Silent { path, limit: BRIEF }),
        Err(source) => Err(ResultsError::Enqueue { path, source }),
    }
}

enum Fault {
    Errno(Errno),
    Foreign(u32),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

/// As the user, or as root for the user; none if it took too long.
fn attempt(folder: &Path, id: &str, owner: &Owner, root: bool) -> io::Result<Option<Result<(), Fault>>> {
    let (folder, id, user) = (folder.to_owned(), id.to_owned(), owner.clone());
    let work = move || {
        let job = own(CWD, &folder.join(id), &user, root)?;
        own(&job, Path::new(OUTPUTS), &user, root).map(drop)
    };
    let (uid, gid, groups) = if root { (0, 0, &[][..]) } else { (owner.uid, owner.gid, &owner.groups[..]) };
    slurm_k8s_posix::as_user(uid, gid, groups, PATIENCE, work)
}

/// The folder, made if it is not there, if it is the user's.
fn own(at: impl rustix::fd::AsFd, path: &Path, owner: &Owner, root: bool) -> Result<OwnedFd, Fault> {
    let new = match mkdirat(&at, path, Mode::from_raw_mode(0o700)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let folder = openat(&at, path, FOLDER, Mode::empty())?;
    if new {
        if root {
            fchown(&folder, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        }
        fchmod(&folder, Mode::from_raw_mode(owner.mode))?;
    }
    let found = fstat(&folder)?.st_uid;
    if found == owner.uid { Ok(folder) } else { Err(Fault::Foreign(found)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    const NOBODY: Owner = Owner { uid: 65534, gid: 65534, groups: Vec::new(), mode: 0o750 };

    /// A folder for results, as a site has it.
    fn site(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    /// Only root can be another user, and these tests need one.
    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn it_is_the_users_whoever_may_make_it_and_stays_as_it_is() {
        for mode in if is_root() { &[0o1777, 0o755][..] } else { &[] } {
            let site = site(*mode);
            let outputs = make(site.path(), "7", &NOBODY).unwrap();
            assert_eq!(outputs, site.path().join("7/outputs"));
            for path in [outputs.parent().unwrap(), &outputs] {
                let found = std::fs::metadata(path).unwrap();
                assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (65534, 65534, 0o750));
            }
            std::fs::write(outputs.join("kept"), "").unwrap();
            std::fs::set_permissions(&outputs, std::fs::Permissions::from_mode(0o700)).unwrap();
            make(site.path(), "7", &NOBODY).unwrap();
            assert_eq!(std::fs::metadata(&outputs).unwrap().mode() & 0o7777, 0o700);
            assert!(outputs.join("kept").exists());
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_record_is_the_users_and_comes_again_in_its_place() {
        if !is_root() {
            return;
        }
        let site = site(0o1777);
        make(site.path(), "7", &NOBODY).unwrap();
        let place = Place { folder: site.path().join("7"), owner: NOBODY };
        for text in ["first", "second"] {
            place.leave("0.7.batch.0.json", text.into()).unwrap();
        }
        let file = site.path().join("7/.steps/0.7.batch.0.json");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "second");
        assert_eq!(std::fs::metadata(&file).unwrap().uid(), 65534);
        assert_eq!(names(file.parent().unwrap()), ["0.7.batch.0.json"]);
        let error = Place { folder: site.path().join("8"), owner: NOBODY }.leave("x", Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("cannot leave a record for the job's summary in /"), "{error}");
    }

    #[test]
    fn the_collector_is_told_once_whoever_has_taken_the_name() {
        if !is_root() {
            return;
        }
        let site = site(0o755);
        enqueue(site.path(), "7", &NOBODY).unwrap();
        assert!(names(site.path()).is_empty());
        let queue = site.path().join(queue::FOLDER);
        std::fs::create_dir(&queue).unwrap();
        std::fs::set_permissions(&queue, std::fs::Permissions::from_mode(0o1777)).unwrap();
        for _ in 0..2 {
            enqueue(site.path(), "7", &NOBODY).unwrap();
        }
        assert_eq!(names(&queue), ["7"]);
        std::fs::write(queue.join("8"), "").unwrap();
        enqueue(site.path(), "8", &NOBODY).unwrap();
        let mine = names(&queue).into_iter().find(|name| name.starts_with("8.")).unwrap();
        assert_eq!(std::fs::metadata(queue.join(mine)).unwrap().uid(), 65534);
    }

    #[test]
    fn what_somebody_else_has_put_there_is_not_taken() {
        if !is_root() {
            return;
        }
        let site = site(0o1777);
        std::fs::create_dir(site.path().join("7")).unwrap();
        let error = make(site.path(), "7", &NOBODY).unwrap_err();
        assert!(error.to_string().ends_with("belongs to user 0, not to the job's"), "{error}");
        let elsewhere = site.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, site.path().join("8")).unwrap();
        assert!(matches!(make(site.path(), "8", &NOBODY), Err(ResultsError::Make { .. })));
        assert_eq!(std::fs::read_dir(elsewhere).unwrap().count(), 0);
        let nowhere = make(Path::new("/not/there"), "7", &NOBODY).unwrap_err();
        assert_eq!(nowhere.to_string(), "cannot make the folder for results /not/there/7");
    }
}
