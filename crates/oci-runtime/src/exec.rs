//! `exec` into a container of ours: the process gets the container's own groups and limits.
//!
//! containerd makes its description from what it knows, which has the groups of the *image's* /etc/group.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why nothing is executed in the container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A file of containerd's that cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file of containerd's that is not JSON.
    #[error("{0} is not JSON")]
    Json(PathBuf, #[source] serde_json::Error),
    /// The changed description cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] std::io::Error),
    /// The process would be another user.
    #[error("the process would run as another user than the container")]
    User,
}

/// Edits the description of a process for the container of this bundle.
pub fn restrict(bundle: &Path, process: &Path) -> Result<(), ExecError> {
    let config = read(&bundle.join("config.json"))?;
    if !crate::ours(&config) {
        return Ok(());
    }
    let mut description = read(process)?;
    apply(&config, &mut description)?;
    let text = serde_json::to_vec(&description).map_err(|error| ExecError::Json(process.to_owned(), error))?;
    std::fs::write(process, text).map_err(|error| ExecError::Write(process.to_owned(), error))
}

fn read(path: &Path) -> Result<Value, ExecError> {
    let text = std::fs::read(path).map_err(|error| ExecError::Read(path.to_owned(), error))?;
    serde_json::from_slice(&text).map_err(|error| ExecError::Json(path.to_owned(), error))
}

fn apply(config: &Value, description: &mut Value) -> Result<(), ExecError> {
    let own = config.get("process").ok_or(ExecError::User)?;
    let uid = |process: &Value| process.get("user")?.get("uid")?.as_u64();
    let (Some(user), Some(theirs)) = (own.get("user"), uid(description)) else { return Err(ExecError::User) };
    if uid(own) != Some(theirs) {
        return Err(ExecError::User);
    }
    let Some(description) = description.as_object_mut() else { return Err(ExecError::User) };
    description.insert("user".into(), user.clone());
    if let Some(limits) = own.get("rlimits") {
        description.insert("rlimits".into(), limits.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restricted(kind: &str, uid: u32) -> Result<Value, ExecError> {
        let bundle = tempfile::tempdir().unwrap();
        let config = json!({
            "annotations": { "io.kubernetes.cri.container-type": kind },
            "process": { "user": { "uid": 1000, "gid": 1000, "additionalGids": [6000] }, "rlimits": [1] },
        });
        std::fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
        let process = bundle.path().join("process");
        let wanted = json!({ "user": { "uid": uid, "gid": 0, "additionalGids": [5000] }, "args": ["sh"] });
        std::fs::write(&process, wanted.to_string()).unwrap();
        restrict(bundle.path(), &process)?;
        read(&process)
    }

    #[test]
    fn a_process_gets_the_containers_groups_and_limits() {
        let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [6000] });
        let expected = json!({ "user": user, "args": ["sh"], "rlimits": [1] });
        assert_eq!(restricted("container", 1000).unwrap(), expected);
    }

    #[test]
    fn nobody_becomes_another_user() {
        assert!(matches!(restricted("container", 0), Err(ExecError::User)));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        assert_eq!(restricted("sandbox", 0).unwrap()["user"]["additionalGids"], json!([5000]));
    }
}
