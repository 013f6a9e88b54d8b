//! `slurm-k8s-runtime`: called by containerd in place of runc, for Pods of our `RuntimeClass`.
//!
//! On `create` of a container it takes the grant that slurmstepd wrote for this very Pod, edits the bundle's
//! `config.json`, and executes the real runtime with the same arguments. A process that is started in such a container
//! later (`exec`) gets the container's groups. Every other call goes straight through.

mod apply;
mod arguments;
mod command;
mod exec;
mod identity;
mod place;
mod rootfs;
mod take;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Value;

/// The runtime behind this one: a path or a name in PATH, one line. Without the file it is `runc`.
const NEXT: &str = "/etc/slurm/k8s-next-runtime";
/// Where slurmstepd puts the grants.
const RUN: &str = "/run/slurm-k8s";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read {0}")]
    Read(std::path::PathBuf, #[source] std::io::Error),
    #[error("{0} is not JSON")]
    Json(std::path::PathBuf, #[source] serde_json::Error),
    #[error("cannot write {0}")]
    Write(std::path::PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Take(#[from] take::TakeError),
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let call = arguments::Call::of(&words);
    if let Err(error) = prepare(&call) {
        report(&call, &chain(&error));
        return ExitCode::FAILURE;
    }
    let next = std::fs::read_to_string(NEXT).unwrap_or_default();
    let next = if next.trim().is_empty() { "runc" } else { next.trim() };
    let error = Command::new(next).args(&words).exec();
    report(&call, &format!("cannot execute the runtime {next}: {error}"));
    ExitCode::FAILURE
}

fn prepare(call: &arguments::Call) -> Result<(), Error> {
    if let Some(bundle) = &call.create {
        return create(Path::new(RUN), bundle);
    }
    // containerd keeps the runtime's log in the container's bundle. Without a log it is an admin's own call.
    if let (Some(process), Some(bundle)) = (&call.exec, call.log.as_deref().and_then(Path::parent)) {
        exec::restrict(bundle, process)?;
    }
    Ok(())
}

/// Whether a container needs a grant: the sandbox of the Pod does not.
fn ours(config: &Value) -> bool {
    annotation(config, "io.kubernetes.cri.container-type") == Some("container")
}

fn create(run: &Path, bundle: &Path) -> Result<(), Error> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).map_err(|e| Error::Read(path.clone(), e))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|e| Error::Json(path.clone(), e))?;
    if !ours(&config) {
        return Ok(());
    }
    let grant = take::take(run, &config)?;
    apply::apply(&mut config, &grant, bundle)?;
    let draft = bundle.join("config.json.new");
    let text = serde_json::to_vec(&config).map_err(|e| Error::Json(path.clone(), e))?;
    std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &path)).map_err(|e| Error::Write(path, e))
}

/// An annotation of the container.
fn annotation<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    config.get("annotations")?.get(name)?.as_str()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Where containerd looks for a failed runtime's words: its log file, as JSON, and stderr.
fn report(call: &arguments::Call, message: &str) {
    let message = format!("spank-k8s: {message}");
    if let Some(log) = &call.log {
        let line = serde_json::json!({ "level": "error", "msg": message, "time": "1970-01-01T00:00:00Z" });
        let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()));
    }
    eprintln!("{message}");
}
