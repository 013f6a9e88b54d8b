//! Collecting one job, in a process that is its user's: everything that it reads may be hostile, and can only harm its owner.

mod copy;
mod hash;
mod life;
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
use hash::Sum;
use life::Life;
use place::{Place, PlaceError};

/// So many records are read; a job has one for each step on each node.
const RECORDS: usize = 20_000;
/// The longest earlier summary that is read, in bytes.
const LONGEST: usize = 32 << 20;
/// So many warnings are written down.
const WARNINGS: usize = 200;
/// So often two that are at work at once are in each other's way.
const TOGETHER: usize = 10;
/// The order is short, in bytes.
const ORDER: u64 = 1 << 20;
/// What it may have in memory, in bytes: what a user leaves must not take it from others (`RLIMIT_DATA` in setrlimit(2)).
const MEMORY: u64 = 768 << 20;
const RLIMIT_DATA: u32 = 2;

/// Reads the order, does it, and tells.
pub fn run() -> ExitCode {
    // Others' jobs may run here, and nobody waits for this one.
    let _ = rustix::process::nice(10);
    let _ = slurm_k8s_posix::set_limit(RLIMIT_DATA, MEMORY, MEMORY);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let life = Life::told(|done, of| tell(&Line::Progress { done, of }));
    let mut text = String::new();
    let read = std::io::Read::take(std::io::stdin().lock(), ORDER);
    let order = std::io::BufReader::new(read).read_line(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
    let answer = match order {
        Some(order) => gather(&order, &life).map_or_else(
            |error| Line::Failed { why: report::chain(&error), forever: error.is_for_ever() },
            |(summary, new)| Line::Done(Box::new(summary.brief(&new))),
        ),
        None => Line::Failed { why: "the collector has given no order".into(), forever: false },
    };
    tell(&answer);
    ExitCode::SUCCESS
}

fn tell(line: &Line) {
    let text = serde_json::to_string(line).unwrap_or_default() + "\n";
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The whole summary, and the steps that are new in it.
fn gather(order: &Order, life: &Life) -> Result<(Summary, Vec<Record>), PlaceError> {
    let place = Place::open(&order.folder)?;
    let mut warnings = Vec::new();
    warnings.extend(place.tidy().map(|error| report::chain(&error)));
    copy::outputs(&place, order, life, &mut warnings)?;
    let (new, names) = records(&place, life)?;
    let mut summary = Summary::new(order.job.clone(), before(&place, &order.job.id), new.clone(), order.now);
    if names.len() >= RECORDS {
        warnings.push(format!("it has more than {RECORDS} steps on nodes; the others are not told of"));
    }
    let files = hash::list(&place, life, &mut warnings);
    let sums = hash::all(&place, &files, order.threads, life, &mut warnings);
    summary.files.count = u64::try_from(sums.len()).unwrap_or(u64::MAX);
    summary.files.bytes = sums.iter().map(|sum| sum.bytes).sum();
    summary.warnings.extend(warnings.iter().take(WARNINGS).map(|text| one_line(text)));
    write(&place, &summary, &sums)?;
    // They are in the summary now. When this is not reached, they come again, and are there once.
    let mut left: Vec<_> = names.iter().filter_map(|name| place.remove(&Path::new(STEPS).join(name)).err()).collect();
    left.extend(place.remove_folder(STEPS).err());
    if let Some(error) = left.first() {
        summary.warnings.push(one_line(&report::chain(error)));
        write(&place, &summary, &sums)?;
    }
    Ok((summary, new))
}

/// The summary and the checksums. Where two collectors have come to work at once, since a file server has lost a lock, one of
/// them is the last that writes, and all of it is that one's.
fn write(place: &Place, summary: &Summary, sums: &[Sum]) -> Result<(), PlaceError> {
    let json = [&serde_json::to_vec_pretty(summary).unwrap_or_default()[..], b"\n"].concat();
    let summaries = [(SUMMARY_JSON, json), (SUMMARY_TEXT, summary.text().into_bytes())];
    let ours = summaries.iter().map(|(name, bytes)| hash::of_bytes(name, bytes));
    let checksums = hash::lines(sums.iter().cloned().chain(ours).collect());
    let files: Vec<_> = summaries.into_iter().chain([(CHECKSUMS, checksums)]).collect();
    let is_ours = |(name, bytes): &(&str, Vec<u8>)| place.read(Path::new(name), bytes.len()).as_ref() == Some(bytes);
    for _ in 0..TOGETHER {
        match files.iter().try_for_each(|(name, bytes)| place.write(name, bytes)) {
            Ok(()) if files.iter().all(is_ours) => return Ok(()),
            Ok(()) => {}
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
    }
    Err(PlaceError::Taken { path: place.path.clone() })
}

/// What the steps have left, and the names of their files; what is still being written has a dot in front.
fn records(place: &Place, life: &Life) -> Result<(Vec<Record>, Vec<String>), PlaceError> {
    let mut names = place.names(STEPS, RECORDS)?;
    names.retain(|name| !name.starts_with('.'));
    let read = |name: &String| {
        life.step(1);
        place.read(&Path::new(STEPS).join(name), step::LONGEST)
    };
    let records = names.iter().filter_map(|name| Record::parse(&read(name)?)).collect();
    Ok((records, names))
}

/// The steps of an earlier summary of this job.
fn before(place: &Place, job: &str) -> Vec<Record> {
    let read = place.read(Path::new(SUMMARY_JSON), LONGEST);
    let summary = read.and_then(|bytes| serde_json::from_slice::<Summary>(&bytes).ok());
    let steps = summary.filter(|summary| summary.job.id == job).map(|summary| summary.steps).unwrap_or_default();
    steps.into_iter().take(RECORDS).map(Record::bounded).collect()
}

#[cfg(test)]
mod tests;
