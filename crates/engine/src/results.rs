//! A job's folder for what it leaves behind. Slurm opens the job's output in it right after the plugin's first hook.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, fchmod, fchown, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use slurm_k8s_core::results::OUTPUTS;

/// How long the file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The file system does not answer.
    #[error("the folder for results {} did not answer within {} s", path.display(), PATIENCE.as_secs())]
    Silent {
        /// The folder.
        path: PathBuf,
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
    let made = match made.map_err(failed)?.ok_or_else(|| ResultsError::Silent { path: path.clone() })? {
        Err(Fault::Errno(Errno::ACCESS | Errno::PERM)) => attempt(folder, id, owner, true)
            .map_err(failed)?
            .ok_or_else(|| ResultsError::Silent { path: path.clone() })?,
        made => made,
    };
    match made {
        Ok(()) => Ok(path.join(OUTPUTS)),
        Err(Fault::Errno(error)) => Err(failed(error.into())),
        Err(Fault::Foreign(owner)) => Err(ResultsError::Foreign { path, owner }),
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(&at, path, flags, Mode::empty())?;
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
