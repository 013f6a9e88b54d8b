//! What the job has written to output files of the user's own is copied beside the rest.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use slurm_k8s_core::results::{STDERR, STDOUT};

use super::life::Life;
use super::place::{Place, PlaceError};
use crate::collect::order::Order;

/// What is copied at once, in bytes: each is a sign of life.
const PIECE: u64 = 16 << 20;

/// Copies them. Both streams in one file stay so.
pub fn outputs(place: &Place, order: &Order, life: &Life, warnings: &mut Vec<String>) -> Result<(), PlaceError> {
    let stdout = order.job.stdout.as_deref();
    let stderr = order.job.stderr.as_deref().filter(|path| Some(*path) != stdout);
    for (path, name) in [(stdout, STDOUT), (stderr, STDERR)] {
        let Some(path) = path else { continue };
        match open(path) {
            Ok((_, data)) if !data.is_file() || is_there(place, name, &data) => {}
            Ok((_, data)) if data.len() > order.copy => {
                warnings.push(format!("{} has {} bytes and was not copied", path.display(), data.len()));
            }
            // A node's own file system has the job's.
            Ok((_, data)) if order.job.started.is_some_and(|started| data.mtime() < started) => {
                warnings.push(format!("{} is older than the job here and was not copied", path.display()));
            }
            // As private as it is there.
            Ok((file, data)) => {
                place.make(name, data.mode() & 0o666, |copy| copy_all(&file, data.len(), copy, life))?;
            }
            Err(error) => warnings.push(format!("{} was not copied: {error}", path.display())),
        }
    }
    Ok(())
}

fn copy_all(file: &File, length: u64, copy: &mut File, life: &Life) -> io::Result<()> {
    let mut rest = file.take(length);
    while io::copy(&mut (&mut rest).take(PIECE), copy)? > 0 {
        life.step(PIECE);
    }
    Ok(())
}

/// A FIFO or a device holds nobody up.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let data = file.metadata()?;
    Ok((file, data))
}

/// Whether it is the very file, under its name in the job's folder.
fn is_there(place: &Place, name: &str, data: &Metadata) -> bool {
    let there = place.file(Path::new(name)).and_then(|file| file.metadata());
    there.is_ok_and(|there| (there.dev(), there.ino()) == (data.dev(), data.ino()))
}
