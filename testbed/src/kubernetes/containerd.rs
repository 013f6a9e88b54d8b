//! The container runtimes: its Debian's own containerd on the first compute node, one of containerd 2 on the others.

use super::files::Files;
use super::node::NodeError;
use crate::command;
use crate::daemon::DaemonError;
use crate::go_program::GoProgram;
use crate::host::{Host, NODES};
use crate::{image, paths};
use rustix::thread::{CapabilitySet, capabilities};
use std::path::Path;

/// The version that is built.
const VERSION: &str = "2.2.9";

/// How it is built.
pub fn program() -> GoProgram {
    GoProgram {
        name: "containerd",
        version: VERSION,
        sources: &[
            ("programs.go", include_str!("../../containerd/programs.go")),
            ("go.mod", include_str!("../../containerd/go.mod")),
            ("go.sum", include_str!("../../containerd/go.sum")),
        ],
        tags: "netgo,no_btrfs,no_devmapper,no_zfs",
        linked: format!("-s -w -X github.com/containerd/containerd/v2/version.Version={VERSION}"),
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        ],
        output: "./",
        programs: &["containerd", "containerd-shim-runc-v2"],
    }
}

/// Whether the host has the one that is built.
pub fn is_second(host: Host) -> bool {
    NODES.first().is_none_or(|first| first.name != host.name)
}

/// Starts it; `folder` has containerd 2.
pub fn start(files: &mut Files, host: Host, folder: &Path) -> Result<(), NodeError> {
    files.write("/etc/containerd/config.toml", &configuration(host)?)?;
    let started: Result<bool, DaemonError> = if is_second(host) {
        let program = folder.join("containerd").display().to_string();
        // It looks for its shim in PATH, where Debian's is.
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
        files.daemon("containerd", &[&program, "--config=/etc/containerd/config.toml"]).env("PATH", &path).start()
    } else {
        files.daemon("containerd", &["containerd", "--config=/etc/containerd/config.toml"]).start()
    };
    started?;
    Ok(())
}

/// Whether that of the host's own Debian reads the same configuration.
fn debian_has_second(host: Host) -> bool {
    // "containerd github.com/containerd/containerd 1.7.24~ds1 …"
    let told = command::run(host.command("containerd", ["--version"])).unwrap_or_default();
    let major = told.split_whitespace().nth(2).and_then(|version| version.split('.').next()?.parse().ok());
    major.is_some_and(|major: u32| major >= 2)
}

/// The version that runs, if it answers.
pub fn version(host: Host) -> Option<String> {
    let told = command::run(host.command("ctr", ["--timeout=2s", "--namespace=k8s.io", "version"])).ok()?;
    let (_, server) = told.split_once("Server:")?;
    let version = server.lines().find_map(|line| line.trim().strip_prefix("Version:"))?.trim();
    // Debian's tells of its packaging, a release begins with a v.
    version.trim_start_matches('v').split(['~', '+']).next().map(ToOwned::to_owned)
}

/// Its file: ours, with the handler as a site appends it.
fn configuration(host: Host) -> Result<String, NodeError> {
    let (handler, own) = if is_second(host) || debian_has_second(host) {
        ("deploy/containerd/version-3.toml", include_str!("../../kubernetes/containerd-2.toml"))
    } else {
        ("deploy/containerd/version-2.toml", include_str!("../../kubernetes/containerd.toml"))
    };
    let path = paths::checkout().join(handler);
    let handler = std::fs::read_to_string(&path).map_err(|source| NodeError::Handler { path, source })?;
    let may_raise = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    let own =
        own.replace("{pause}", &image::full("pause")).replace("{restrict}", if may_raise { "false" } else { "true" });
    Ok(own + &handler.replace("SystemdCgroup = true", "SystemdCgroup = false"))
}
