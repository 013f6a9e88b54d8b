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

impl Entry {
    /// The job, and who says so.
    pub fn key(&self) -> (String, u32) {
        (self.id.clone(), self.uid)
    }
}

impl Queue {
    /// Opens the folder in `results`, or makes it.
    pub fn open(results: &Path) -> Result<Self, CollectError> {
        let disk = Disk::default();
        let results = Folder::open(results)?;
        disk.make(&results, FOLDER.as_bytes(), 0o1777)?;
        let folder = disk.enter(&results, FOLDER.as_bytes())?;
        check(&disk, &folder, 0o1777)?;
        disk.make(&folder, TAKEN.as_bytes(), 0o700)?;
        let taken = disk.enter(&folder, TAKEN.as_bytes())?;
        // A user may have made one before.
        check(&disk, &taken, 0o700)?;
        Ok(Self { folder, taken })
    }

    /// Makes this the only collector; none if there is one already. It ends with what is returned.
    pub fn lock(&self) -> Result<Option<OwnedFd>, DiskError> {
        let file = Disk::default().create(&self.taken, LOCK)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(DiskError::of("lock", &self.taken.path, error)),
        }
    }

    /// The names in it, users by turns. What is no job's name goes; the first of them that does not, and why.
    pub fn entries(&self) -> Result<(Vec<Entry>, Option<DiskError>), DiskError> {
        let disk = Disk::default();
        let (mut entries, mut trouble) = (Vec::new(), None);
        let mut of_user = BTreeMap::<u32, u32>::new();
        for (folder, taken) in [(&self.taken, true), (&self.folder, false)] {
            for name in disk.names(folder)? {
                // Also what a file server keeps of a file that is removed and still open.
                if name.starts_with(b".") || (!taken && name == TAKEN.as_bytes()) {
                    continue;
                }
                // One that cannot be looked at is nobody else's matter.
                let found = match disk.look(folder, &name) {
                    Ok(Some(found)) => found,
                    Ok(None) => continue,
                    Err(error) => {
                        trouble.get_or_insert(error);
                        continue;
                    }
                };
                match queue::job(&name) {
                    Some(id) if found.opened.kind == Kind::File => {
                        let uid = found.opened.uid;
                        let count = of_user.entry(uid).or_default();
                        *count += 1;
                        if *count <= MOST {
                            entries.push((*count, Entry { id: id.to_owned(), uid, name, taken }));
                        }
                    }
                    // Somebody's folder can only be removed when it is empty.
                    _ if found.opened.kind == Kind::Folder => {}
                    _ => {
                        if let Err(error) = disk.remove(folder, &name) {
                            trouble.get_or_insert(error);
                        }
                    }
                }
            }
        }
        entries.sort();
        Ok((entries.into_iter().map(|(_, entry)| entry).collect(), trouble))
    }

    /// Takes it in hand: a job that begins anew meanwhile names itself again.
    pub fn take(&self, entry: &mut Entry) -> Result<(), DiskError> {
        if !entry.taken {
            Disk::default().rename((&self.folder, &entry.name), (&self.taken, &entry.name))?;
            entry.taken = true;
        }
        Ok(())
    }

    /// The job goes on after all.
    pub fn put_back(&self, entry: &Entry) -> Result<(), DiskError> {
        if entry.taken {
            Disk::default().rename((&self.taken, &entry.name), (&self.folder, &entry.name))
        } else {
            Ok(())
        }
    }

    /// It does not count. Its user may have put it away meanwhile, and another one theirs in its place: that one stays.
    pub fn drop_foreign(&self, mut entry: Entry) -> Result<(), DiskError> {
        self.take(&mut entry)?;
        match Disk::default().look(&self.taken, &entry.name)? {
            Some(found) if found.opened.uid != entry.uid => self.put_back(&entry),
            _ => self.remove(&entry),
        }
    }

    /// It is done with.
    pub fn remove(&self, entry: &Entry) -> Result<(), DiskError> {
        Disk::default().remove(if entry.taken { &self.taken } else { &self.folder }, &entry.name)
    }
}

fn check(disk: &Disk, folder: &Folder, expected: u32) -> Result<(), CollectError> {
    let Some(entry) = disk.look(folder, b".")? else { return Ok(()) };
    let (owner, mode, me) = (entry.opened.uid, entry.opened.mode, rustix::process::geteuid().as_raw());
    if (owner, mode) == (me, expected) {
        return Ok(());
    }
    Err(CollectError::Queue { path: folder.path.display().to_string(), owner, mode, me, expected })
}
