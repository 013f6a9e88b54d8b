//! `--k8s-mounts`: opened with the user's own rights, then cloned to a place that only root can change, where the runtime
//! takes them from.
//!
//! A path would be resolved by root later: a symlink into another user's folder would be followed. These mounts are
//! apart from the run folder, and are only ever unmounted, never removed recursively: what is in them is the user's.

use std::fs::DirBuilder;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount_change, move_mount, open_tree, unmount,
};
use slurm_k8s_core::grant::Mount;
use slurm_k8s_core::option::MOUNTS;
use slurm_k8s_core::option::mount::MountRequest;

/// How long the file systems may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mount that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MountsError {
    /// The user cannot reach the source.
    #[error("--{MOUNTS}: {user} cannot reach {} on this node", source_path.display())]
    Unreachable {
        /// The source.
        source_path: PathBuf,
        /// The login name.
        user: String,
        /// Why.
        source: std::io::Error,
    },
    /// A link led out of what the admin allows.
    #[error("--{MOUNTS}: {} leads to {}, which is not in a folder that this site lets users mount", source_path.display(), real.display())]
    Outside {
        /// The source.
        source_path: PathBuf,
        /// Where it leads.
        real: PathBuf,
    },
    /// The place is in a shared file system and is not there: the runtime would make it, as root.
    #[error("--{MOUNTS}: there is no {} on the shared file system to mount over", target.display())]
    NoPlace {
        /// The place.
        target: PathBuf,
    },
    /// Users could change the way to the place while the runtime, as root, makes it.
    #[error("--{MOUNTS}: {} is below {}, which users can change", target.display(), folder.display())]
    Changeable {
        /// The place.
        target: PathBuf,
        /// The folder on the way.
        folder: PathBuf,
    },
    /// A file system does not answer.
    #[error("--{MOUNTS}: the file systems did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// The node's own folders.
    #[error("cannot {action} {}", path.display())]
    Node {
        /// What was tried.
        action: &'static str,
        /// The place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Whose rights count, and where mounts may come from.
pub struct Rules {
    /// The login name.
    pub user: String,
    /// The user.
    pub uid: u32,
    /// The user's group for this job.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// Folders that sources may be in, links resolved or not.
    pub allowed: Vec<PathBuf>,
    /// The shared file systems that every Pod has.
    pub site: Vec<PathBuf>,
}

/// The clones of one Pod, below one folder.
#[derive(Debug, Default)]
pub struct Mounts {
    folder: Option<PathBuf>,
    places: Vec<PathBuf>,
}

impl Mounts {
    /// Clones each source to `<folder>/<number>`; gives what the grant says of them.
    pub fn make(folder: &Path, rules: Rules, wanted: &[MountRequest]) -> Result<(Self, Vec<Mount>), MountsError> {
        let mut this = Self::default();
        if wanted.is_empty() {
            return Ok((this, Vec::new()));
        }
        let (uid, gid, groups) = (rules.uid, rules.gid, rules.groups.clone());
        let requests = wanted.to_vec();
        let opened = slurm_k8s_posix::as_user(uid, gid, &groups, PATIENCE, move || open_all(&rules, &requests));
        let at_node = |action, path: &Path| {
            let path = path.to_owned();
            move |source: std::io::Error| MountsError::Node { action, path, source }
        };
        let opened = opened.map_err(at_node("take the user's rights for", folder))?.ok_or(MountsError::Silent)??;
        let make = |path: &Path| DirBuilder::new().mode(0o711).recursive(true).create(path);
        make(folder).map_err(at_node("make the folder", folder))?;
        this.folder = Some(folder.to_owned());
        let mut mounts = Vec::new();
        for (number, (request, source)) in wanted.iter().zip(opened).enumerate() {
            let place = folder.join(number.to_string());
            this.attach(&source, &place).map_err(|error| at_node("mount at", &place)(error.into()))?;
            mounts.push(Mount { source: place, target: request.target.clone(), read_only: request.read_only });
        }
        Ok((this, mounts))
    }

    fn attach(&mut self, source: &OwnedFd, place: &Path) -> rustix::io::Result<()> {
        let folder = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode) == FileType::Directory;
        if folder {
            rustix::fs::mkdir(place, Mode::from_raw_mode(0o700))?;
        } else {
            rustix::fs::open(place, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?;
        }
        self.places.push(place.to_owned());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(source, "", flags)?;
        move_mount(&tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        part(place)
    }
}

/// A clone's mounts are peers of the node's own: what is unmounted below one is unmounted below the other. As slaves they
/// still have what the node mounts there later (`mount_namespaces(7)`).
fn part(place: &Path) -> rustix::io::Result<()> {
    mount_change(place, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}

/// Unmounts a clone, and nothing of the node's: also one whose slurmstepd was killed before it was parted.
pub fn detach(place: &Path) -> rustix::io::Result<()> {
    part(place)?;
    unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

impl Drop for Mounts {
    /// Unmounts, then removes the empty places: one that is still mounted on cannot be removed, and stays.
    fn drop(&mut self) {
        for place in &self.places {
            let _ = detach(place);
            if let Err(error) = std::fs::remove_dir(place).or_else(|_| std::fs::remove_file(place)) {
                log::warn!("cannot remove the mount point {}: {error}", place.display());
            }
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn open_all(rules: &Rules, wanted: &[MountRequest]) -> Result<Vec<OwnedFd>, MountsError> {
    wanted.iter().map(|request| open(rules, request)).collect()
}

/// Runs with the user's rights. The descriptor, and not the path, is what was checked.
fn open(rules: &Rules, request: &MountRequest) -> Result<OwnedFd, MountsError> {
    let MountRequest { source, target, .. } = request;
    let unreachable = |error: std::io::Error| MountsError::Unreachable {
        source_path: source.clone(),
        user: rules.user.clone(),
        source: error,
    };
    let opened = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(|error| unreachable(error.into()))?;
    let real = std::fs::read_link(format!("/proc/thread-self/fd/{}", opened.as_raw_fd())).map_err(unreachable)?;
    let resolved = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
    if !rules.allowed.iter().any(|folder| real.starts_with(resolved(folder))) {
        return Err(MountsError::Outside { source_path: source.clone(), real });
    }
    if let Some(site) = rules.site.iter().find(|site| target.starts_with(site)) {
        let folders = target.ancestors().skip(1).take_while(|folder| folder.starts_with(site));
        if let Some(folder) = folders.into_iter().find(|folder| !is_fixed(folder)) {
            return Err(MountsError::Changeable { target: target.clone(), folder: folder.to_owned() });
        }
        if target.symlink_metadata().is_ok_and(|there| there.is_symlink()) || !target.exists() {
            return Err(MountsError::NoPlace { target: target.clone() });
        }
    }
    Ok(opened)
}

/// Whether only root can put something else there, below or in its place.
fn is_fixed(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    folder.symlink_metadata().is_ok_and(|it| it.is_dir() && it.uid() == 0 && it.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &Path) -> Rules {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let allowed = vec![allowed.to_owned()];
        Rules { user: "me".into(), uid, gid, groups: vec![gid], allowed, site: vec!["/nonexistent".into()] }
    }

    fn request(source: &Path, target: &str) -> MountRequest {
        MountRequest { source: source.to_owned(), target: target.into(), read_only: false }
    }

    #[test]
    fn what_is_opened_must_be_in_an_allowed_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        let rules = rules(folder.path());
        assert!(open(&rules, &request(&inside, "/x")).is_ok());
        let out = open(&rules, &request(&folder.path().join("out"), "/x")).unwrap_err();
        assert!(matches!(out, MountsError::Outside { .. }), "{out}");
        let absent = open(&rules, &request(&folder.path().join("absent"), "/x")).unwrap_err();
        assert!(matches!(absent, MountsError::Unreachable { .. }), "{absent}");
    }

    #[test]
    fn a_place_in_a_shared_file_system_must_be_one_that_users_cannot_change() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |site: &str, target: &str| {
            let rules = Rules { site: vec![site.into()], ..rules(folder.path()) };
            open(&rules, &request(folder.path(), target))
        };
        assert!(ask("/usr", "/usr/bin").is_ok());
        assert!(ask("/srv", "/data").is_ok());
        assert!(matches!(ask("/usr", "/usr/no-such-place"), Err(MountsError::NoPlace { .. })));
        // World-writable, as scratch file systems are; and one that is not there.
        assert!(matches!(ask("/tmp", "/tmp/x"), Err(MountsError::Changeable { .. })));
        assert!(matches!(ask("/nonexistent", "/nonexistent/x"), Err(MountsError::Changeable { .. })));
        let own = folder.path().to_str().unwrap();
        assert!(matches!(ask(own, &format!("{own}/x/y")), Err(MountsError::Changeable { .. })));
    }
}
