//! The files that Prometheus' `node_exporter` reads.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often one is written.
const EVERY: Duration = Duration::from_secs(5);

/// One that is written from time to time, if the site wants it.
pub struct Textfile {
    path: Option<PathBuf>,
    next: Instant,
    failed: bool,
}

impl Textfile {
    /// With its first time now.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, next: Instant::now(), failed: false }
    }

    /// Whether it is time.
    pub fn is_due(&self) -> bool {
        self.path.is_some() && self.next <= Instant::now()
    }

    /// Replaces it. What is wrong, if that is news.
    pub fn replace(&mut self, text: &str) -> Option<String> {
        let path = self.path.as_ref()?;
        self.next = Instant::now() + EVERY;
        let error = write(path, text).err();
        let known = std::mem::replace(&mut self.failed, error.is_some());
        error.filter(|_| !known).map(|error| format!("cannot write {}: {error}", path.display()))
    }
}

/// Replaces the file: a reader has the old one or the new one.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // node_exporter reads names that end with .prom only, so not this one.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.prom");
        for text in ["1\n", "2\n"] {
            write(&path, text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/a.prom");
        let mut file = Textfile::new(Some(path.clone()));
        assert!(file.is_due());
        let text = file.replace("").unwrap();
        assert!(text.starts_with(&format!("cannot write {}: No such file", path.display())), "{text}");
        assert!(!file.is_due());
        assert_eq!(file.replace(""), None);
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert_eq!(file.replace("1\n"), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        let mut none = Textfile::new(None);
        assert!(!none.is_due() && none.replace("").is_none());
    }
}
