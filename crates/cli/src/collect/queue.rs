//! The folder in which jobs name themselves.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use slurm_k8s_core::collect::queue::{self, FOLDER, TAKEN};
use slurm_k8s_core::watch::admit::Kind;

use super::CollectError;
use crate::disk::{Disk, DiskError, Folder};

/// Who has it locked is the one collector.
const LOCK: &[u8] = b".lock";
/// So many names of one user count at a time.
const MOST: u32 = 5000;

/// The folder.
pub struct Queue {
    disk: Disk,
    folder: Folder,
    taken: Folder,
}

/// A job that is to be collected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The job.
    pub id: String,
    /// Who says so.
    pub uid: u32,
    /// The file's name.
    pub name: Vec<u8>,
    /// Whether it is in work, or was when a collector ended.
    pub taken: bool,
}

impl Queue {
    /// Opens the folder in `results`, or makes it.
    pub fn open(disk: Disk, results: &Path) -> Result<Self, CollectError> {
        let results = Folder::open(results)?;
        disk.make(&results, FOLDER.as_bytes(), 0o1777)?;
        let folder = disk.enter(&results, FOLDER.as_bytes())?;
        let me = rustix::process::geteuid().as_raw();
        if let Some(entry) = disk.look(&folder, b".")? {
            let (owner, mode) = (entry.opened.uid, entry.opened.mode);
            if owner != me || mode != 0o1777 {
                return Err(CollectError::Queue { path: folder.path.display().to_string(), owner, mode, me });
            }
        }
        disk.make(&folder, TAKEN.as_bytes(), 0o700)?;
        let taken = disk.enter(&folder, TAKEN.as_bytes())?;
        Ok(Self { disk, folder, taken })
    }

    /// Makes this the only collector; none if there is one already. It ends with what is returned.
    pub fn lock(&self) -> Result<Option<OwnedFd>, DiskError> {
        let file = self.disk.create(&self.taken, LOCK)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(DiskError::of("lock", &self.taken.path, error)),
        }
    }

    /// The names in it: those that were taken already and then the rest, users by turns. What is no job's name goes.
    pub fn entries(&self) -> Result<Vec<Entry>, DiskError> {
        let mut entries = Vec::new();
        let mut of_user = BTreeMap::<u32, u32>::new();
        for (folder, taken) in [(&self.taken, true), (&self.folder, false)] {
            for name in self.disk.names(folder)? {
                if name == LOCK || (!taken && name == TAKEN.as_bytes()) {
                    continue;
                }
                let Some(found) = self.disk.look(folder, &name)? else { continue };
                match queue::job(&name) {
                    Some(id) if found.opened.kind == Kind::File => {
                        let uid = found.opened.uid;
                        let count = of_user.entry(uid).or_default();
                        *count += 1;
                        if *count <= MOST {
                            entries.push((!taken, *count, Entry { id: id.to_owned(), uid, name, taken }));
                        }
                    }
                    // Somebody's folder can only be removed when it is empty.
                    _ if found.opened.kind == Kind::Folder => {}
                    _ => self.disk.remove(folder, &name)?,
                }
            }
        }
        entries.sort();
        Ok(entries.into_iter().map(|(_, _, entry)| entry).collect())
    }

    /// Takes it in hand: a job that begins anew meanwhile names itself again.
    pub fn take(&self, entry: &mut Entry) -> Result<(), DiskError> {
        if !entry.taken {
            self.disk.rename((&self.folder, &entry.name), (&self.taken, &entry.name))?;
            entry.taken = true;
        }
        Ok(())
    }

    /// The job goes on after all.
    pub fn put_back(&self, entry: &Entry) -> Result<(), DiskError> {
        if entry.taken { self.disk.rename((&self.taken, &entry.name), (&self.folder, &entry.name)) } else { Ok(()) }
    }

    /// It is done with, or does not count.
    pub fn remove(&self, entry: &Entry) -> Result<(), DiskError> {
        self.disk.remove(if entry.taken { &self.taken } else { &self.folder }, &entry.name)
    }
}
