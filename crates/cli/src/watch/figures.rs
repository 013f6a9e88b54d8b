//! The metrics' file.

use std::path::Path;

use slurm_k8s_core::watch::metrics::{Figures, render};

use crate::disk::DiskError;

/// Replaces the file.
pub fn write(path: &Path, figures: &Figures) -> Result<(), DiskError> {
    use std::os::unix::fs::PermissionsExt as _;
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("/"));
        // node_exporter reads names that end with .prom only, so not this one.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, render(figures).as_bytes())?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|source: std::io::Error| DiskError::of("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.prom");
        for submitted in [1, 2] {
            write(&path, &Figures { submitted, ..Figures::default() }).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap().contains("submitted_total 2\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
