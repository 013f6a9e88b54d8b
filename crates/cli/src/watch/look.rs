//! What is in the submit folder.

use std::collections::BTreeSet;
use std::time::Duration;

use slurm_k8s_core::watch::admit::Kind;
use slurm_k8s_core::watch::name::{self, is_temporary};
use slurm_k8s_core::watch::reason::{self, Refusal};
use slurm_k8s_core::watch::settle::{Look, Settling};

use super::folders::Folders;
use crate::clock;
use crate::disk::{Disk, DiskError};
use crate::entry::shown;

/// A file that is complete.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its name.
    pub name: Vec<u8>,
    /// Its owner.
    pub uid: u32,
    /// How it looked.
    pub look: Look,
}

/// What is known of the folder.
#[derive(Default)]
pub struct Submit {
    /// The files, as they were seen.
    pub settling: Settling,
    /// How many have names of unfinished ones.
    pub unfinished: u64,
    told: BTreeSet<Vec<u8>>,
}

impl Submit {
    /// Looks; the files that are complete, the oldest first. `tell` gets a line about what is never taken.
    pub fn look(
        &mut self,
        disk: &Disk,
        folders: &Folders,
        now: Duration,
        settle: Duration,
        tell: &mut dyn FnMut(String),
    ) -> Result<Vec<Ready>, DiskError> {
        let mut ready = Vec::new();
        let mut present = BTreeSet::new();
        self.unfinished = 0;
        for name in disk.names(&folders.submit)? {
            if is_temporary(&name) {
                self.unfinished += 1;
                continue;
            }
            // Another watcher may have taken it meanwhile.
            let Some(entry) = disk.look(&folders.submit, &name)? else { continue };
            if entry.opened.kind == Kind::Folder {
                self.refuse_folder(disk, folders, &name, tell)?;
            } else if self.settling.look(&name, entry.look, now, settle) {
                ready.push(Ready { name: name.clone(), uid: entry.opened.uid, look: entry.look });
            }
            present.insert(name);
        }
        self.settling.keep(|name| present.contains(name));
        self.told.retain(|name| present.contains(name));
        ready.sort_by(|a, b| (a.look.modified, &a.name).cmp(&(b.look.modified, &b.name)));
        Ok(ready)
    }

    /// A folder cannot be moved by who does not own it: it stays, with a reason.
    fn refuse_folder(
        &mut self,
        disk: &Disk,
        folders: &Folders,
        name: &[u8],
        tell: &mut dyn FnMut(String),
    ) -> Result<(), DiskError> {
        if self.told.contains(name) {
            return Ok(());
        }
        let refusal = Refusal::Kind("a folder");
        let id = "none";
        let text = reason::text(&shown(name), &refusal, id, &clock::text(clock::now()));
        let [pair, _] = name::failed(id, name);
        if disk.look(&folders.failed, &pair.note)?.is_none() {
            disk.reserve(&folders.failed, &pair.note, b".folder", text.as_bytes())?;
            tell(format!("left       {}: {refusal}", shown(name)));
        }
        self.told.insert(name.to_vec());
        Ok(())
    }
}
