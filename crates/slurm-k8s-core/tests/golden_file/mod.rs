//! Files that are what the code makes.

#![allow(clippy::unwrap_used)]

/// Compares the text with a file (relative to this crate); with `UPDATE=1` in the environment, writes it.
#[track_caller]
pub fn check(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, text, "{file} is old: UPDATE=1 cargo test -p slurm-k8s-core, then look at the diff");
}
