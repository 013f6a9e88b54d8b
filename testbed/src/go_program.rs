//! Programs that Debian does not have: built from their Go modules, once per version.

use crate::command::{self, CommandError};
use crate::kubernetes::fingerprint::Fingerprint;
use crate::paths;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum GoProgramError {
    /// The compiler failed.
    #[error("could not build {name} {version}")]
    Build {
        /// The program.
        name: &'static str,
        /// Its version.
        version: &'static str,
        /// What the compiler said.
        source: CommandError,
    },
    /// A file could not be written.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// One or more programs of one module.
pub struct GoProgram {
    /// What it is called.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The module's files: name and text.
    pub sources: &'static [(&'static str, &'static str)],
    /// Build tags.
    pub tags: &'static str,
    /// What the linker is told.
    pub linked: String,
    /// The packages, each a program.
    pub packages: &'static [&'static str],
    /// Where the compiler puts them: a file, or a folder.
    pub output: &'static str,
    /// What they are called.
    pub programs: &'static [&'static str],
}

impl GoProgram {
    /// The folder in the cache.
    fn key(&self) -> String {
        let mut parts = Fingerprint::new();
        self.sources.iter().flat_map(|(name, text)| [name, text]).for_each(|part| parts.add(part.as_bytes()));
        parts.add(self.linked.as_bytes());
        format!("{}-{}-{}", self.name, self.version, parts.text())
    }

    /// Whether the next [`Self::bring_up`] takes minutes.
    pub fn built(&self) -> bool {
        let cached = paths::cache().join(self.key());
        self.programs.iter().all(|program| cached.join(program).exists())
    }

    /// Builds it if the cache does not have it. Gives the folder with it, the same on every host.
    pub fn bring_up(&self) -> Result<PathBuf, GoProgramError> {
        let cached = paths::cache().join(self.key());
        if !self.built() {
            self.build(&cached)?;
        }
        let folder = paths::state("bin").join(self.key());
        let failed = |source| GoProgramError::File { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for name in self.programs.iter().filter(|name| !folder.join(name).exists()) {
            let (source, new) = (cached.join(name), folder.join("new"));
            let _ = std::fs::remove_file(&new);
            std::fs::hard_link(&source, &new)
                .or_else(|_| std::fs::copy(&source, &new).map(|_| ()))
                .and_then(|()| std::fs::rename(&new, folder.join(name)))
                .map_err(failed)?;
        }
        Ok(folder)
    }

    fn build(&self, target: &Path) -> Result<(), GoProgramError> {
        // A run that was killed may have left one; the testbed's lock keeps others out.
        let new = target.with_added_extension("new");
        let _ = std::fs::remove_dir_all(&new);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| GoProgramError::File { path, source }
        };
        std::fs::create_dir_all(&new).map_err(at(&new))?;
        for (name, text) in self.sources {
            let path = new.join(name);
            std::fs::write(&path, text).map_err(at(&path))?;
        }
        // In the caller's environment: the way to the network and Go's caches are the caller's.
        let mut go = Command::new("go");
        go.args(["build", "-buildvcs=false", "-mod=readonly", "-tags", self.tags, "-o", self.output, "-ldflags"])
            .arg(&self.linked)
            .args(self.packages)
            .env("CGO_ENABLED", "0")
            .current_dir(&new);
        let (name, version) = (self.name, self.version);
        command::run(go).map_err(|source| GoProgramError::Build { name, version, source })?;
        self.sources.iter().try_for_each(|(name, _)| std::fs::remove_file(new.join(name))).map_err(at(&new))?;
        // A former one without its program would be in the way.
        let _ = std::fs::remove_dir_all(target);
        std::fs::rename(&new, target).map_err(at(target))
    }
}
