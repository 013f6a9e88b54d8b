//! Taking the grant: once, and only the right one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use slurm_k8s_core::grant::{Grant, NONCE_ANNOTATION};

use crate::annotation;

/// Why the container does not start.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// containerd does not say which Pod this is.
    #[error("the container has no annotation {0}")]
    Annotation(&'static str),
    /// A name that could lead out of the grants' folder.
    #[error("the Pod's name {0:?} is no name")]
    Name(String),
    /// There is none.
    #[error("no grant for the Pod {namespace}/{pod} on this node: it was not created by Slurm, or was started before")]
    None {
        /// The Pod's namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// It is there, but not root's alone.
    #[error("the grant {0} is not root's alone")]
    Owner(PathBuf),
    /// It could not be read.
    #[error("cannot read the grant {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not a grant.
    #[error("the grant {0} cannot be understood")]
    Json(PathBuf, #[source] serde_json::Error),
    /// It is another Pod's.
    #[error("the grant is for another Pod of this name")]
    Nonce,
}

/// Takes the grant of the Pod that `config` belongs to; a second call for the same Pod finds none.
pub fn take(run: &Path, config: &Value) -> Result<Grant, TakeError> {
    let named = |name| annotation(config, name).ok_or(TakeError::Annotation(name));
    let namespace = named("io.kubernetes.cri.sandbox-namespace")?;
    let pod = named("io.kubernetes.cri.sandbox-name")?;
    let nonce = named(NONCE_ANNOTATION)?;
    for name in [namespace, pod] {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if !plain || name.is_empty() || name.starts_with('.') {
            return Err(TakeError::Name(name.to_owned()));
        }
    }
    let path = run.join("grants").join(namespace).join(format!("{pod}.json"));
    let grant = read(&path).map_err(|error| match error {
        TakeError::Read(_, source) if source.kind() == std::io::ErrorKind::NotFound => {
            TakeError::None { namespace: namespace.to_owned(), pod: pod.to_owned() }
        }
        error => error,
    })?;
    if grant.nonce != nonce || grant.pod != pod || grant.namespace != namespace {
        return Err(TakeError::Nonce);
    }
    // Whoever removes it has it: of two containers only one gets here.
    std::fs::remove_file(&path).map_err(|error| TakeError::Read(path, error))?;
    Ok(grant)
}

fn read(path: &Path) -> Result<Grant, TakeError> {
    let failed = |error| TakeError::Read(path.to_owned(), error);
    // A FIFO would have to be waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new();
    let file = {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = file;
        file.read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?
    };
    let about = file.metadata().map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    if about.uid() != me || about.mode() & 0o177 != 0 || !about.is_file() {
        return Err(TakeError::Owner(path.to_owned()));
    }
    serde_json::from_reader(std::io::BufReader::new(file)).map_err(|error| TakeError::Json(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(pod: &str, nonce: &str) -> Value {
        serde_json::json!({ "annotations": {
            "io.kubernetes.cri.sandbox-namespace": "jobs",
            "io.kubernetes.cri.sandbox-name": pod,
            NONCE_ANNOTATION: nonce,
        }})
    }

    fn granted(mode: u32) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        let folder = run.path().join("grants/jobs");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("p.json");
        std::fs::write(&path, serde_json::to_vec(&crate::apply::sample()).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        run
    }

    #[test]
    fn a_grant_is_taken_once() {
        let run = granted(0o600);
        assert_eq!(take(run.path(), &config("p", "n")).unwrap().uid, 1000);
        assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::None { .. })));
    }

    #[test]
    fn a_wrong_one_is_not_taken() {
        let run = granted(0o600);
        assert!(matches!(take(run.path(), &config("p", "other")), Err(TakeError::Nonce)));
        assert!(matches!(take(run.path(), &config("../p", "n")), Err(TakeError::Name(_))));
        assert!(matches!(take(run.path(), &config("..", "n")), Err(TakeError::Name(_))));
        for mode in [0o644, 0o620, 0o602, 0o640, 0o700] {
            assert!(matches!(take(granted(mode).path(), &config("p", "n")), Err(TakeError::Owner(_))), "{mode:o}");
        }
        assert!(matches!(take(run.path(), &serde_json::json!({})), Err(TakeError::Annotation(_))));
    }

    #[test]
    fn a_forged_one_is_not_taken() {
        let run = granted(0o600);
        let path = run.path().join("grants/jobs/p.json");
        let forged = run.path().join("forged.json");
        std::fs::rename(&path, &forged).unwrap();
        std::os::unix::fs::symlink(&forged, &path).unwrap();
        assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Read(..))), "a link");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Owner(_))), "a folder");
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Owner(_))), "a fifo");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&forged, &path).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
            assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Owner(_))), "a user's");
            std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        }
        for (text, why) in [("{}", "empty"), ("{\"uid\":0}", "half"), ("\0\0", "no JSON")] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Json(..))), "{why}");
        }
    }

    #[test]
    fn a_grant_for_another_pod_under_this_name_is_not_taken() {
        let run = granted(0o600);
        let path = run.path().join("grants/jobs/p.json");
        for (namespace, pod) in [("other", "p"), ("jobs", "q")] {
            let grant = Grant { namespace: namespace.into(), pod: pod.into(), ..crate::apply::sample() };
            std::fs::write(&path, serde_json::to_vec(&grant).unwrap()).unwrap();
            assert!(matches!(take(run.path(), &config("p", "n")), Err(TakeError::Nonce)));
        }
    }

    #[test]
    fn of_many_containers_one_takes_it() {
        let run = granted(0o600);
        let taken = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..16).map(|_| scope.spawn(|| take(run.path(), &config("p", "n")).is_ok())).collect();
            takers.into_iter().filter_map(|taker| taker.join().ok()).filter(|taken| *taken).count()
        });
        assert_eq!(taken, 1);
    }
}
