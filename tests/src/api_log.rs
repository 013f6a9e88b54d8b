//! What was asked of the API server: its own audit log, and the log of the proxy that is in front of it in some faults.

use std::fs;

use crate::{CTL, until};

/// Where the testbed's API server logs what the nodes' Slurm identities ask.
pub const AUDIT: &str = "/var/log/kubernetes/audit.log";
const PROXY: &str = "/var/lib/spank-k8s-testbed/log/ctl/api-proxy.log";

/// How long the audit log is.
#[must_use]
pub fn audit_end() -> usize {
    CTL.run(&["wc", "--lines", AUDIT]).ok().text().split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Its lines since then, whatever they are about.
#[must_use]
pub fn audited(since: usize) -> String {
    CTL.run(&["tail", "--lines", &format!("+{}", since + 1), AUDIT]).text()
}

/// A place in the proxy's log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl Mark {
    /// Its end.
    #[must_use]
    pub fn now() -> Self {
        Self(fs::read(PROXY).unwrap_or_default().len())
    }

    /// The requests since then that have this text.
    #[must_use]
    pub fn requests(self, text: &str) -> Vec<String> {
        let log = fs::read(PROXY).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(self.0..).unwrap_or_default()).into_owned();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Waits for a request that has this text.
    pub fn awaits(self, text: &str) {
        until(&format!("the proxy sees {text}"), || {
            if self.requests(text).is_empty() { Err(self.requests("").join("\n")) } else { Ok(()) }
        });
    }
}
