//! What is remembered of the step for its job's summary (`slurm_k8s_core::collect`). It never decides anything.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use slurm_k8s_agent::link::message::{End, Message, Refusal};
use slurm_k8s_core::collect::step::{self, NOTICES, Record, TASKS, Usage};
use slurm_k8s_core::name;

use crate::cgroup;
use crate::plan::Step;

/// The record while it grows.
#[derive(Debug, Default)]
pub struct Recorder(RefCell<Record>);

impl Recorder {
    /// Of a step that begins now.
    #[must_use]
    pub fn begin(step: &Step, pod: &str, namespace: &str) -> Self {
        let mut record = Record {
            job: step.job_id,
            step: name::step_label(step.step_id),
            node: step.node.clone(),
            node_index: step.node_index,
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
            image: step.image.to_string(),
            tasks: step.tasks,
            ..Record::default()
        };
        record.times.begun = now();
        Self(RefCell::new(record))
    }

    /// What a task is started with tells how often the job began anew. Slurm's item for plugins (`S_SLURM_RESTART_COUNT`) is
    /// never filled in, and the variable not before this.
    pub fn starts(&self, message: &Message) {
        let Message::Start(start) = message else { return };
        let value = start.env.iter().find_map(|entry| entry.strip_prefix(b"SLURM_RESTART_COUNT="));
        if let Some(count) = value.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()) {
            self.0.borrow_mut().restart = count;
        }
    }

    /// The Pod is there.
    pub fn created(&self, pod: &str) {
        let mut record = self.0.borrow_mut();
        record.times.created = now();
        pod.clone_into(&mut record.pod);
    }

    /// The container was made at this time, which the agent's coming shows.
    pub fn container(&self, at: Option<SystemTime>) {
        self.0.borrow_mut().times.container = at.and_then(seconds).or_else(now);
    }

    /// What the image was, as the kubelet tells.
    pub fn image_id(&self, id: &str) {
        self.0.borrow_mut().image_id = Some(id.to_owned());
    }

    /// What the agent says of a task.
    pub fn told(&self, message: &Message) {
        let mut record = self.0.borrow_mut();
        match message {
            Message::Started { .. } if record.times.started.is_none() => record.times.started = now(),
            Message::Exited { task, end, usage } => {
                record.times.ended = now();
                if record.ended.len() < TASKS {
                    let (code, signal) = match end {
                        End::Code(code) => (Some(*code), None),
                        End::Signal(signal) => (None, Some(*signal)),
                    };
                    let cpu_us = usage.user_us.saturating_add(usage.system_us);
                    record.ended.push(step::Task { task: *task, code, signal, cpu_us, peak_kib: usage.peak_kib });
                }
            }
            _ => {}
        }
    }

    /// What the tasks are told.
    pub fn notice(&self, text: &str) {
        let mut record = self.0.borrow_mut();
        if record.notices.len() < NOTICES {
            record.notices.push(text.to_owned());
        }
    }

    /// It does not run, or nobody knows how it ended. The first reason stays.
    pub fn refused(&self, refusal: &Refusal) {
        let record = &mut self.0.borrow_mut().refusal;
        if record.is_none() {
            *record = Some(step::Refusal { code: refusal.code, message: refusal.message.clone() });
        }
    }

    /// Looks at what the container has used, while it is there.
    pub fn look_at_usage(&self, agent: i32) {
        let memory = cgroup::memory(agent).ok();
        let usage = &mut self.0.borrow_mut().usage;
        // A second look may come too late.
        *usage = Usage {
            cpu_us: cgroup::cpu_us(agent).ok().or(usage.cpu_us),
            memory_peak: memory.and_then(|memory| memory.peak).or(usage.memory_peak),
            memory_limit: memory.and_then(|memory| memory.limit).or(usage.memory_limit),
            memory_kills: memory.map_or(usage.memory_kills, |memory| memory.killed),
        };
    }

    /// All of it: the file's name and its text.
    #[must_use]
    pub fn end(&self, requests: BTreeMap<String, u32>) -> (String, Vec<u8>) {
        let mut record = self.0.borrow_mut();
        record.requests = requests;
        (record.file(), serde_json::to_vec(&*record).unwrap_or_default())
    }
}

fn now() -> Option<f64> {
    seconds(SystemTime::now())
}

/// To the millisecond.
fn seconds(time: SystemTime) -> Option<f64> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some((seconds * 1e3).round() / 1e3)
}
