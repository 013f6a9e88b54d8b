//! The node's log of job phases: `<log>/engine.log`, one JSON object a line.
//!
//! Every slurmstepd of the node appends to the same file; a line is one write(2) with `O_APPEND`. It is never
//! worth a job: what can't be written is dropped.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use slurm_k8s_agent::link::message::{End, Message, Refusal};

use crate::record::Recorder;

/// One step's entries.
pub struct Journal {
    file: Option<File>,
    start: Instant,
    job: String,
    pod: String,
    /// For the job's summary.
    pub record: Recorder,
}

impl Journal {
    /// Opens `dir/engine.log`, after rotation if it has grown past `max_bytes` (`keep` old files stay).
    #[must_use]
    pub fn open(dir: &Path, max_bytes: u64, keep: u32, job: &str, pod: &str, record: Recorder) -> Self {
        let path = dir.join("engine.log");
        rotate(&path, max_bytes, keep);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&path)
            .map_err(|error| log::warn!("cannot open {}: {error}", path.display()))
            .ok();
        Self { file, start: Instant::now(), job: job.to_owned(), pod: pod.to_owned(), record }
    }

    /// Appends one phase with its values; `ms` since the step's first entry is added.
    pub fn write(&self, phase: &str, values: &[(&str, Value)]) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let mut line = Map::new();
        line.insert("time".into(), Value::from((now * 1e3).round() / 1e3));
        line.insert("job".into(), Value::from(self.job.as_str()));
        line.insert("pod".into(), Value::from(self.pod.as_str()));
        line.insert("phase".into(), Value::from(phase));
        let ms = self.start.elapsed().as_secs_f64() * 1e3;
        line.insert("ms".into(), Value::from((ms * 10.0).round() / 10.0));
        for (name, value) in values {
            line.insert((*name).to_owned(), value.clone());
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let _ = file.write_all(text.as_bytes());
    }
}

impl Journal {
    /// Appends why the step does not run, or was lost.
    pub fn refused(&self, refusal: &Refusal) {
        self.record.refused(refusal);
        self.write(
            "refused",
            &[("code", Value::from(refusal.code)), ("message", Value::from(refusal.message.as_str()))],
        );
    }

    /// Appends what the agent has told of a task.
    pub fn told(&self, message: &Message) {
        self.record.told(message);
        match message {
            Message::Started { task } => self.write("started", &[("task", Value::from(*task))]),
            Message::Exited { task, end, usage } => {
                let (code, signal) = match end {
                    End::Code(code) => (Value::from(*code), Value::Null),
                    End::Signal(signo) => (Value::Null, Value::from(*signo)),
                };
                self.write(
                    "exited",
                    &[
                        ("task", Value::from(*task)),
                        ("code", code),
                        ("signal", signal),
                        ("user_us", Value::from(usage.user_us)),
                        ("system_us", Value::from(usage.system_us)),
                        ("peak_kib", Value::from(usage.peak_kib)),
                    ],
                );
            }
            Message::NotStarted { task, failure } => {
                let what = String::from_utf8_lossy(&failure.what).into_owned();
                let (task, errno) = (Value::from(*task), Value::from(failure.errno));
                self.write("not_started", &[("task", task), ("what", Value::from(what)), ("errno", errno)]);
            }
            Message::LogLost { task, bytes } => {
                self.write("log_lost", &[("task", Value::from(*task)), ("bytes", Value::from(*bytes))]);
            }
            _ => {}
        }
    }
}

/// Renames `engine.log` to `engine.log.1` and so on. A lock keeps two slurmstepds from rotating at once; who does
/// not get it at once leaves the work to the other.
fn rotate(path: &Path, max_bytes: u64, keep: u32) {
    let full = || std::fs::metadata(path).is_ok_and(|m| m.len() >= max_bytes);
    if !full() {
        return;
    }
    let numbered = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    let lock = PathBuf::from(format!("{}.lock", path.display()));
    let Ok(lock) = OpenOptions::new().create(true).truncate(false).write(true).open(lock) else {
        return;
    };
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() || !full() {
        return;
    }
    for n in (1..keep).rev() {
        let _ = std::fs::rename(numbered(n), numbered(n + 1));
    }
    let _ = if keep == 0 { std::fs::remove_file(path) } else { std::fs::rename(path, numbered(1)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_phase_and_old_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..4 {
            let journal = Journal::open(dir.path(), 1, 2, "7.0", "slurm-job-7", Recorder::default());
            journal.write("posted", &[("round", Value::from(round))]);
        }
        let newest = std::fs::read_to_string(dir.path().join("engine.log")).unwrap();
        let entry: Value = serde_json::from_str(newest.trim()).unwrap();
        assert_eq!((&entry["phase"], &entry["round"]), (&"posted".into(), &3.into()));
        assert!(dir.path().join("engine.log.2").exists());
        assert!(!dir.path().join("engine.log.3").exists());
    }
}
