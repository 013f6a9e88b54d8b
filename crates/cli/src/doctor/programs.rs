//! The programs of a compute node.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::choice::Way;
use slurm_k8s_core::config::Config;
use slurm_k8s_core::diagnosis;

use super::Finding;

/// The runtime behind ours, if it is not runc.
const NEXT: &str = "/etc/slurm/k8s-next-runtime";
/// For a program that only tells its version.
const LIMIT: Duration = Duration::from_secs(5);

/// Agent, wrapper, and the runtime behind it.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let agent = config.paths.agent();
    let by_runtime = config.kubernetes.way == Way::Runtime;
    let runtime = by_runtime.then(|| config.paths.runtime());
    for path in std::iter::once(&agent).chain(&runtime) {
        if let Err(reason) = trusted(path, 0o555) {
            found.push(Finding::new(diagnosis::PROGRAM, format!("{} {reason}", path.display())));
        }
    }
    if found.is_empty() {
        let own = format!("slurm-k8s-agent {}", env!("CARGO_PKG_VERSION"));
        match version(&agent).await {
            Some(told) if told == own => {}
            told => {
                let told = told.unwrap_or_else(|| "tells no version".to_owned());
                found.push(Finding::new(diagnosis::VERSION, format!("{}: {told}, not {own}", agent.display())));
            }
        }
    }
    let next = std::fs::read_to_string(NEXT).unwrap_or_default();
    let next = next.lines().next().map(str::trim).filter(|next| by_runtime && !next.is_empty());
    if let Some(next) = next.filter(|next| !runs(next)) {
        found.push(Finding::new(diagnosis::NEXT_RUNTIME, format!("{NEXT}: there is no {next}")));
    }
    found
}

/// Whether everybody has these rights to a file, and nobody but root can write it.
pub fn trusted(path: &Path, rights: u32) -> Result<(), String> {
    let found = std::fs::metadata(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            "is not there".to_owned()
        } else {
            format!("cannot be looked at: {error}")
        }
    })?;
    let mode = found.mode() & 0o7777;
    if !found.is_file() {
        return Err("is no file".into());
    }
    if found.uid() != 0 || mode & 0o022 != 0 {
        return Err(format!("can be written by others than root (owner {}, mode {mode:04o})", found.uid()));
    }
    if mode & rights != rights {
        return Err(format!("has mode {mode:04o}"));
    }
    Ok(())
}

async fn version(path: &Path) -> Option<String> {
    let mut command = tokio::process::Command::new(path);
    command.arg("--version").env_clear().stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
}

/// As execvp(3) finds it for containerd, whose PATH is the system's.
fn runs(program: &str) -> bool {
    const PATH: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let there = |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return there(Path::new(program));
    }
    PATH.iter().any(|folder| there(&Path::new(folder).join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_program_of_roots_that_all_can_run_is_trusted() {
        assert_eq!(trusted(Path::new("/bin/sh"), 0o555), Ok(()));
        assert_eq!(trusted(Path::new("/bin/none"), 0o555), Err("is not there".to_owned()));
        assert_eq!(trusted(Path::new("/bin"), 0o555), Err("is no file".to_owned()));
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, said) in [(0o777, "can be written by others than root"), (0o600, "mode 0600")] {
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            let reason = trusted(file.path(), 0o555).unwrap_err();
            // Who is not root owns it.
            assert!(reason.contains(said) || reason.contains("others than root"), "{reason}");
        }
    }

    #[test]
    fn runtimes_are_found_as_containerd_finds_them() {
        assert!(runs("sh") && runs("/bin/sh"));
        assert!(!runs("no-such-runtime") && !runs("/none/runc"));
    }
}
