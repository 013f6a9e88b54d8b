//! Shows the logs of the hosts' daemons.

use crate::host::{ALL, Host};
use crate::{paths, wait};
use std::path::{Path, PathBuf};

/// Why no log can be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// No host has this name.
    #[error("there is no host {name} (login, ctl, node1, node2)")]
    NoHost {
        /// The name.
        name: String,
    },
    /// No log has this name.
    #[error("{host} has no log of {daemon}; there are: {present}")]
    NoLog {
        /// The host.
        host: &'static str,
        /// The name.
        daemon: String,
        /// The logs there are.
        present: String,
    },
    /// A log could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Without a host: which logs there are. With a host: the end of each. With a daemon: the whole of its logs.
pub fn run(host: Option<&str>, daemon: Option<&str>) -> Result<(), LogsError> {
    let Some(name) = host else {
        for host in ALL {
            for path in files(*host) {
                println!("{}  {}  {}", host.name, stem(&path), path.display());
            }
        }
        return Ok(());
    };
    let host = Host::named(name).ok_or_else(|| LogsError::NoHost { name: name.to_owned() })?;
    let files = files(host);
    let chosen: Vec<&PathBuf> = files.iter().filter(|path| daemon.is_none_or(|wanted| stem(path) == wanted)).collect();
    if let Some(wanted) = daemon
        && chosen.is_empty()
    {
        let present = files.iter().map(|path| stem(path)).collect::<Vec<_>>().join(" ");
        return Err(LogsError::NoLog { host: host.name, daemon: wanted.to_owned(), present });
    }
    for path in chosen {
        println!("==> {} <==", path.display());
        let failed = |source| LogsError::Read { path: path.clone(), source };
        if daemon.is_some() {
            let bytes = std::fs::read(path).map_err(failed)?;
            print!("{}", String::from_utf8_lossy(&bytes));
        } else {
            wait::tail(path, 20).map_err(failed)?.iter().for_each(|line| println!("{line}"));
        }
    }
    Ok(())
}

/// What the daemons print, and what they and the product write below /var/log.
fn files(host: Host) -> Vec<PathBuf> {
    let mut all = Vec::new();
    collect(&paths::state("log").join(host.name), &mut all);
    for folder in ["slurm", "slurm-k8s", "munge"] {
        collect(&host.state().join("own/var/log").join(folder), &mut all);
    }
    all.sort();
    all
}

fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    all.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
