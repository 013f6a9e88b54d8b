//! `/etc/slurm/k8s.toml` on this host.

use std::path::{Path, PathBuf};

use slurm_k8s_core::config::{Config, ConfigError};

/// All namespaces: those of users come and go.
pub const EVERYWHERE: &str = "";

/// A config that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is wrong.
    #[error("cannot use {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: ConfigError,
    },
}

/// Reads the config.
pub fn read(path: &Path) -> Result<Config, SiteError> {
    let text = std::fs::read_to_string(path).map_err(|source| SiteError::Read { path: path.to_owned(), source })?;
    Config::parse(&text).map_err(|source| SiteError::Config { path: path.to_owned(), source })
}

/// The namespaces that jobs' Pods may be in, each once; the configured one is the first.
pub fn namespaces(config: &Config) -> Vec<String> {
    if config.kubernetes.namespace_per_user {
        return vec![EVERYWHERE.into()];
    }
    let mut all = vec![config.kubernetes.namespace.clone()];
    for namespace in &config.policy.namespaces {
        if !all.contains(namespace) {
            all.push(namespace.clone());
        }
    }
    all
}
