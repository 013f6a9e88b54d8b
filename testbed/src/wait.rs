//! Waits for a condition, never without a deadline.

use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why waiting ended without the condition.
#[derive(Debug, thiserror::Error)]
pub enum WaitError<E: std::error::Error + 'static> {
    /// The deadline passed.
    #[error("{what} did not come about within {} s{logs}", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The last lines of the logs that belong to it.
        logs: String,
    },
    /// The check itself failed, so that waiting is of no use.
    #[error("could not check whether {what}")]
    Check {
        /// What was waited for.
        what: String,
        /// Why.
        source: E,
    },
}

/// Polls `done` until it says true. After `limit` the error shows the last 20 lines of each of `logs`.
pub fn until<E: std::error::Error + 'static>(
    what: &str,
    limit: Duration,
    logs: &[PathBuf],
    mut done: impl FnMut() -> Result<bool, E>,
) -> Result<(), WaitError<E>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(10);
    loop {
        match done() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(source) => {
                return Err(WaitError::Check { what: what.to_owned(), source });
            }
        }
        if Instant::now() >= end {
            let logs = logs.iter().map(|path| last_lines(path)).collect();
            return Err(WaitError::Late { what: what.to_owned(), limit, logs });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

fn last_lines(path: &Path) -> String {
    let mut shown = format!("\n--- the end of {}", path.display());
    match tail(path, 20) {
        Ok(lines) => lines.iter().for_each(|line| {
            let _ = write!(shown, "\n    {line}");
        }),
        Err(error) => {
            let _ = write!(shown, ": {error}");
        }
    }
    shown
}

/// The last `count` lines of a file, looking at no more than its last 64 KiB.
pub fn tail(path: &Path, count: usize) -> std::io::Result<Vec<String>> {
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(64 * 1024)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}
