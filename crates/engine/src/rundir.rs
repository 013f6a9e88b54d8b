//! What one Pod has on its node: the run folder with the link's sockets, and the grant.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use slurm_k8s_core::account;
use slurm_k8s_core::grant::{
    AGENT_SOCKET, COMMANDS, CONTAINER_FILE, GROUP_FILE, Grant, PASSWD_FILE, SHIM_SOCKET, SLURM_COMMANDS, TOKEN_FILE,
};

/// A file or folder that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct RunDirError {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RunDirError {
    let path = path.to_owned();
    move |source| RunDirError { action, path, source }
}

/// A Pod's run folder. Root owns it and anyone may pass through it; what is in it belongs to the job's user.
///
/// It is locked for as long as this process lives, however that ends: what is not locked, a [`crate::sweep`] removes.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    grants: PathBuf,
    grant: Option<PathBuf>,
    _lock: OwnedFd,
}

/// How long a sweep may hold up who makes a folder or a grant.
const SWEEP: Duration = Duration::from_secs(1);
/// How soon that is looked at again.
const PAUSE: Duration = Duration::from_millis(2);

/// The listening ends of the link.
#[derive(Debug)]
pub struct Sockets {
    /// Where the shims connect.
    pub shim: UnixListener,
    /// Where the agent connects.
    pub agent: UnixListener,
}

impl RunDir {
    /// Makes `<run>/pods/<pod>-<nonce>` with both sockets, the token and the agent's mount point.
    pub fn make(
        run: &Path,
        pod: &str,
        nonce: &str,
        namespace: &str,
        owner: (u32, u32),
        token: &[u8],
    ) -> Result<(Self, Sockets), RunDirError> {
        let pods = run.join("pods");
        make_dir(&pods, 0o711)?;
        let path = pods.join(format!("{pod}-{nonce}"));
        let lock = make_locked(&path)?;
        let mut this = Self { grants: run.join("grants").join(namespace), grant: None, path, _lock: lock };
        match this.fill(owner, token) {
            Ok(sockets) => Ok((this, sockets)),
            Err(error) => {
                this.remove();
                Err(error)
            }
        }
    }

    fn fill(&self, owner: (u32, u32), token: &[u8]) -> Result<Sockets, RunDirError> {
        let sockets = Sockets { shim: self.listen(SHIM_SOCKET, owner)?, agent: self.listen(AGENT_SOCKET, owner)? };
        self.file(TOKEN_FILE, token, 0o400, Some(owner))?;
        self.file("agent", b"", 0o555, None)?;
        self.commands()?;
        Ok(sockets)
    }

    /// Slurm's commands, for who has none of them in the image: each says what helps.
    fn commands(&self) -> Result<(), RunDirError> {
        let folder = self.path.join(COMMANDS);
        make_dir(&folder, 0o755)?;
        SLURM_COMMANDS.iter().try_for_each(|name| {
            let path = folder.join(name);
            std::os::unix::fs::symlink("../agent", &path).map_err(failed("link", &path))
        })
    }

    /// The folder on the host.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the container's passwd and group, where no runtime of ours can read the image's.
    pub fn write_identity(&self, grant: &Grant) -> Result<(), RunDirError> {
        self.file(PASSWD_FILE, &account::passwd(account::PLAIN_PASSWD, grant), 0o444, None)?;
        self.file(GROUP_FILE, &account::group(account::PLAIN_GROUP, grant), 0o444, None)
    }

    /// Says whose cgroup the agent must be in, where no runtime of ours does.
    pub fn tell_pod(&self, uid: &str) {
        let path = self.path.join(CONTAINER_FILE);
        if let Err(error) = std::fs::write(&path, uid) {
            log::warn!("cannot write {}: {error}", path.display());
        }
    }

    /// Writes the grant: complete before it has its name, and only root can reach it. An earlier one for another
    /// name goes.
    pub fn write_grant(&mut self, grant: &Grant) -> Result<(), RunDirError> {
        self.remove_grant();
        let path = self.grants.join(format!("{}.json", grant.pod));
        let text = serde_json::to_vec(grant).map_err(|error| failed("encode", &path)(error.into()))?;
        if let Some(all) = self.grants.parent() {
            make_dir(all, 0o700)?;
        }
        make_dir(&self.grants, 0o700)?;
        let _shared = share(&self.grants)?;
        let draft = self.grants.join(format!(".{}.new", grant.nonce));
        let _ = std::fs::remove_file(&draft);
        write(&draft, &text, 0o600)?;
        std::fs::rename(&draft, &path).map_err(failed("rename to", &path))?;
        self.grant = Some(path);
        Ok(())
    }

    fn remove_grant(&mut self) {
        let Some(path) = self.grant.take() else {
            return;
        };
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }

    /// Removes the folder and a grant that was never used. Errors are logged: nothing more can be done here.
    pub fn remove(&mut self) {
        self.remove_grant();
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    fn listen(&self, name: &str, owner: (u32, u32)) -> Result<UnixListener, RunDirError> {
        let path = self.path.join(name);
        let socket = UnixListener::bind(&path).map_err(failed("listen at", &path))?;
        own(&path, 0o600, owner)?;
        Ok(socket)
    }

    fn file(&self, name: &str, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<(), RunDirError> {
        let path = self.path.join(name);
        write(&path, bytes, mode)?;
        owner.map_or(Ok(()), |owner| own(&path, mode, owner))
    }
}

/// 16 random bytes as lower-case hex: a nonce or a token.
pub fn random() -> Result<String, RunDirError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(failed("read", path))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// A folder that is locked from the first moment that counts: one that a sweep locked or removed before is made again.
fn make_locked(path: &Path) -> Result<OwnedFd, RunDirError> {
    let deadline = Instant::now() + SWEEP;
    loop {
        match DirBuilder::new().mode(0o711).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed("make the folder", path)(error));
            }
            _ => {}
        }
        match lock(path) {
            Ok(lock) => {
                // The umask may have taken bits away.
                let mode = rustix::fs::fchmod(&lock, rustix::fs::Mode::from_raw_mode(0o711));
                return mode.map(|()| lock).map_err(|error| failed("set the mode of", path)(error.into()));
            }
            Err(error) if Instant::now() > deadline => return Err(failed("lock", path)(error.into())),
            // A sweep has it, or has just taken it away.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Locks a folder for this process alone; an error if another one has it, or it is no longer there.
pub fn lock(path: &Path) -> rustix::io::Result<OwnedFd> {
    let folder = open(path)?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    let (locked, present) = (rustix::fs::fstat(&folder)?, rustix::fs::lstat(path)?);
    let same = (locked.st_dev, locked.st_ino) == (present.st_dev, present.st_ino);
    if same { Ok(folder) } else { Err(rustix::io::Errno::NOENT) }
}

/// Keeps a sweep out of the grants while one is put in the place of another.
fn share(grants: &Path) -> Result<OwnedFd, RunDirError> {
    let folder = open(grants).map_err(|error| failed("open", grants)(error.into()))?;
    let deadline = Instant::now() + SWEEP;
    while let Err(error) = flock(&folder, FlockOperation::NonBlockingLockShared) {
        if Instant::now() > deadline {
            return Err(failed("lock", grants)(error.into()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(folder)
}

fn open(folder: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), RunDirError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            // The umask may have taken bits away.
            std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("make the folder", path)(error)),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RunDirError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(failed("write", path))
}

fn own(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), RunDirError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path))?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(failed("give to the user", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_can_use_what_is_in_the_folder() {
        let run = tempfile::tempdir().unwrap();
        let me = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let (mut dir, _sockets) = RunDir::make(run.path(), "p", "n", "ns", me, b"secret").unwrap();
        let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("token"), mode("shim.sock"), mode("agent.sock")), (0o711, 0o400, 0o600, 0o600));
        dir.remove();
        assert!(!dir.path().exists());
    }

    #[test]
    fn two_random_values_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
        assert_eq!(random().unwrap().len(), 32);
    }
}
