//! What the job has written to output files of the user's own is copied beside the rest.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use slurm_k8s_core::results::{STDERR, STDOUT};

use super::place::{Place, PlaceError};
use crate::collect::order::Order;

/// Copies them. Both streams in one file stay so.
pub fn outputs(place: &Place, order: &Order, warnings: &mut Vec<String>) -> Result<(), PlaceError> {
    let stdout = order.job.stdout.as_deref();
    let stderr = order.job.stderr.as_deref().filter(|path| Some(*path) != stdout);
    for (path, name) in [(stdout, STDOUT), (stderr, STDERR)] {
        let Some(path) = path else { continue };
        match open(path) {
            Ok((file, data)) if data.is_file() && !is_there(place, name, &data) => {
                if data.len() > order.copy {
                    warnings.push(format!("{} has {} bytes and was not copied", path.display(), data.len()));
                } else {
                    place.make(name, |copy| io::copy(&mut &file, copy).map(drop))?;
                }
            }
            Ok(_) => {}
            Err(error) => warnings.push(format!("{} was not copied: {error}", path.display())),
        }
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
