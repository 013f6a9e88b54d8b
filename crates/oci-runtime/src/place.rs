//! Where a mount comes to be.
//!
//! runc makes each mount point as root, and follows the image's links below the container's root: also into a file system
//! that an earlier mount has put there. Its own checks do not see a link that a user swaps in meanwhile. So no mount point
//! may be reached through anything that a user can change while the container is made.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use slurm_k8s_core::grant::{CONTAINER_RUN_DIR, Mount};

/// A mount that is not made.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The image has something else there.
    #[error("cannot mount at {}: the image has no folder there, and none can be made", .0.display())]
    Unusable(PathBuf),
    /// The image leads to a place of the container's own.
    #[error("cannot mount at {}: a link of the image leads to {}", target.display(), leads_to.display())]
    Taken {
        /// What was asked for.
        target: PathBuf,
        /// Where it would be.
        leads_to: PathBuf,
    },
    /// The image leads into another mount.
    #[error("cannot mount at {}: a link of the image leads into {}, which is mounted, too", target.display(), other.display())]
    Into {
        /// What was asked for.
        target: PathBuf,
        /// The other mount's place.
        other: PathBuf,
    },
}

/// Fails if a link of the image leads a mount to somewhere else than beside the others. Nobody changes the image's files
/// between this check and the mounts.
pub fn check(rootfs: &OwnedFd, mounts: &[Mount]) -> Result<(), PlaceError> {
    let places = mounts.iter().map(|mount| Ok((mount.target.as_path(), resolve(rootfs, &mount.target)?)));
    let places = places.collect::<Result<Vec<_>, PlaceError>>()?;
    let own = ["/proc", "/sys", "/dev", CONTAINER_RUN_DIR];
    for (at, (target, place)) in places.iter().enumerate() {
        if place == Path::new("/") || own.iter().any(|own| place.starts_with(own)) {
            return Err(PlaceError::Taken { target: target.to_path_buf(), leads_to: place.clone() });
        }
        let before = places.iter().take(at);
        let into = |(other, its): &&(&Path, PathBuf)| place.starts_with(its) && !target.starts_with(other);
        if let Some((other, _)) = before.clone().find(into) {
            return Err(PlaceError::Into { target: target.to_path_buf(), other: other.to_path_buf() });
        }
    }
    Ok(())
}

/// The path with the image's links followed as if its root were `/`. What is not there yet is left as it is.
fn resolve(rootfs: &OwnedFd, target: &Path) -> Result<PathBuf, PlaceError> {
    let unusable = || PlaceError::Unusable(target.to_owned());
    let open = |path: &Path, flags: OFlags| {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(rootfs, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside)
    };
    let path_of = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let mut there = target.strip_prefix("/").map_err(|_| unusable())?;
    let mut absent = Vec::new();
    loop {
        match open(there, OFlags::empty()) {
            Ok(folder) => {
                let root = path_of(rootfs).map_err(|_| unusable())?;
                let real = path_of(&folder).map_err(|_| unusable())?;
                let real = real.strip_prefix(root).map_err(|_| unusable())?;
                return Ok(Path::new("/").join(real).join(absent.iter().rev().collect::<PathBuf>()));
            }
            // A link to nowhere: runc would make what it names.
            Err(rustix::io::Errno::NOENT) if open(there, OFlags::NOFOLLOW).is_err() => {
                absent.push(there.file_name().ok_or_else(unusable)?);
                there = there.parent().ok_or_else(unusable)?;
            }
            Err(_) => return Err(unusable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn image() -> (tempfile::TempDir, OwnedFd) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["var/home", "dev/shm"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("file"), "").unwrap();
        for (link, to) in [
            ("home", "var/home"),
            ("root", "/"),
            ("up", "../../../.."),
            ("mnt", "/home"),
            ("devices", "/dev/shm"),
            ("nowhere", "/absent/x"),
            ("loop", "loop"),
            ("host", "/proc/self/root"),
        ] {
            symlink(to, root.path().join(link)).unwrap();
        }
        let fd = rustix::fs::open(root.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (root, fd)
    }

    fn mounts(targets: &[&str]) -> Vec<Mount> {
        let mount = |target: &&str| Mount { source: "/s".into(), target: target.into(), read_only: false };
        targets.iter().map(mount).collect()
    }

    #[test]
    fn links_of_the_image_are_followed_below_its_root() {
        let (_image, fd) = image();
        for (target, place) in [
            ("/home", "/var/home"),
            ("/home/x/y", "/var/home/x/y"),
            ("/mnt/nas", "/var/home/nas"),
            ("/absent/a/b", "/absent/a/b"),
            ("/up", "/"),
        ] {
            assert_eq!(resolve(&fd, Path::new(target)).unwrap(), Path::new(place), "{target}");
        }
        for target in ["/nowhere", "/nowhere/y", "/loop/x", "/file/x", "/host/proc", "relative"] {
            assert!(matches!(resolve(&fd, Path::new(target)), Err(PlaceError::Unusable(_))), "{target}");
        }
    }

    #[test]
    fn no_link_leads_a_mount_to_the_root_or_into_another_mount() {
        let (_image, fd) = image();
        assert!(check(&fd, &mounts(&["/home", "/scratch", "/home/alice"])).is_ok());
        for target in ["/root", "/up", "/devices"] {
            assert!(matches!(check(&fd, &mounts(&[target])), Err(PlaceError::Taken { .. })), "{target}");
        }
        assert!(matches!(check(&fd, &mounts(&["/home", "/mnt/nas"])), Err(PlaceError::Into { .. })));
        assert!(matches!(check(&fd, &mounts(&["/home", "/mnt"])), Err(PlaceError::Into { .. })));
    }
}
