//! A job is submitted.

use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use slurm_k8s_core::config::{Config, Paths};
use slurm_k8s_core::finding::{self, Finding};
use slurm_k8s_core::honour;
use slurm_k8s_core::judge::{self, Judgement, Submission};
use slurm_k8s_core::option::JobOptions;
use slurm_k8s_core::results;
use slurm_k8s_slurm_sys::job_desc::JobDesc;

use crate::site::Site;
use crate::{amount, given};

/// Goes into the hash of a marked script.
const MARK: u8 = 0x6b;

/// Why a job is not taken; sbatch shows it line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    cause: String,
    hint: Option<String>,
}

impl Refusal {
    /// What is wrong; one line.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spank-k8s: {}", self.cause)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nspank-k8s: hint: {hint}"))
    }
}

impl From<&Finding> for Refusal {
    fn from(finding: &Finding) -> Self {
        Self { cause: finding.to_string(), hint: finding.hint.clone() }
    }
}

/// Judges the job; one that is taken carries its options and the mark from here on. What is only odd comes back as notes
/// for the user.
pub fn submit(job: &mut JobDesc<'_>, site: &Site) -> Result<String, Refusal> {
    let options = given::read(job).map_err(|error| Refusal { cause: error.to_string(), hint: error.hint() })?;
    let site = site.config();
    let config = site.as_ref().ok().and_then(Option::as_deref);
    // Once: finding the end of 4 MiB is most of what a plain job costs.
    let script = job.script().unwrap_or_default();
    let judgement = judge(job, script, &options, config);
    if let Some(finding) = judgement.refusal() {
        return Err(finding.into());
    }
    if job.het_component() == Some(0) && !judgement.options.is_switched_off() {
        judge::of_components(script).map_or(Ok(()), |finding| Err(Refusal::from(&finding)))?;
    }
    let notes = notes(&judgement);
    let options = judgement.options;
    if !options.wants_pod() {
        // One that was written out by `scontrol write batch_script`, and is now to run as it is.
        if let Some(own) = honour::unmark(script) {
            job.set_script(own, 0);
        }
        return Ok(notes);
    }
    if let Err(error) = &site {
        return Err(Refusal { cause: error.to_string(), hint: Some(error.hint()) });
    }
    if let Some(config) = config {
        let asks = judge::of_requirement(config, |what| amount::has(job, what));
        let finding = asks.or_else(|| judge::of_amount(config, &options, &amount::of(job)));
        finding.map_or(Ok(()), |finding| Err(Refusal::from(&finding)))?;
    }
    if job.script().is_some() {
        send(job, &options, &config.map(|config| config.paths.clone()).unwrap_or_default())?;
        if let Some(folder) = config.and_then(|config| config.results.folder.as_deref()) {
            write_to(job, folder);
        }
    }
    Ok(notes)
}

/// Where the user says nothing, output goes to the job's own folder. Slurm puts both streams into the file of
/// `--output` if that alone is given, and so it stays.
fn write_to(job: &mut JobDesc<'_>, folder: &Path) {
    let array = job.array().is_some();
    let file = |name: &str| results::pattern(folder, array, name);
    if job.output().is_none() {
        // A path has no NUL.
        let _ = job.set_output(file(results::STDOUT));
        if job.error().is_none() {
            let _ = job.set_error(file(results::STDERR));
        }
    }
}

fn judge(job: &JobDesc<'_>, script: &[u8], given: &JobOptions, config: Option<&Config>) -> Judgement {
    judge::judge(&Submission {
        script,
        component: job.het_component().unwrap_or(0) as usize,
        given,
        variable: &|name| given::variable(job, name),
        config,
        uid: job.user_id(),
    })
}

/// What a batch script takes along to the node.
fn send(job: &mut JobDesc<'_>, options: &JobOptions, paths: &Paths) -> Result<(), Refusal> {
    let failed = || Refusal { cause: "the job's options cannot be sent to the node".into(), hint: None };
    if !given::write(job, options) {
        return Err(failed());
    }
    // A script without an interpreter runs on no node.
    let marked = job.script().and_then(|script| honour::mark(script, paths.agent().as_os_str().as_bytes()));
    let written = marked.is_none_or(|marked| job.set_script(marked, MARK));
    if written { Ok(()) } else { Err(failed()) }
}

/// A comment that is nearly a directive decides whether a job runs in a Pod: its user is told.
fn notes(judgement: &Judgement) -> String {
    let mut text = String::new();
    let odd = judgement.findings.iter().filter(|finding| !finding.is_error() && finding.kind != finding::NO_COMMAND);
    for finding in odd {
        let _ = writeln!(text, "spank-k8s: {finding}");
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "spank-k8s: hint: {hint}");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
