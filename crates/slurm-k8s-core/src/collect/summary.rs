//! What is to be told of a job that has ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::step::Record;
use super::text;

/// Changes that old readers would not understand raise it.
const VERSION: u32 = 1;
/// So many steps are listed with their tasks and notices; the others without.
const WHOLE: usize = 1000;
/// So many steps go back to the collector.
const TOLD: usize = 100;

/// A job's summary: `job_summary.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Of this form.
    pub version: u32,
    /// What Slurm says.
    pub job: Job,
    /// Its images and what they were (`imageID`), if that is known.
    pub images: BTreeMap<String, Option<String>>,
    /// Seconds from the submission to the start.
    pub queued: Option<f64>,
    /// Seconds from the start to the end.
    pub ran: Option<f64>,
    /// When this was written, in seconds since 1970.
    pub collected: i64,
    /// Of all steps: processor time in microseconds.
    pub cpu_us: u64,
    /// Of all steps: the most memory on one node, in bytes.
    pub memory_peak: u64,
    /// The steps that ran in Pods.
    pub steps: Vec<Record>,
    /// What is in the job's folder.
    pub files: Files,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How many warnings there are, where they are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub warned: usize,
}

/// Files with checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Summary {
    /// Puts it together. `before` is what an earlier summary of the same job had: the steps of its earlier runs.
    #[must_use]
    pub fn new(job: Job, before: Vec<Record>, new: Vec<Record>, collected: i64) -> Self {
        let mut steps: BTreeMap<_, _> = before.into_iter().map(|record| (record.key(), record)).collect();
        steps.extend(new.into_iter().map(|record| (record.key(), record)));
        let mut images = BTreeMap::new();
        for record in steps.values().filter(|record| !record.image.is_empty()) {
            let id: &mut Option<String> = images.entry(record.image.clone()).or_default();
            *id = id.take().or_else(|| record.image_id.clone());
        }
        let lasted = |from: Option<i64>, to: Option<i64>| {
            let seconds = u32::try_from(to?.checked_sub(from?)?).ok()?;
            Some(f64::from(seconds))
        };
        let mut warnings = Vec::new();
        if steps.is_empty() && job.started.is_some() {
            warnings.push("no step has told how its Pod was: none ran in one, or its node was lost".to_owned());
        }
        for record in steps.values() {
            let place = format!("step {} on {}", record.step, record.node);
            warnings.extend(record.refusal.as_ref().map(|refusal| format!("{place}: {}", refusal.message)));
            warnings.extend(record.notices.iter().map(|text| format!("{place}: {text}")));
            if record.usage.memory_kills > 0 {
                warnings
                    .push(format!("{place}: {} processes were killed for want of memory", record.usage.memory_kills));
            }
        }
        warnings.truncate(100);
        let cpu_us = steps.values().map(Record::cpu_us).fold(0, u64::saturating_add);
        let memory_peak = steps.values().map(Record::memory_peak).max().unwrap_or(0);
        let mut steps: Vec<_> = steps.into_values().collect();
        for record in steps.iter_mut().skip(WHOLE) {
            record.ended.clear();
            record.notices.clear();
        }
        Self {
            version: VERSION,
            queued: lasted(job.submitted, job.started),
            ran: lasted(job.started, job.ended),
            job,
            images,
            collected,
            cpu_us,
            memory_peak,
            steps,
            files: Files::default(),
            warnings,
            warned: 0,
        }
    }

    /// `job_summary.txt`.
    #[must_use]
    pub fn text(&self) -> String {
        text::of(self)
    }

    /// What the collector itself needs of it: its own steps are those of this time, and few of those.
    #[must_use]
    pub fn brief(&self, new: &[Record]) -> Self {
        let bare = |record: &Record| Record {
            ended: Vec::new(),
            notices: Vec::new(),
            usage: record.bare_usage(),
            ..record.clone()
        };
        let images = self.images.iter().take(1).map(|(image, id)| (image.clone(), id.clone())).collect();
        let steps = new.iter().take(TOLD).map(bare).collect();
        Self { steps, images, warnings: Vec::new(), warned: self.warnings.len(), ..self.clone() }
    }

    /// For Slurm's accounting (`AdminComment`): sacctmgr takes no quotes and makes letters small.
    #[must_use]
    pub fn usage(&self) -> String {
        let milliseconds = self.cpu_us / 1000;
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        let mut text = format!("{USAGE}cpu={seconds}.{rest:03}s,mem={}k", self.memory_peak / 1024);
        let id = self.images.values().flatten().next();
        let digest = id.map(|id| id.rsplit_once('@').map_or(("imageid", id.as_str()), |(_, digest)| ("image", digest)));
        let plain = |text: &str| {
            let hex = text.strip_prefix("sha256:").unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some((name, digest)) = digest.filter(|(_, digest)| plain(digest)) {
            text.push_str(&format!(",{name}={digest}"));
        }
        text
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// How our words in `AdminComment` begin.
pub const USAGE: &str = "spank-k8s:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::step::{Refusal, Task, Times, Usage};

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn job() -> Job {
        Job {
            id: "123".into(),
            name: "train".into(),
            user: "alice".into(),
            state: "FAILED".into(),
            code: 3,
            nodes: Some("node1".into()),
            submitted: Some(1_795_662_200),
            started: Some(1_795_662_245),
            ended: Some(1_795_666_000),
            restarts: 1,
            ..Job::default()
        }
    }

    fn step(step: &str, restart: u32) -> Record {
        Record {
            step: step.into(),
            restart,
            node: "node1".into(),
            image: "nas-hub.local:5407/torch:2".into(),
            image_id: Some("nas-hub.local:5407/torch@sha256:".to_owned() + HEX),
            times: Times {
                begun: Some(10.0),
                created: Some(10.04),
                container: Some(12.5),
                started: Some(12.6),
                ended: Some(3000.0),
            },
            tasks: 2,
            ended: vec![
                Task { task: 0, code: Some(0), ..Task::default() },
                Task { task: 1, signal: Some(9), ..Task::default() },
            ],
            usage: Usage { cpu_us: Some(61_250_000), memory_peak: Some(326_000_000), ..Usage::default() },
            ..Record::default()
        }
    }

    #[test]
    fn earlier_runs_stay_and_what_comes_again_is_there_once() {
        let summary = Summary::new(job(), vec![step("batch", 0)], vec![step("batch", 1), step("0", 1)], 0);
        let again = Summary::new(job(), summary.steps.clone(), vec![step("0", 1)], 0);
        assert_eq!(summary.steps.len(), 3);
        assert_eq!(summary, again);
        assert_eq!((summary.cpu_us, summary.queued), (3 * 61_250_000, Some(45.0)));
        assert_eq!(summary.usage(), format!("spank-k8s:cpu=183.750s,mem=318359k,image=sha256:{HEX}"));
        let brief = summary.brief(&summary.steps[1..]);
        assert_eq!((brief.steps.len(), brief.steps[0].ended.len(), brief.usage()), (2, 0, summary.usage()));
    }

    #[test]
    fn what_went_wrong_is_told() {
        let refusal = Refusal { code: 122, message: "the image does not exist".into() };
        let lost = Record { refusal: Some(refusal), notices: vec!["waiting".into()], ..step("batch", 0) };
        let warnings = Summary::new(job(), Vec::new(), vec![lost], 0).warnings;
        assert_eq!(warnings, ["step batch on node1: the image does not exist", "step batch on node1: waiting"]);
        assert_eq!(Summary::new(job(), Vec::new(), Vec::new(), 0).warnings.len(), 1);
    }

    #[test]
    fn people_can_read_it() {
        let mut summary = Summary::new(job(), Vec::new(), vec![step("batch", 1), step("0", 1)], 1_795_666_003);
        summary.files = Files { count: 4, bytes: 12_000_000 };
        summary.warnings.push("outputs/secret cannot be read: permission denied".into());
        let expected = format!(
            "\
Job          123 (train)
User         alice
State        FAILED, exit code 3, begun anew 1 time
Nodes        node1
Image        nas-hub.local:5407/torch:2
             nas-hub.local:5407/torch@sha256:{HEX}

Submitted    2026-11-26 03:03:20 UTC
Started      2026-11-26 03:04:05 UTC, after 45.0 s in the queue
Ended        2026-11-26 04:06:40 UTC, after 1 h 2 min 35 s
Collected    2026-11-26 04:06:43 UTC

CPU time     2 min 2 s
Peak memory  310.9 MiB on one node

Step         Node         Pod made  image there  started  ran                ended with
batch        node1          0.04 s       2.46 s   0.10 s  49 min 47 s        0, signal 9
0            node1          0.04 s       2.46 s   0.10 s  49 min 47 s        0, signal 9

Files        4 files, 11.4 MiB; sha256sum --check checksums.txt

Warning      outputs/secret cannot be read: permission denied
"
        );
        assert_eq!(summary.text(), expected);
    }
}
