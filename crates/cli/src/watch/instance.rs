//! A watcher's folder in `processing`: what is in it is this watcher's alone, as long as it shows that it lives. Another one
//! takes a claim over by rename, which only one of several can do.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folders::Folders;
use crate::clock;
use crate::disk::{Disk, DiskError, Folder};

/// Says who the watcher is; its time says when it last lived.
const CARD: &[u8] = b"watcher.json";

/// Which process on which host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The host, for people.
    pub host: String,
    /// Its kernel's present run.
    pub boot: String,
    /// Its numbers of processes.
    pub numbers: String,
    /// The number.
    pub pid: i32,
    /// When it started, in the kernel's ticks: numbers are used again.
    pub start: String,
}

impl Process {
    /// This one.
    pub fn this() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let kernel = |file: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
            text.trim().to_owned()
        };
        let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let (host, boot) = (kernel("hostname"), kernel("random/boot_id"));
        Self { host, boot, numbers: link.display().to_string(), pid, start: start(pid).unwrap_or_default() }
    }

    /// Whether it is there; none if that cannot be seen from here.
    fn lives(&self, me: &Self) -> Option<bool> {
        if self.boot.is_empty() || (&self.boot, &self.numbers) != (&me.boot, &me.numbers) {
            return None;
        }
        let pid = rustix::process::Pid::from_raw(self.pid)?;
        // EPERM: there is one, and it is another user's.
        let there = rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH);
        // Where /proc hides it, it counts as the same.
        Some(there && start(self.pid).is_none_or(|start| start == self.start))
    }
}

/// The 22nd field of stat; the second one may have blanks and brackets in it.
fn start(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

/// This watcher.
#[derive(Debug)]
pub struct Instance {
    /// Its folder's name.
    pub name: String,
    /// Its folder.
    pub folder: Folder,
    process: Process,
}

/// A claim that was another watcher's.
#[derive(Debug)]
pub struct TakenOver {
    /// Its name.
    pub id: String,
    /// Whose it was.
    pub from: String,
    /// Whether that process is known to be gone, with its sbatch.
    pub surely: bool,
}

impl Instance {
    /// Makes its folder.
    pub fn start(disk: &Disk, folders: &Folders, process: Process) -> Result<Self, DiskError> {
        let random = clock::random().map_err(|error| DiskError::of("read", "/dev/urandom".as_ref(), error))?;
        let host: String = process.host.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
        let name = format!("{host}.{:08x}", random >> 32);
        disk.make(&folders.processing, name.as_bytes(), 0o711)?;
        let folder = disk.enter(&folders.processing, name.as_bytes())?;
        disk.write(&folder, CARD, &serde_json::to_vec(&process).unwrap_or_default(), 0o644)?;
        Ok(Self { name, folder, process })
    }

    /// Shows that it lives. An error of absence: others have taken it for dead, and its claims with it.
    pub fn beat(&self, disk: &Disk, folders: &Folders) -> Result<(), DiskError> {
        // By its path: a folder that was removed can still be written by its descriptor.
        let folder = disk.enter(&folders.processing, self.name.as_bytes())?;
        disk.touch(&folder, CARD)
    }

    /// Whether a claim is still this watcher's; asked right before something is done that cannot be done twice.
    pub fn holds(&self, disk: &Disk, folders: &Folders, id: &str) -> Result<bool, DiskError> {
        self.beat(disk, folders)?;
        let folder = disk.enter(&folders.processing, self.name.as_bytes())?;
        Ok(disk.look(&folder, id.as_bytes())?.is_some())
    }

    /// The claims in its folder.
    pub fn claims(&self, disk: &Disk) -> Result<Vec<String>, DiskError> {
        claims(disk, &self.folder)
    }

    /// Takes over what watchers have left that are gone. What cannot be moved is told to `failed`, and left for another time.
    pub fn take_over(
        &self,
        disk: &Disk,
        folders: &Folders,
        lease: Duration,
        failed: &mut dyn FnMut(DiskError),
    ) -> Result<Vec<TakenOver>, DiskError> {
        self.beat(disk, folders)?;
        let Some(mine) = disk.look(&self.folder, CARD)? else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        for name in disk.names(&folders.processing)? {
            if name == self.name.as_bytes() {
                continue;
            }
            match self.from(disk, folders, &name, (mine.look.modified, lease), &mut taken) {
                Ok(()) => {}
                // Another watcher was faster.
                Err(error) if error.is_absent() => {}
                Err(error) => failed(error),
            }
        }
        Ok(taken)
    }

    fn from(
        &self,
        disk: &Disk,
        folders: &Folders,
        name: &[u8],
        (now, lease): (i128, Duration),
        taken: &mut Vec<TakenOver>,
    ) -> Result<(), DiskError> {
        let other = disk.enter(&folders.processing, name)?;
        let card = disk.read(&other, CARD)?.and_then(|bytes| serde_json::from_slice::<Process>(&bytes).ok());
        // Both times are the file server's. One without a card was killed before it took anything, or is about to begin.
        let beat = match &card {
            Some(_) => disk.look(&other, CARD)?,
            None => disk.look(&other, b".")?,
        };
        let silent =
            beat.is_none_or(|beat| now - beat.look.modified > i128::try_from(lease.as_nanos()).unwrap_or(i128::MAX));
        let lives = card.as_ref().and_then(|card| card.lives(&self.process));
        if !(lives == Some(false) || (lives.is_none() && silent)) {
            return Ok(());
        }
        let mut failed = None;
        for id in claims(disk, &other)? {
            match disk.rename((&other, id.as_bytes()), (&self.folder, id.as_bytes())) {
                Ok(()) => {
                    let from = String::from_utf8_lossy(name).into_owned();
                    taken.push(TakenOver { id, from, surely: lives == Some(false) });
                }
                Err(error) if error.is_absent() => {}
                // The others are moved all the same.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if claims(disk, &other)?.is_empty() {
            for file in disk.names(&other)? {
                disk.remove(&other, &file)?;
            }
            disk.remove_folder(&folders.processing, name)?;
        }
        Ok(())
    }

    /// Leaves: the folder goes if nothing is in it.
    pub fn end(&self, disk: &Disk, folders: &Folders) -> Result<(), DiskError> {
        if self.claims(disk)?.is_empty() {
            disk.remove(&self.folder, CARD)?;
            disk.remove_folder(&folders.processing, self.name.as_bytes())?;
        }
        Ok(())
    }
}

fn claims(disk: &Disk, folder: &Folder) -> Result<Vec<String>, DiskError> {
    let names = disk.names(folder)?.into_iter().filter_map(|name| String::from_utf8(name).ok());
    let mut ids: Vec<_> = names.filter(|name| slurm_k8s_core::watch::id::is_id(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// When a watcher shows again that it lives.
#[derive(Debug)]
pub struct Pulse {
    last: Instant,
    every: Duration,
}

impl Pulse {
    /// Ten times in each lease.
    pub fn of(lease: Duration) -> Self {
        Self { last: Instant::now(), every: lease / 10 }
    }

    /// Whether it is time.
    pub fn due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.every;
        if due {
            self.last = Instant::now();
        }
        due
    }
}
