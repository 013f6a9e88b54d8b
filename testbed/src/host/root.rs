//! The root of a host: a system below, the host's changes above.

use super::Host;
use crate::{account, paths};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Folders that start empty on each host and lie on the real disk: (path, mode).
/// The system's own content there must not show, and some of it can't lie on an overlay.
const OWN: &[(&str, u32)] = &[
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/var/log", 0o755),
    ("/var/spool", 0o755),
    ("/var/lib/cni", 0o755),
    ("/var/lib/containerd", 0o711),
    ("/var/lib/docker-registry", 0o755),
    ("/var/lib/etcd", 0o700),
    ("/var/lib/kubelet", 0o755),
    ("/var/lib/mysql", 0o755),
    ("/var/lib/slurm", 0o755),
    ("/etc/cni", 0o755),
    ("/etc/containerd", 0o755),
    ("/etc/kubernetes", 0o755),
    ("/etc/munge", 0o700),
    ("/etc/slurm", 0o755),
    ("/etc/testbed", 0o755),
];

/// Folders that all hosts share: (path on the host, path below the state folder).
const SHARED: &[(&str, &str)] = &[("/home", "shared/home"), ("/mnt/nas", "shared/nas")];

/// Which action of building the root failed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A folder could not be made.
    #[error("could not make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A mount failed.
    #[error("could not mount {what} at {}", path.display())]
    Mount {
        /// What was to be mounted.
        what: String,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The root could not be switched.
    #[error("could not make {} the root", path.display())]
    Pivot {
        /// The new root.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The host name could not be set.
    #[error("could not set the host name")]
    Name(#[source] std::io::Error),
}

/// Builds the root and makes it this process's; runs in fresh mount, UTS and network namespaces.
pub fn build(host: Host, system: &Path) -> Result<(), RootError> {
    let root = host.state().join("root");
    let upper = host.state().join("upper");
    let work = host.state().join("work");
    for path in [&root, &upper, &work] {
        folder(path, 0o755)?;
    }
    let lower = system.display();
    let options = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
    attach("overlay", "overlay", &root, &options)?;
    kernel_views(&root)?;
    for (path, mode) in OWN {
        let source = host.state().join("own").join(path.trim_start_matches('/'));
        folder(&source, *mode)?;
        bind(&source, &root.join(path.trim_start_matches('/')))?;
    }
    for (path, below) in SHARED {
        bind(&paths::state(below), &root.join(path.trim_start_matches('/')))?;
    }
    bind(Path::new(paths::STATE), &root.join(paths::STATE.trim_start_matches('/')))?;
    let hosts = super::ALL.iter().map(|host| format!("{} {}\n", host.ip, host.name)).collect::<String>();
    let hosts = format!("127.0.0.1 localhost\n{hosts}{} nas-hub.local\n", super::CTL.ip);
    file(&root.join("etc/hosts"), &hosts)?;
    file(&root.join("etc/hostname"), &format!("{}\n", host.name))?;
    for (path, text) in account::databases(system) {
        file(&root.join(path), &text)?;
    }
    file(&root.join(paths::MARK), host.name)?;
    rustix::system::sethostname(host.name.as_bytes()).map_err(|error| RootError::Name(error.into()))?;
    pivot(&root)
}

/// /proc, /sys with the network namespace's own view and the cgroups, /dev, and fresh /dev/shm and /run.
fn kernel_views(root: &Path) -> Result<(), RootError> {
    bind_recursive(Path::new("/proc"), &root.join("proc"))?;
    attach("sysfs", "sysfs", &root.join("sys"), "")?;
    bind_recursive(Path::new("/sys/fs/cgroup"), &root.join("sys/fs/cgroup"))?;
    bind_recursive(Path::new("/dev"), &root.join("dev"))?;
    attach("tmpfs", "tmpfs", &root.join("dev/shm"), "mode=1777")?;
    attach("tmpfs", "tmpfs", &root.join("run"), "mode=0755")?;
    folder(&root.join("run/lock"), 0o1777)
}

fn pivot(root: &Path) -> Result<(), RootError> {
    let failed = |error: rustix::io::Errno| RootError::Pivot { path: root.to_owned(), source: error.into() };
    rustix::process::chdir(root).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    unmount(".", UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)?;
    // Containers follow the host's later mounts; the base machine never sees any of them.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).map_err(failed)
}

fn attach(what: &str, kind: &str, path: &Path, options: &str) -> Result<(), RootError> {
    let failed = |source| RootError::Mount { what: what.to_owned(), path: path.to_owned(), source };
    let options = CString::new(options).map_err(|error| failed(error.into()))?;
    mount(what, path, kind, MountFlags::empty(), options.as_c_str()).map_err(|error| failed(error.into()))
}

fn bind(source: &Path, path: &Path) -> Result<(), RootError> {
    folder(path, 0o755)?;
    mount_bind(source, path).map_err(|error| bind_error(source, path, error))
}

fn bind_recursive(source: &Path, path: &Path) -> Result<(), RootError> {
    mount_bind_recursive(source, path).map_err(|error| bind_error(source, path, error))
}

fn bind_error(source: &Path, path: &Path, error: rustix::io::Errno) -> RootError {
    RootError::Mount { what: source.display().to_string(), path: path.to_owned(), source: error.into() }
}

/// Makes a folder; one that is already there keeps its mode and owner.
fn folder(path: &Path, mode: u32) -> Result<(), RootError> {
    let make = || {
        if path.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|source| RootError::Folder { path: path.to_owned(), source })
}

fn file(path: &Path, text: &str) -> Result<(), RootError> {
    // Written in place: the mode and owner of the system's file stay.
    std::fs::write(path, text).map_err(|source| RootError::File { path: path.to_owned(), source })
}
