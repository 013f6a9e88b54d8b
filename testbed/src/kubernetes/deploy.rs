//! Puts the product's objects into the cluster, and waits until they have their effect.

use super::kubeconfig::{self, NAMESPACE};
use crate::command::{self, CommandError};
use crate::host::Host;
use crate::paths;
use crate::wait::{self, WaitError};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the objects are not there.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A file could not be copied.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The API server did not take them.
    #[error("could not apply {what}")]
    Apply {
        /// What.
        what: &'static str,
        /// What kubectl said last.
        source: CommandError,
    },
    /// They have no effect.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// Applies `deploy/` as a site does, and what the testbed itself needs.
pub fn apply() -> Result<(), DeployError> {
    let copy = paths::state("deploy");
    copy_manifests(&paths::checkout().join("deploy"), &copy)?;
    let site = paths::state("site.yaml");
    write(&site, include_str!("../../kubernetes/site.yaml").as_bytes())?;
    apply_one("the testbed's own objects", &["apply", "--filename", &site.display().to_string()])?;
    apply_one("deploy/", &["apply", "--kustomize", &copy.display().to_string()])
}

fn apply_one(what: &'static str, arguments: &[&str]) -> Result<(), DeployError> {
    let mut last = None;
    // A new API server refuses things for a moment after it is ready.
    let applied = wait::until(&format!("{what} applied"), Duration::from_secs(30), &[], || {
        last = super::kubectl(arguments).err();
        Ok(last.is_none())
    });
    match (applied, last) {
        (Err(_), Some(source)) => Err(DeployError::Apply { what, source }),
        (result, _) => Ok(result?),
    }
}

/// Waits until a node's identity may make a job's Pod, and nobody may make one in its stead.
pub fn await_effect(node: Host) -> Result<(), DeployError> {
    // Each breaks one policy only: of two that refuse, the API server names either.
    let good = paths::state("probe-good.json");
    let plain = paths::state("probe-plain.json");
    write(&good, probe(node.name, Some("slurm-k8s")).to_string().as_bytes())?;
    write(&plain, probe(node.name, None).to_string().as_bytes())?;
    let limit = Duration::from_secs(60);
    wait::until("a node's right to make Pods", limit, &[], || Ok(created(node, kubeconfig::NODE, &good).is_ok()))?;
    wait::until("a node's limit to jobs' Pods", limit, &[], || {
        Ok(refused(created(node, kubeconfig::NODE, &plain), "of RuntimeClass slurm-k8s only"))
    })?;
    wait::until("the RuntimeClass closed to others", limit, &[], || {
        Ok(refused(created(node, kubeconfig::ADMIN, &good), "only a node's own Slurm identity"))
    })?;
    Ok(())
}

fn created(node: Host, identity: &str, file: &Path) -> Result<String, CommandError> {
    let arguments = ["--kubeconfig", identity, "create", "--dry-run=server", "--filename"];
    command::run(node.command("kubectl", arguments.map(Path::new).into_iter().chain([file])))
}

fn refused(result: Result<String, CommandError>, reason: &str) -> bool {
    result.is_err_and(|error| error.to_string().contains(reason))
}

/// A Pod as the engine makes them.
fn probe(node: &str, runtime_class: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "testbed-probe", "namespace": NAMESPACE },
        "spec": {
            "nodeName": node,
            "runtimeClassName": runtime_class,
            "automountServiceAccountToken": false,
            "securityContext": { "runAsUser": 1, "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "job",
                "image": "probe",
                "command": ["/.slurm-k8s/agent"],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// On the hosts the checkout may not be visible; the state folder is.
fn copy_manifests(source: &Path, target: &Path) -> Result<(), DeployError> {
    let failed = |source| DeployError::File { path: target.to_owned(), source };
    let _ = std::fs::remove_dir_all(target);
    std::fs::create_dir_all(target).map_err(failed)?;
    for entry in std::fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "yaml")) {
            std::fs::copy(&path, target.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    std::fs::write(path, bytes).map_err(|source| DeployError::File { path: path.to_owned(), source })
}
