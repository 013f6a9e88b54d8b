//! Kubernetes itself: one program that is the API server, the kubelet, kubectl and the rest, built once per version.

use super::fingerprint;
use crate::command::{self, CommandError};
use crate::host::Host;
use crate::paths;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its version.
pub const VERSION: &str = "1.34.4";

const SOURCES: &[(&str, &str)] = &[
    ("main.go", include_str!("../../kubernetes/main.go")),
    ("go.mod", include_str!("../../kubernetes/go.mod")),
    ("go.sum", include_str!("../../kubernetes/go.sum")),
];

/// Why there is no Kubernetes.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The compiler failed.
    #[error("could not build Kubernetes {VERSION}")]
    Build(#[source] CommandError),
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

fn key() -> String {
    let mut parts = fingerprint::Fingerprint::new();
    SOURCES.iter().flat_map(|(name, text)| [name, text]).for_each(|part| parts.add(part.as_bytes()));
    parts.add(linked().as_bytes());
    format!("kubernetes-{VERSION}-{}", parts.text())
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

/// Whether the next [`bring_up`] takes minutes.
pub fn built() -> bool {
    paths::cache().join(key()).join("kubernetes").exists()
}

/// Builds it if the cache does not have it. Gives where it is on every host.
pub fn bring_up() -> Result<String, ProgramError> {
    let cached = paths::cache().join(key());
    if !built() {
        build(&cached)?;
    }
    let folder = paths::state("bin").join(key());
    let program = folder.join("kubernetes");
    let failed = |source| ProgramError::File { path: program.clone(), source };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    if !program.exists() {
        let new = folder.join("new");
        let _ = std::fs::remove_file(&new);
        let source = cached.join("kubernetes");
        std::fs::hard_link(&source, &new)
            .or_else(|_| std::fs::copy(&source, &new).map(|_| ()))
            .and_then(|()| std::fs::rename(&new, &program))
            .map_err(failed)?;
    }
    Ok(program.display().to_string())
}

fn build(target: &Path) -> Result<(), ProgramError> {
    // A run that was killed may have left one; the testbed's lock keeps others out.
    let new = target.with_added_extension("new");
    let _ = std::fs::remove_dir_all(&new);
    let write = |name: &str, text: &str| {
        let path = new.join(name);
        std::fs::write(&path, text).map_err(|source| ProgramError::File { path, source })
    };
    std::fs::create_dir_all(&new).map_err(|source| ProgramError::File { path: new.clone(), source })?;
    for (name, text) in SOURCES {
        write(name, text)?;
    }
    // In the caller's environment: the way to the network and Go's caches are the caller's.
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-mod=readonly", "-tags=netgo", "-o=kubernetes", "-ldflags"])
        .arg(linked())
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(&new);
    command::run(go).map_err(ProgramError::Build)?;
    let finish = || {
        for (name, _) in SOURCES {
            std::fs::remove_file(new.join(name))?;
        }
        // A former one without its program would be in the way.
        let _ = std::fs::remove_dir_all(target);
        std::fs::rename(&new, target)
    };
    finish().map_err(|source| ProgramError::File { path: target.to_owned(), source })
}

/// Puts kubectl into the host's PATH.
pub fn link_kubectl(program: &str, host: Host) -> Result<(), ProgramError> {
    let path = host.path("/usr/local/bin/kubectl");
    if std::fs::read_link(&path).is_ok_and(|present| present == Path::new(program)) {
        return Ok(());
    }
    let new = host.path("/usr/local/bin/.kubectl.new");
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(program, &new)
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(|source| ProgramError::File { path, source })
}
