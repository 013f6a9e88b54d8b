//! containerd's config: whether it knows our runtime.

use std::path::{Path, PathBuf};

use slurm_k8s_core::choice::Way;
use slurm_k8s_core::config::Config;
use slurm_k8s_core::diagnosis;
use toml::{Table, Value};

use super::Finding;

/// Where it is, unless its unit says otherwise.
const CONFIG: &str = "/etc/containerd/config.toml";
/// The plugin with the runtimes, in versions 3 and 2 of the config.
const PLUGINS: [&str; 2] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];
/// What it has to pass on.
const ANNOTATIONS: &str = "spank-k8s.io/*";

/// Only where grants come by the runtime, and containerd is what runs containers here.
pub fn check(config: &Config) -> Vec<Finding> {
    if config.kubernetes.way != Way::Runtime {
        return Vec::new();
    }
    let texts: Vec<_> = files(Path::new(CONFIG)).iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    judge(&texts, &config.paths.runtime())
}

/// The config, and what it imports.
fn files(config: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let table = text.parse::<Table>().unwrap_or_default();
    let imports = table.get("imports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let imported = imports.flat_map(|pattern| {
        glob::glob(&config.with_file_name(pattern).to_string_lossy()).into_iter().flatten().flatten()
    });
    std::iter::once(config.to_owned()).chain(imported).collect()
}

fn judge(texts: &[String], runtime: &Path) -> Vec<Finding> {
    let tables: Vec<_> = texts.iter().filter_map(|text| text.parse::<Table>().ok()).collect();
    let ours: Vec<_> = tables.iter().flat_map(|table| handlers(table, runtime)).collect();
    if ours.is_empty() {
        return vec![Finding::new(
            diagnosis::HANDLER,
            format!("no runtime in {CONFIG} has BinaryName {}", runtime.display()),
        )];
    }
    let deaf = ours.iter().filter(|(_, handler)| !passes_on(handler));
    deaf.map(|(name, _)| Finding::new(diagnosis::ANNOTATIONS, format!("runtime {name} in {CONFIG}"))).collect()
}

/// The runtimes that are this program.
fn handlers<'a>(table: &'a Table, runtime: &Path) -> Vec<(&'a String, &'a Value)> {
    let plugins = PLUGINS.iter().filter_map(|name| table.get("plugins")?.get(name)?.get("containerd")?.get("runtimes"));
    let all = plugins.filter_map(Value::as_table).flatten();
    let is_ours = |handler: &Value| {
        let binary = handler.get("options").and_then(|options| options.get("BinaryName")).and_then(Value::as_str);
        binary.is_some_and(|binary| Path::new(binary) == runtime)
    };
    all.filter(|(_, handler)| is_ours(handler)).collect()
}

fn passes_on(handler: &Value) -> bool {
    let annotations = handler.get("pod_annotations").and_then(Value::as_array);
    annotations.is_some_and(|list| list.iter().any(|one| matches!(one.as_str(), Some(ANNOTATIONS | "*"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME: &str = "/usr/libexec/slurm-k8s/slurm-k8s-runtime";

    fn found(texts: &[&str]) -> Vec<&'static str> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        judge(&texts, Path::new(RUNTIME)).iter().map(|finding| finding.kind.id).collect()
    }

    #[test]
    fn both_versions_of_the_drop_in_are_right() {
        for text in [
            include_str!("../../../../deploy/containerd/version-2.toml"),
            include_str!("../../../../deploy/containerd/version-3.toml"),
        ] {
            assert!(found(&["version = 2\n", text]).is_empty());
            assert_eq!(found(&[&text.replace("spank-k8s.io", "example.com")]), ["annotations"]);
            assert_eq!(found(&[&text.replace("slurm-k8s-runtime", "runc")]), ["handler"]);
        }
        assert_eq!(found(&[]), ["handler"]);
        assert_eq!(found(&["not toml"]), ["handler"]);
    }

    #[test]
    fn imports_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (config, imported) = (folder.path().join("config.toml"), folder.path().join("d/a.toml"));
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(&config, "imports = ['d/*.toml']\n").unwrap();
        std::fs::write(&imported, "").unwrap();
        assert_eq!(files(&config), [config.clone(), imported]);
        assert_eq!(files(Path::new("/none")), [Path::new("/none")]);
    }
}
