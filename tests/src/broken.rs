//! Things that are broken for a while, and mended when the test ends, however it ends.

use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{At, CTL, testbed};

static ALONE: RwLock<()> = RwLock::new(());

/// Tests that break what others need take turns; each file of tests runs by itself anyway.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    // A failed test has mended what it broke.
    ALONE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Tests that break nothing run together, where others of their file break things.
pub fn together() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// A fault of the testbed's, for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct Fault(&'static str);

impl Fault {
    /// Begins `name`, as in `cargo testbed fault name start`.
    pub fn start(name: &'static str) -> Self {
        assert!(run(name, "start"), "the fault {name} begins");
        Self(name)
    }

    /// Goes over to another fault of the API server, on the same nodes.
    pub fn turn(&mut self, name: &'static str) {
        assert!(run(name, "start"), "the fault {name} begins");
        self.0 = name;
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        assert!(run(self.0, "stop") || std::thread::panicking(), "the fault {} ends", self.0);
    }
}

fn run(name: &str, action: &str) -> bool {
    Command::new(testbed())
        .args(["fault", name, action])
        .stdout(std::process::Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A file that is not there, for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct Away(At, String);

impl Away {
    /// Moves the file aside.
    pub fn take(at: At, path: &str) -> Self {
        let _ = at.run(&["mv", path, &format!("{path}.away")]).ok();
        Self(at, path.to_owned())
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let _ = self.0.run(&["mv", &format!("{}.away", self.1), &self.1]);
    }
}

/// A file that says something else, for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct Changed(At, String);

impl Changed {
    /// Puts a changed copy in its place.
    pub fn edit(at: At, path: &str, change: impl FnOnce(String) -> String) -> Self {
        let text = at.run(&["cat", path]).ok().text();
        let good = format!("{path}.good");
        let _ = at.run(&["cp", "-p", path, &good]).ok();
        // From here on it is put back, also when writing fails.
        let this = Self(at, path.to_owned());
        // Renamed into its place: whoever reads it meanwhile reads a whole one.
        let new = format!("{path}.new");
        let _ = at.run(&["cp", "-p", path, &new]).ok();
        let _ = at.run_with(&["tee", &new], change(text + "\n").as_bytes()).ok();
        let _ = at.run(&["mv", &new, path]).ok();
        this
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = self.0.run(&["mv", &format!("{}.good", self.1), &self.1]);
    }
}

/// A slurm.conf of slurmctld's that says something else, for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct SlurmConf(Option<Changed>);

impl SlurmConf {
    /// Changes it, and lets Slurm read it.
    pub fn edit(change: impl FnOnce(String) -> String) -> Self {
        let this = Self(Some(Changed::edit(CTL, "/etc/slurm/slurm.conf", change)));
        let _ = CTL.run(&["scontrol", "reconfigure"]).ok();
        this
    }
}

impl Drop for SlurmConf {
    fn drop(&mut self) {
        drop(self.0.take());
        let _ = CTL.run(&["scontrol", "reconfigure"]);
    }
}
