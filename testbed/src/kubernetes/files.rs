//! The files of a daemon: when one of them changes, the daemon must be started anew.

use crate::daemon::Daemon;
use crate::host::{Host, HostError};
use crate::kubernetes::fingerprint::Fingerprint;

/// Files that were written for one daemon or more.
#[derive(Debug)]
pub struct Files {
    host: Host,
    seen: Fingerprint,
}

impl Files {
    /// No files yet.
    pub fn on(host: Host) -> Self {
        Self { host, seen: Fingerprint::new() }
    }

    /// Writes a file that only root reads.
    pub fn write(&mut self, path: &str, text: &str) -> Result<(), HostError> {
        self.host.write(path, text.as_bytes(), 0o600, 0, 0)?;
        self.seen.add(path.as_bytes());
        self.seen.add(text.as_bytes());
        Ok(())
    }

    /// A daemon that reads these files. Its environment names their state: another state, another daemon.
    pub fn daemon(&self, name: &str, argv: &[&str]) -> Daemon {
        Daemon::new(self.host, name, argv.iter().copied()).env("TESTBED_FILES", &self.seen.text())
    }
}
