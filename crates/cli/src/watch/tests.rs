//! A watcher that is stopped at each of its steps, on a real file system, with a Slurm that keeps its jobs in memory.

mod crash;
mod hostile;
mod share;
mod slurm;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use slurm_k8s_core::config::Config;

use super::claim::Claim;
use super::folders::Folders;
use super::instance::{Instance, Process};
use super::look::{Ready, Submit};
use super::work::{Outcome, Work, WorkError};
use crate::disk::Disk;
use slurm::FakeSlurm;

/// Ends well, as far as anybody can say before it runs.
const SCRIPT: &str = "#!/bin/sh\n#SBATCH --comment=mine\ntrue\n";

/// A site of a test's own.
struct Site {
    folder: tempfile::TempDir,
    config: Config,
}

impl Site {
    fn new() -> Self {
        // In memory, where there is such a folder: every file is synced.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut config = Config::default();
        config.watch.folder = folder.path().to_owned();
        config.watch.settle = Duration::ZERO;
        config.watch.start_in = Some("/".into());
        // The tests' own files are submitted: no rights are needed for that.
        config.watch.min_uid = 1;
        Self { folder, config }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Copies a script into the submit folder, as a user does.
    fn put(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path("submit")).unwrap();
        std::fs::write(self.path("submit").join(name), text).unwrap();
        if rustix::process::geteuid().is_root() {
            // Root's own files are refused; this account, daemon, is on every system.
            std::os::unix::fs::chown(self.path("submit").join(name), Some(1), Some(1)).unwrap();
        }
    }

    /// All folders.
    fn folders(&self) -> Vec<PathBuf> {
        let mut all = vec![self.folder.path().to_owned()];
        let mut done = 0;
        while let Some(folder) = all.get(done) {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let more: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
            all.extend(more);
            done += 1;
        }
        all
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Lets so many steps through and then none.
#[derive(Clone, Default)]
struct Steps {
    left: Rc<Cell<Option<usize>>>,
    /// How many there were.
    done: Rc<Cell<usize>>,
}

impl Steps {
    fn stop_after(count: usize) -> Self {
        Self { left: Rc::new(Cell::new(Some(count))), done: Rc::default() }
    }

    fn step(&self) -> io::Result<()> {
        match self.left.get() {
            Some(0) => Err(io::Error::other("killed by the test")),
            Some(left) => {
                self.left.set(Some(left - 1));
                self.done.set(self.done.get() + 1);
                Ok(())
            }
            None => {
                self.done.set(self.done.get() + 1);
                Ok(())
            }
        }
    }
}

/// One life of a watcher; its process is this one, so it seems dead only by its lease.
struct Life {
    work: Work<FakeSlurm>,
}

impl Life {
    fn begin(site: &Site, slurm: &FakeSlurm, steps: &Steps) -> Result<Self, WorkError> {
        let of = steps.clone();
        let disk = Disk::with(Box::new(move |_| of.step()));
        let folders = Folders::open(&disk, &site.config.watch.folder).map_err(|error| match error {
            super::folders::FoldersError::Disk(error) => WorkError::Disk(error),
            other => panic!("{other}"),
        })?;
        // Each life is another process, and the ones before it are gone.
        let process = Process { pid: i32::MAX - 7, ..Process::this() };
        let instance = Instance::start(&disk, &folders, process)?;
        let slurm = slurm.with(steps.clone());
        let doubt = Duration::ZERO;
        Ok(Self { work: Work { disk, folders, instance, config: site.config.clone(), slurm, doubt } })
    }

    /// Takes over, looks, takes and works until nothing is left to do.
    async fn live(&self) -> Result<(), WorkError> {
        let work = &self.work;
        let mut claims = Vec::new();
        let (lease, mut failed) = (Duration::from_secs(3600), None);
        let taken = work.instance.take_over(&work.disk, &work.folders, lease, &mut |error| failed = Some(error))?;
        failed.map_or(Ok(()), Err)?;
        for one in taken {
            claims.extend(Claim::resume(&work.disk, &work.instance, one.id)?);
        }
        for file in self.ready()? {
            claims.extend(super::service::take(work, &file)?);
        }
        for claim in &mut claims {
            loop {
                match work.go_on(claim).await? {
                    Outcome::Done(_) => break,
                    Outcome::Later(pause) => assert!(pause <= Duration::from_secs(1), "{pause:?}"),
                }
            }
        }
        work.instance.end(&work.disk, &work.folders)?;
        Ok(())
    }

    fn ready(&self) -> Result<Vec<Ready>, WorkError> {
        let mut submit = Submit::default();
        let work = &self.work;
        let mut look = || submit.look(&work.disk, &work.folders, Duration::from_secs(1), Duration::ZERO, &mut |_| ());
        look()?;
        Ok(look()?)
    }
}

/// Lives until nothing is left.
async fn live(site: &Site, slurm: &FakeSlurm) {
    let life = Life::begin(site, slurm, &Steps::default()).unwrap();
    life.live().await.unwrap();
}
