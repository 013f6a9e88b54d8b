//! Where the testbed keeps its files.

use std::path::PathBuf;

/// All mutable state of the testbed, on the base machine. `down` removes it.
pub const STATE: &str = "/var/lib/spank-k8s-testbed";

/// The file at the root of every host; its text is the host's name.
pub const MARK: &str = ".spank-k8s-testbed";

/// The parent of every cgroup the testbed makes, below each hierarchy's mount point.
/// A host's own is `<CGROUP>/<host>`, for example the kubelet's `cgroupRoot`.
pub const CGROUP: &str = "/spank-k8s-testbed";

/// A path below [`STATE`].
pub fn state(below: &str) -> PathBuf {
    PathBuf::from(STATE).join(below)
}

/// What is costly to make again and survives `down`: the built Kubernetes, image layers.
pub fn cache() -> PathBuf {
    std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map_or_else(|| std::env::home_dir().unwrap_or_else(|| PathBuf::from("/root")).join(".cache"), PathBuf::from)
        .join("spank-k8s")
}

/// The checkout this program was built from.
pub fn checkout() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.parent().map_or_else(|| package.clone(), PathBuf::from)
}
