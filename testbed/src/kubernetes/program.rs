//! Kubernetes itself: one program that is the API server, the kubelet, kubectl and the rest.

use crate::go_program::{GoProgram, GoProgramError};
use crate::host::Host;
use std::path::Path;

/// Its version.
pub const VERSION: &str = "1.34.4";

/// How it is built.
pub fn program() -> GoProgram {
    GoProgram {
        name: "kubernetes",
        version: VERSION,
        sources: &[
            ("main.go", include_str!("../../kubernetes/main.go")),
            ("go.mod", include_str!("../../kubernetes/go.mod")),
            ("go.sum", include_str!("../../kubernetes/go.sum")),
        ],
        tags: "netgo",
        linked: linked(),
        packages: &["."],
        output: "kubernetes",
        programs: &["kubernetes"],
    }
}

/// What a release build tells the linker: the servers' version, and the clients'.
fn linked() -> String {
    let mut parts = VERSION.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
        .map(|name| format!("-X {name}.gitVersion=v{VERSION} -X {name}.gitMajor={major} -X {name}.gitMinor={minor}"))
        .into_iter()
        .fold("-s -w".to_owned(), |flags, part| flags + " " + &part)
}

/// Puts kubectl into the host's PATH.
pub fn link_kubectl(program: &str, host: Host) -> Result<(), GoProgramError> {
    let path = host.path("/usr/local/bin/kubectl");
    if std::fs::read_link(&path).is_ok_and(|present| present == Path::new(program)) {
        return Ok(());
    }
    let new = host.path("/usr/local/bin/.kubectl.new");
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(program, &new)
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(|source| GoProgramError::File { path, source })
}
