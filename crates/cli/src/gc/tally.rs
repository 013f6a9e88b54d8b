//! What the service counts, and the file that it is in.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use slurm_k8s_core::metrics::gc::{Figures, render};

use super::decision::{Lack, Verdict};
use super::now;
use super::pod::Pod;
use crate::report;
use crate::textfile::Textfile;

/// The figures.
pub struct Tally {
    figures: Figures,
    /// The namespaces that cannot be watched at present.
    away: BTreeSet<String>,
    /// The uids of Pods that were found without their job.
    orphans: HashSet<String>,
    file: Textfile,
}

impl Tally {
    /// Before anything is known.
    pub fn new(namespaces: &[String], file: Option<PathBuf>) -> Self {
        Self {
            figures: Figures { slurm: true, ..Figures::default() },
            away: namespaces.iter().cloned().collect(),
            orphans: HashSet::new(),
            file: Textfile::new(file),
        }
    }

    /// A namespace cannot be watched.
    pub fn away(&mut self, namespace: &str) {
        self.away.insert(namespace.to_owned());
    }

    /// It can.
    pub fn back(&mut self, namespace: &str) {
        self.away.remove(namespace);
    }

    /// One that cannot be watched, if it is time to write: a watch that is back tells nothing before a Pod changes.
    pub fn to_ask(&self) -> Option<String> {
        self.away.first().filter(|_| self.file.is_due()).cloned()
    }

    /// Slurm was asked.
    pub fn slurm(&mut self, answered: bool) {
        self.figures.slurm = answered;
    }

    /// All Pods were judged, with Slurm's answer or without.
    pub fn judged(&mut self, judged: &[(&Pod, Verdict)], asked: bool) {
        for (pod, verdict) in judged {
            if verdict.delete && verdict.lack != Some(Lack::Finished) {
                self.orphans.insert(pod.uid.clone());
            } else if asked && !pod.leaving {
                self.orphans.remove(&pod.uid);
            }
        }
        let present: HashSet<_> = judged.iter().map(|(pod, _)| pod.uid.as_str()).collect();
        self.orphans.retain(|uid| present.contains(uid.as_str()));
        self.figures.pods = u64::try_from(judged.len()).unwrap_or(u64::MAX);
        self.figures.orphans = u64::try_from(self.orphans.len()).unwrap_or(u64::MAX);
        self.figures.looked = u64::try_from(now()).unwrap_or(0);
    }

    /// A Pod was deleted.
    pub fn deleted(&mut self, lack: Lack) {
        *self.figures.deleted.entry(lack.label()).or_default() += 1;
    }

    /// A Pod could not be deleted.
    pub fn not_deleted(&mut self) {
        self.figures.failed += 1;
    }

    /// Writes the file, if it is time.
    pub fn write_in_time(&mut self) {
        if self.file.is_due() {
            self.write();
        }
    }

    /// Writes the file.
    pub fn write(&mut self) {
        self.figures.api = self.away.is_empty();
        if let Some(text) = self.file.replace(&render(&self.figures)) {
            report::note(&text);
        }
    }
}

#[cfg(test)]
mod tests;
