//! plugstack.conf: whether Slurm loads the plugin, and how (spank(8)).

use std::path::{Path, PathBuf};

use slurm_k8s_core::diagnosis;

use super::settings::Settings;
use super::{Finding, programs};

/// The plugin's file.
const PLUGIN: &str = "spank_k8s.so";
/// How deep files may include each other before it is a circle.
const DEEPEST: usize = 8;

/// A line that loads it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    required: bool,
    plugin: PathBuf,
    place: String,
}

/// Follows the file and what it includes.
pub fn check(settings: &Settings) -> Vec<Finding> {
    let path = settings.plugstack();
    let lines = lines(&path, 0);
    if lines.is_empty() {
        return vec![Finding::new(diagnosis::PLUGSTACK, format!("{} names no {PLUGIN}", path.display()))];
    }
    let mut found = Vec::new();
    for line in lines {
        if !line.required {
            found.push(Finding::new(diagnosis::OPTIONAL, line.place.clone()));
        }
        let beside =
            || settings.plugin_folders().iter().map(|folder| folder.join(&line.plugin)).find(|path| path.exists());
        let plugin = if line.plugin.is_absolute() { None } else { beside() }.unwrap_or(line.plugin);
        if let Err(reason) = programs::trusted(&plugin, 0o444) {
            found.push(Finding::new(diagnosis::PLUGIN, format!("{}: {} {reason}", line.place, plugin.display())));
        }
    }
    found
}

fn lines(path: &Path, depth: usize) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(word), Some(named)) = (words.next(), words.next()) else { continue };
        if word == "include" && depth < DEEPEST {
            let pattern = path.with_file_name(named);
            let files = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten();
            all.extend(files.flat_map(|file| lines(&file, depth + 1)));
        } else if Path::new(named).file_name().is_some_and(|name| name == PLUGIN) {
            let place = format!("{}:{number}", path.display());
            all.push(Line { required: word == "required", plugin: named.into(), place });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_count_and_comments_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("plugstack.conf"), "# required spank_k8s.so\ninclude d/*.conf\ninclude plugstack.conf\n")
            .unwrap();
        std::fs::write(at("d/a.conf"), "required /lib/spank_k8s.so # ours\n").unwrap();
        std::fs::write(at("d/b.conf"), "\noptional spank_k8s.so a=b\noptional other.so\n").unwrap();
        let found = lines(&at("plugstack.conf"), DEEPEST - 1);
        let line = |required, plugin: &str, place: &str| Line {
            required,
            plugin: plugin.into(),
            place: at(place).display().to_string(),
        };
        assert_eq!(found, [line(true, "/lib/spank_k8s.so", "d/a.conf:1"), line(false, "spank_k8s.so", "d/b.conf:2")]);
        // A circle ends.
        assert!(lines(&at("plugstack.conf"), 0).len() > 2);
        assert!(lines(&at("none"), 0).is_empty());
    }
}
