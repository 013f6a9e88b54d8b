//! What one step on one node tells when it has ended. The file is its user's, who could have written anything into it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest file that is read, in bytes.
pub const LONGEST: usize = 256 << 10;
/// So many tasks are listed; the rest is counted.
pub const TASKS: usize = 64;
/// So many notices are kept, the first ones.
pub const NOTICES: usize = 16;

/// A step's run in a Pod. Times are seconds since 1970, by the node's clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The job's own number, which is another one for each component of a heterogeneous job.
    pub job: u32,
    /// The step's number, or `batch`.
    pub step: String,
    /// How often the job had begun anew before.
    pub restart: u32,
    /// The node's name in Slurm.
    pub node: String,
    /// Its index in the step.
    pub node_index: u32,
    /// The Pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// The image as the user named it.
    pub image: String,
    /// What it was, in Kubernetes' words: `REPOSITORY@sha256:…`, or the digest of its config if it came to the node without a
    /// registry. None if the step ended before the kubelet told, which takes it a second.
    pub image_id: Option<String>,
    /// The phases.
    pub times: Times,
    /// How many tasks it had here.
    pub tasks: u32,
    /// Those that have ended, at most [`TASKS`].
    pub ended: Vec<Task>,
    /// What the whole container used.
    pub usage: Usage,
    /// Why it did not run, or why nobody knows how it ended.
    pub refusal: Option<Refusal>,
    /// What the tasks were told meanwhile.
    pub notices: Vec<String>,
    /// Requests to the API server, by verb; `failed` are those without a good answer.
    pub requests: BTreeMap<String, u32>,
}

/// When each phase began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Slurm starts the step on this node.
    pub begun: Option<f64>,
    /// The Pod is in the API server.
    pub created: Option<f64>,
    /// The image is there, and the container is made.
    pub container: Option<f64>,
    /// The first task runs.
    pub started: Option<f64>,
    /// The last task has ended.
    pub ended: Option<f64>,
}

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its number on this node.
    pub task: u32,
    /// Its exit code.
    pub code: Option<u8>,
    /// Or the signal.
    pub signal: Option<i32>,
    /// Processor time in microseconds, with its children's.
    pub cpu_us: u64,
    /// The largest of its processes, in KiB.
    pub peak_kib: u64,
}

/// What the container used, from its control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time in microseconds.
    pub cpu_us: Option<u64>,
    /// The most memory, in bytes, with the files that the kernel kept for it.
    pub memory_peak: Option<u64>,
    /// The limit in bytes.
    pub memory_limit: Option<u64>,
    /// Processes that were killed for want of memory.
    pub memory_kills: u64,
}

/// A step that was not run, or was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// One of [`crate::exit_code`].
    pub code: u8,
    /// What its tasks printed.
    pub message: String,
}

impl Record {
    /// The file's name; no two records of a job have the same.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.{}.{}.{}.json", self.begun_ms(), self.job, self.step, self.node_index)
    }

    /// What tells the runs of a job apart, also one that never started: the milliseconds since 1970.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and years are few")]
    fn begun_ms(&self) -> u64 {
        (self.times.begun.unwrap_or(0.0).clamp(0.0, 1e12) * 1e3).round() as u64
    }

    /// The order of a job's records.
    #[must_use]
    pub fn key(&self) -> (u32, u32, bool, u32, u32, u64) {
        let number = self.step.parse().ok();
        (self.restart, self.job, number.is_some(), number.unwrap_or(0), self.node_index, self.begun_ms())
    }

    /// Processor time in microseconds: the container's, or else its tasks'.
    #[must_use]
    pub fn cpu_us(&self) -> u64 {
        self.usage.cpu_us.unwrap_or_else(|| self.ended.iter().map(|task| task.cpu_us).fold(0, u64::saturating_add))
    }

    /// Usage that needs no tasks beside it.
    #[must_use]
    pub fn bare_usage(&self) -> Usage {
        Usage { cpu_us: Some(self.cpu_us()), memory_peak: Some(self.memory_peak()), ..self.usage }
    }

    /// The most memory in bytes: the container's, or else that of the largest task.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        let largest = || self.ended.iter().map(|task| task.peak_kib.saturating_mul(1024)).max().unwrap_or(0);
        self.usage.memory_peak.unwrap_or_else(largest)
    }

    /// Reads a file; what is too long or no record is none. Texts are cut to one line each.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes.get(..LONGEST.min(bytes.len()))?).ok()?;
        Some(record.bounded())
    }

    /// One that was read from what a user could have written.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let record = &mut self;
        record.ended.truncate(TASKS);
        record.notices.truncate(NOTICES);
        let texts = [&mut record.step, &mut record.node, &mut record.pod, &mut record.namespace, &mut record.image];
        let more = record.notices.iter_mut().chain(record.image_id.as_mut());
        for text in texts.into_iter().chain(more).chain(record.refusal.as_mut().map(|refusal| &mut refusal.message)) {
            *text = crate::message::one_line(text);
        }
        record
            .requests
            .retain(|verb, _| (1..=10).contains(&verb.len()) && verb.bytes().all(|byte| byte.is_ascii_alphabetic()));
        while record.requests.len() > 16 {
            record.requests.pop_last();
        }
        self
    }
}

impl Times {
    /// From one phase to a later one, in seconds; none if one is not known or the clock was set back.
    #[must_use]
    pub fn between(from: Option<f64>, to: Option<f64>) -> Option<f64> {
        let length = to? - from?;
        (length.is_finite() && length >= 0.0).then_some(length)
    }

    /// Each phase that a step goes through before its tasks run, and how long it took.
    #[must_use]
    pub fn phases(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("create", Self::between(self.begun, self.created)),
            ("pull", Self::between(self.created, self.container)),
            ("start", Self::between(self.container.or(self.created), self.started)),
            ("run", Self::between(self.started, self.ended)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_forged_one_is_harmless() {
        let record = Record { step: "batch".into(), image: "a".into(), tasks: 1, ..Record::default() };
        assert_eq!(Record::parse(&serde_json::to_vec(&record).unwrap()), Some(record.clone()));
        assert_eq!(record.file(), "0.0.batch.0.json");
        let again = Record { times: Times { begun: Some(1.5), ..Times::default() }, ..record.clone() };
        assert_eq!(again.file(), "1500.0.batch.0.json");
        assert_ne!(again.key(), record.key());
        let forged = br#"{"step":"a\nb\u001b[31m","later":1,"notices":["x\ty"],"requests":{"GE\nT":1,"POST":2}}"#;
        let read = Record::parse(forged).unwrap();
        assert_eq!((read.step.as_str(), read.notices[0].as_str()), ("a b [31m", "x y"));
        assert_eq!(read.requests, BTreeMap::from([("POST".to_owned(), 2)]));
        assert_eq!(Record::parse(b"[]x"), None);
        assert_eq!(Record::parse(&vec![b' '; LONGEST + 1]), None);
    }

    #[test]
    fn usage_is_the_containers_or_else_the_tasks() {
        let task = |cpu_us, peak_kib| Task { cpu_us, peak_kib, ..Task::default() };
        let mut record = Record { ended: vec![task(5, 10), task(7, 3)], ..Record::default() };
        assert_eq!((record.cpu_us(), record.memory_peak()), (12, 10240));
        record.usage = Usage { cpu_us: Some(20), memory_peak: Some(1 << 20), ..Usage::default() };
        assert_eq!((record.cpu_us(), record.memory_peak()), (20, 1 << 20));
    }

    #[test]
    fn phases_follow_each_other() {
        let times = Times { begun: Some(1.0), created: Some(1.5), started: Some(3.5), ..Times::default() };
        let phases = [("create", Some(0.5)), ("pull", None), ("start", Some(2.0)), ("run", None)];
        assert_eq!(times.phases(), phases);
        assert_eq!(Times::between(Some(2.0), Some(1.0)), None);
        assert_eq!(Times::between(Some(f64::NAN), Some(1.0)), None);
    }

    #[test]
    fn records_are_in_the_order_of_the_job() {
        let of = |step: &str, restart| Record { step: step.into(), restart, ..Record::default() }.key();
        let mut keys = [of("10", 0), of("batch", 1), of("2", 0), of("batch", 0)];
        keys.sort_unstable();
        assert_eq!(keys, [of("batch", 0), of("2", 0), of("10", 0), of("batch", 1)]);
    }
}
