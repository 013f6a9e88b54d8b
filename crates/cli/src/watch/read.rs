//! Reading a file that was taken: once, with its owner's rights, and only if it is what may be submitted.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use slurm_k8s_core::config::Watch;
use slurm_k8s_core::watch::reason::Refusal;
use slurm_k8s_core::watch::{LARGEST, admit};
use slurm_k8s_posix::as_user;

use super::claim::{Claim, SCRIPT};
use crate::account::{Account, AccountError};
use crate::disk::{Disk, DiskError, read_all};

/// For opening a file on a file server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why it could not be read, which is not its own fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A call of the watcher's.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its owner.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The thread with the owner's rights.
    #[error("cannot take the rights of {user}")]
    Rights {
        /// The login name.
        user: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file system.
    #[error("cannot read a file of {user}'s")]
    File {
        /// The login name.
        user: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No answer.
    #[error("the file system does not answer within {} s", PATIENCE.as_secs())]
    Slow,
}

/// What comes of it.
pub enum Read {
    /// Its bytes, and whose they are.
    Whole(Vec<u8>, Account),
    /// It may not be submitted.
    Refused(Refusal),
    /// It changes.
    Growing(Duration),
}

/// Reads it.
pub fn read(disk: &Disk, claim: &mut Claim, watch: &Watch) -> Result<Read, ReadError> {
    let Some(entry) = disk.look(&claim.folder, SCRIPT)? else {
        return Err(DiskError::of("find", &claim.folder.path.join("script"), Errno::NOENT).into());
    };
    claim.uid = entry.opened.uid;
    if let Err(refusal) = admit::may_be_read(&entry.opened, watch) {
        return Ok(Read::Refused(refusal));
    }
    if let Err(rest) = claim.settled(entry.look, watch.settle) {
        return Ok(Read::Growing(rest));
    }
    let uid = entry.opened.uid;
    let Some(account) = Account::find(uid)? else { return Ok(Read::Refused(Refusal::Stranger { uid })) };
    let file = match open(claim, &account)? {
        Ok(file) => file,
        Err(refusal) => return Ok(Read::Refused(refusal)),
    };
    // From here on it is this file, whatever happens to its name.
    let opened = disk.look_at(&claim.folder, &file)?;
    let rules = admit::may_be_read(&opened.opened, watch);
    if let Err(refusal) = rules.and_then(|()| admit::may_be_submitted(&opened.opened, &account.owner, watch)) {
        return Ok(Read::Refused(refusal));
    }
    let user = || account.owner.name.clone();
    let most = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    let bytes = read_all(&file, most).map_err(|errno| ReadError::File { user: user(), source: errno.into() })?;
    let after = disk.look_at(&claim.folder, &file)?;
    if bytes.len() > most {
        return Ok(Read::Refused(Refusal::Large { size: after.opened.size }));
    }
    if opened.opened.uid != uid || after.look != opened.look || claim.settled(after.look, watch.settle).is_err() {
        return Ok(Read::Growing(watch.settle));
    }
    Ok(Read::Whole(bytes, account))
}

/// Opens it as its owner, who can read it where the watcher's user cannot. A FIFO or a lease holds nobody up.
fn open(claim: &Claim, account: &Account) -> Result<Result<OwnedFd, Refusal>, ReadError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let user = || account.owner.name.clone();
    let folder = rustix::io::fcntl_dupfd_cloexec(&claim.folder, 0)
        .map_err(|errno| ReadError::File { user: user(), source: errno.into() })?;
    let work = move || rustix::fs::openat(&folder, SCRIPT, flags, Mode::empty());
    let opened = as_owner(account, work).map_err(|source| ReadError::Rights { user: user(), source })?;
    match opened {
        None => Err(ReadError::Slow),
        Some(Ok(file)) => Ok(Ok(file)),
        Some(Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO | Errno::AGAIN))) => {
            Ok(Err(Refusal::Unreadable { why: std::io::Error::from(errno).to_string() }))
        }
        Some(Err(errno)) => Err(ReadError::File { user: user(), source: errno.into() }),
    }
}

/// Does something with the owner's rights; without a change if they are this process's own.
pub fn as_owner<T, F>(account: &Account, work: F) -> std::io::Result<Option<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if account.uid == rustix::process::geteuid().as_raw() {
        return Ok(Some(work()));
    }
    as_user(account.uid, account.owner.gid, &account.groups, PATIENCE, work)
}
