//! Collecting one job, in a process that is its user's: everything that it reads may be hostile, and can only harm its owner.

mod copy;
mod hash;
mod place;

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use slurm_k8s_core::collect::step::{self, Record};
use slurm_k8s_core::collect::summary::Summary;
use slurm_k8s_core::collect::{CHECKSUMS, STEPS, SUMMARY_JSON, SUMMARY_TEXT};
use slurm_k8s_core::message::one_line;

use super::order::{Line, Order};
use crate::report;
use place::{Place, PlaceError};

/// So many records are read; a job has one for each step on each node.
const RECORDS: usize = 20_000;
/// The longest earlier summary that is read, in bytes.
const LONGEST: usize = 64 << 20;
/// The order is short.
const ORDER: u64 = 1 << 20;

/// Reads the order, does it, and tells.
pub fn run() -> ExitCode {
    // Others' jobs may run here, and nobody waits for this one.
    let _ = rustix::process::nice(10);
    let mut text = String::new();
    let read = std::io::Read::take(std::io::stdin().lock(), ORDER);
    let order = std::io::BufReader::new(read).read_line(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
    let line = match order {
        Some(order) => gather(&order).map_or_else(|error| failed(&error), |summary| Line::Done(Box::new(summary))),
        None => Line::Failed { why: "the collector has given no order".into(), forever: false },
    };
    tell(&line);
    ExitCode::SUCCESS
}

fn failed(error: &PlaceError) -> Line {
    Line::Failed { why: report::chain(error), forever: error.is_for_ever() }
}

fn tell(line: &Line) {
    let text = serde_json::to_string(line).unwrap_or_default() + "\n";
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn gather(order: &Order) -> Result<Summary, PlaceError> {
    let place = Place::open(&order.folder)?;
    let mut warnings = Vec::new();
    copy::outputs(&place, order, &mut warnings)?;
    let (new, names) = records(&place)?;
    let mut summary = Summary::new(order.job.clone(), before(&place, &order.job.id), new, order.now);
    let files = hash::list(&place, &mut warnings);
    let progress = |done, of| tell(&Line::Progress { done, of });
    let mut sums = hash::all(&place, &files, order.threads, &mut warnings, &progress);
    summary.files.count = u64::try_from(sums.len()).unwrap_or(u64::MAX);
    summary.files.bytes = sums.iter().map(|sum| sum.bytes).sum();
    summary.warnings.extend(warnings.iter().map(|text| one_line(text)));
    summary.warnings.truncate(200);
    let json = serde_json::to_vec_pretty(&summary).unwrap_or_default();
    for (name, bytes) in [(SUMMARY_JSON, [&json[..], b"\n"].concat()), (SUMMARY_TEXT, summary.text().into_bytes())] {
        place.write(name, &bytes)?;
        sums.push(hash::of_bytes(name, &bytes));
    }
    place.write(CHECKSUMS, &hash::lines(sums))?;
    // They are in the summary now. When this is not reached, they come again, and are there once.
    names.iter().for_each(|name| place.remove(&Path::new(STEPS).join(name)));
    place.remove_folder(STEPS);
    Ok(summary)
}

/// What the steps have left, and the names of their files.
fn records(place: &Place) -> Result<(Vec<Record>, Vec<String>), PlaceError> {
    let names = place.names(STEPS, RECORDS)?;
    let read = |name: &String| place.read(&Path::new(STEPS).join(name), step::LONGEST);
    let whole = |name: &&String| !name.starts_with('.');
    let records = names.iter().filter(whole).filter_map(|name| Record::parse(&read(name)?)).collect();
    Ok((records, names))
}

/// The steps of an earlier summary of this job.
fn before(place: &Place, job: &str) -> Vec<Record> {
    let read = place.read(Path::new(SUMMARY_JSON), LONGEST);
    let summary = read.and_then(|bytes| serde_json::from_slice::<Summary>(&bytes).ok());
    summary.filter(|summary| summary.job.id == job).map(|summary| summary.steps).unwrap_or_default()
}

#[cfg(test)]
mod tests;
