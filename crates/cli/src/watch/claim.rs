//! A file that was taken: a folder of its own, with the file and how far it has come (`slurm_k8s_core::watch::step`).

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use slurm_k8s_core::watch::answer::Job;
use slurm_k8s_core::watch::settle::Look;
use slurm_k8s_core::watch::step::Found;

use super::instance::Instance;
use super::record::{Attempt, Claimed, Ended, Name};
use crate::disk::{Disk, DiskError, Folder};

const CLAIM: &[u8] = b"claim.json";
/// The user's file.
pub const SCRIPT: &[u8] = b"script";
const ATTEMPT: &[u8] = b"attempt.json";
const ANSWER: &[u8] = b"answer";
const END: &[u8] = b"end.json";

/// A claim of this watcher's.
#[derive(Debug)]
pub struct Claim {
    /// Its submission.
    pub id: String,
    /// Its folder.
    pub folder: Folder,
    /// What the file was called.
    pub name: Vec<u8>,
    /// Its owner, as far as it is known: for taking turns.
    pub uid: u32,
    /// What is remembered while this watcher lives.
    pub memory: Memory,
}

/// What need not outlive the watcher: without it everything takes a little longer.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// How the file looked, and since when.
    pub look: Option<(Look, Instant)>,
    /// Before this time, "there is no such job" counts for nothing.
    pub not_before: Option<Instant>,
    /// Since when Slurm has said that there is no job.
    pub absent: Option<Instant>,
    /// Since when it cannot be known whether there is a job.
    pub unsure: Option<Instant>,
    /// How often a call of the watcher's has failed.
    pub failures: u32,
    /// How often sbatch has come to no end.
    pub doubts: u32,
    /// What sbatch said when it ended well without a job.
    pub ended_well: Option<String>,
}

impl Claim {
    /// Takes a file; none if it is not there any more.
    pub fn take(
        disk: &Disk,
        instance: &Instance,
        submit: &Folder,
        file: (&[u8], u32, Look),
        id: String,
    ) -> Result<Option<Self>, DiskError> {
        let (name, uid, look) = file;
        disk.make(&instance.folder, id.as_bytes(), 0o711)?;
        let folder = disk.enter(&instance.folder, id.as_bytes())?;
        let claim = Self { id, folder, name: name.to_vec(), uid, memory: Memory::default() };
        claim.put(disk, CLAIM, &Claimed { name: Name::of(name) })?;
        let moved = disk.rename((submit, name), (&claim.folder, SCRIPT));
        // A file server may have done it and say, asked twice, that there is no such file.
        if let Err(error) = moved
            && disk.look(&claim.folder, SCRIPT)?.is_none()
        {
            claim.remove(disk, instance)?;
            return if error.is_absent() { Ok(None) } else { Err(error) };
        }
        disk.sync(&claim.folder)?;
        // What was taken may be another one than was looked at; its time of change is the rename's.
        let same = disk.look(&claim.folder, SCRIPT)?.is_some_and(|now| without_name(now.look) == without_name(look));
        let memory = Memory { look: same.then(|| (without_name(look), Instant::now())), ..Memory::default() };
        Ok(Some(Self { memory, ..claim }))
    }

    /// Goes on with one that is there; none if it is not.
    pub fn resume(disk: &Disk, instance: &Instance, id: String) -> Result<Option<Self>, DiskError> {
        let folder = match disk.enter(&instance.folder, id.as_bytes()) {
            Err(error) if error.is_absent() => return Ok(None),
            folder => folder?,
        };
        let mut claim = Self { id, folder, name: Vec::new(), uid: 0, memory: Memory::default() };
        // Without this file nothing was taken, so the name is of no use.
        if let Some(claimed) = claim.get::<Claimed>(disk, CLAIM)? {
            claim.name = claimed.name.bytes().to_vec();
        }
        claim.uid = disk.look(&claim.folder, SCRIPT)?.map_or(0, |entry| entry.opened.uid);
        Ok(Some(claim))
    }

    /// How far it has come.
    pub fn found(&self, disk: &Disk) -> Result<Found, DiskError> {
        Ok(Found {
            script: disk.look(&self.folder, SCRIPT)?.is_some(),
            attempt: disk.look(&self.folder, ATTEMPT)?.is_some(),
            answer: self.answer(disk)?,
            end: disk.look(&self.folder, END)?.is_some(),
        })
    }

    /// What sbatch has said.
    pub fn answer(&self, disk: &Disk) -> Result<Option<Job>, DiskError> {
        Ok(disk.read(&self.folder, ANSWER)?.and_then(|bytes| Job::parse(&bytes)))
    }

    /// From now on there may be a job. Gives the file for what sbatch says.
    pub fn attempt(&self, disk: &Disk, attempt: &Attempt) -> Result<OwnedFd, DiskError> {
        self.put(disk, ATTEMPT, attempt)?;
        let answer = disk.create(&self.folder, ANSWER)?;
        disk.sync(&self.folder)?;
        Ok(answer)
    }

    /// The last attempt.
    pub fn attempted(&self, disk: &Disk) -> Result<Option<Attempt>, DiskError> {
        self.get(disk, ATTEMPT)
    }

    /// There is no job: it may be tried again.
    pub fn forget_attempt(&self, disk: &Disk) -> Result<(), DiskError> {
        disk.remove(&self.folder, ANSWER)?;
        disk.remove(&self.folder, ATTEMPT)?;
        disk.sync(&self.folder)
    }

    /// Writes down what becomes of it.
    pub fn decide(&self, disk: &Disk, end: &Ended) -> Result<(), DiskError> {
        self.put(disk, END, end)?;
        disk.sync(&self.folder)
    }

    /// What becomes of it.
    pub fn end(&self, disk: &Disk) -> Result<Option<Ended>, DiskError> {
        self.get(disk, END)
    }

    /// Removes the folder.
    pub fn remove(&self, disk: &Disk, instance: &Instance) -> Result<(), DiskError> {
        // Also what was half written.
        for name in disk.names(&self.folder)?.iter().filter(|name| name.as_slice() != SCRIPT) {
            disk.remove(&self.folder, name)?;
        }
        disk.remove_folder(&instance.folder, self.id.as_bytes())
    }

    /// Whether the file is as it was for so long; if not, when to look again.
    pub fn settled(&mut self, now: Look, settle: Duration) -> Result<(), Duration> {
        let now = without_name(now);
        match self.memory.look {
            Some((before, since)) if before == now => match settle.checked_sub(since.elapsed()) {
                Some(rest) if since.elapsed() < settle => Err(rest),
                _ => Ok(()),
            },
            _ => {
                self.memory.look = Some((now, Instant::now()));
                Err(settle)
            }
        }
    }

    /// The file was complete before it was taken.
    pub fn settled_before(&mut self, settle: Duration) {
        if let Some((look, since)) = self.memory.look {
            self.memory.look = Some((look, since.checked_sub(settle).unwrap_or(since)));
        }
    }

    fn put(&self, disk: &Disk, name: &[u8], value: &impl Serialize) -> Result<(), DiskError> {
        disk.write(&self.folder, name, &serde_json::to_vec(value).unwrap_or_default(), 0o600)
    }

    fn get<T: DeserializeOwned>(&self, disk: &Disk, name: &[u8]) -> Result<Option<T>, DiskError> {
        let Some(bytes) = disk.read(&self.folder, name)? else { return Ok(None) };
        let broken = |error: serde_json::Error| {
            DiskError::of("read", &self.folder.path.join(String::from_utf8_lossy(name).as_ref()), error)
        };
        serde_json::from_slice(&bytes).map(Some).map_err(broken)
    }
}

/// A rename changes this time.
fn without_name(look: Look) -> Look {
    Look { changed: 0, ..look }
}
