//! What a service does, a line each: its log, and standard error for systemd's journal.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use slurm_k8s_core::config::Config;

use crate::clock;
use crate::report;

/// The log. It is never worth a job: what cannot be written is dropped.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
}

impl Journal {
    /// In the site's folder of logs.
    pub fn of(config: &Config, file: &str) -> Self {
        let path = config.paths.log.join(file);
        Self { path, max_bytes: config.log.max_bytes, keep: config.log.keep }
    }

    /// One line; line breaks in it become blanks.
    pub fn line(&self, text: &str) {
        report::note(text);
        let line = format!("{}  {}\n", clock::text(clock::now()), text.replace(['\n', '\r'], " "));
        self.rotate();
        // Opened anew each time: logrotate may have moved it.
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }

    fn rotate(&self) {
        if std::fs::metadata(&self.path).is_ok_and(|data| data.len() >= self.max_bytes) {
            let numbered = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
            for n in (1..self.keep).rev() {
                let _ = std::fs::rename(numbered(n), numbered(n + 1));
            }
            let _ = if self.keep == 0 {
                std::fs::remove_file(&self.path)
            } else {
                std::fs::rename(&self.path, numbered(1))
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_time_and_old_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal { path: folder.path().join("job_watcher.log"), max_bytes: 60, keep: 2 };
        for round in 0..8 {
            journal.line(&format!("round {round}\nof eight"));
        }
        let text = std::fs::read_to_string(&journal.path).unwrap();
        let (time, rest) = text.lines().next_back().unwrap().split_once("  ").unwrap();
        assert!(time.ends_with('Z') && time.len() == 20, "{time}");
        assert_eq!(rest, "round 7 of eight");
        assert!(folder.path().join("job_watcher.log.2").exists());
        assert!(!folder.path().join("job_watcher.log.3").exists());
    }
}
