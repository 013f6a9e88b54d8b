//! Checksums of all that is in the job's folder, several files at once.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use slurm_k8s_core::collect::{CHECKSUMS, STEPS, SUMMARY_JSON, SUMMARY_TEXT, checksum};
use walkdir::WalkDir;

use super::life::Life;
use super::place::{self, Place};

/// What is read at once, in bytes.
const BLOCK: usize = 1 << 20;

/// A file's.
#[derive(Clone)]
pub struct Sum {
    path: PathBuf,
    digest: Vec<u8>,
    /// Its length.
    pub bytes: u64,
}

/// The files in the folder and below it, with their sizes, sorted. Links are not followed.
pub fn list(place: &Place, life: &Life, warnings: &mut Vec<String>) -> Vec<(PathBuf, u64)> {
    let ours = [CHECKSUMS, SUMMARY_JSON, SUMMARY_TEXT, STEPS];
    let is_ours = |name: &std::ffi::OsStr| ours.iter().any(|own| *own == name) || place::is_draft(name.as_bytes());
    let walk = WalkDir::new(&place.path).min_depth(1).sort_by_file_name().into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| entry.depth() != 1 || !is_ours(entry.file_name())) {
        life.step(1);
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let size = entry.metadata().map_or(0, |data| data.len());
                let path = entry.path().strip_prefix(&place.path).unwrap_or(entry.path()).to_owned();
                files.push((path, size));
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(&place.path);
                let path = crate::entry::shown(path.strip_prefix(&place.path).unwrap_or(path).as_os_str().as_bytes());
                let why = error.io_error().map(ToString::to_string).unwrap_or_default();
                warnings.push(format!("{path} cannot be read: {why}"));
            }
        }
    }
    files
}

/// Reads them all. Those that cannot be read are warned of.
pub fn all(
    place: &Place,
    files: &[(PathBuf, u64)],
    threads: usize,
    life: &Life,
    warnings: &mut Vec<String>,
) -> Vec<Sum> {
    life.expect(files.iter().fold(0, |sum: u64, (_, size)| sum.saturating_add(*size)));
    let next = AtomicUsize::new(0);
    let sums = Mutex::new(Vec::with_capacity(files.len()));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, files.len().max(1)) {
            scope.spawn(|| {
                while let Some((path, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match one(place, path, *size, life) {
                        Ok(sum) => sums.lock().unwrap_or_else(PoisonError::into_inner).push(sum),
                        Err(error) => {
                            let text = format!("{} has no checksum: {error}", path.display());
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                        }
                    }
                }
            });
        }
    });
    warnings.extend(failed.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    sums.sort_by(|a: &Sum, b| a.path.cmp(&b.path));
    sums
}

/// As far as it was long when it was listed: one that grows is somebody's who still runs.
fn one(place: &Place, path: &Path, size: u64, life: &Life) -> std::io::Result<Sum> {
    life.step(1);
    let file = place.file(path)?;
    let before = file.metadata()?;
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    let mut content = (&file).take(size);
    let mut buffer = vec![0; BLOCK];
    let (mut sum, mut bytes) = (Sha256::new(), 0);
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        sum.update(buffer.get(..count).unwrap_or_default());
        let count = u64::try_from(count).unwrap_or(0);
        bytes += count;
        life.step(count);
    }
    let after = file.metadata()?;
    if (before.len(), before.modified()?) != (after.len(), after.modified()?) || after.len() != size {
        return Err(std::io::Error::other("it is still being written"));
    }
    Ok(Sum { path: path.to_owned(), digest: sum.finalize().to_vec(), bytes })
}

/// Of a file that was just written.
pub fn of_bytes(name: &str, bytes: &[u8]) -> Sum {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Sum { path: name.into(), digest: Sha256::digest(bytes).to_vec(), bytes: length }
}

/// The file of all of them.
pub fn lines(mut sums: Vec<Sum>) -> Vec<u8> {
    sums.sort_by(|a, b| a.path.cmp(&b.path));
    sums.iter().flat_map(|sum| checksum::line(&sum.digest, sum.path.as_os_str().as_bytes())).collect()
}
