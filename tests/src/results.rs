//! A site whose jobs have folders for results, and a collector of a test's own.

use std::sync::RwLockWriteGuard;

use serde_json::Value;

use crate::service::Service;
use crate::{ALICE, At, CTL, Changed, NODE1, NODE2, ROOT, Ran, alone, image, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
/// The site's folder.
pub const FOLDER: &str = "/mnt/nas/results";
/// How every script begins.
pub const HEAD: &str = "#!/bin/bash\n#SBATCH --mem=100M\n";

/// A site that wants results in one place, for as long as it lives.
#[derive(Debug)]
pub struct Site {
    changed: Vec<Changed>,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Site {
    /// With more keys of `[results]`, and sections behind them.
    #[must_use]
    pub fn begin(keys: &str) -> Self {
        let alone = alone();
        let edit = |host: At| {
            Changed::edit(host, CONFIG, |text| {
                format!("{text}\n[results]\nfolder = '{FOLDER}'\npoll = '500ms'\n{keys}\n")
            })
        };
        let site = Self { changed: [ROOT, CTL, NODE1, NODE2].map(edit).into(), _alone: alone };
        // slurmctld looks once a second.
        until("slurmctld knows the folder", || {
            let job = submit(&["--hold"], "true");
            let shown = ROOT.run(&["scontrol", "show", "job", &job]).ok().text();
            let _ = ROOT.run(&["scancel", &job]).ok();
            shown.contains(&format!("StdOut={FOLDER}/")).then_some(()).ok_or(shown)
        });
        site
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.changed.clear();
    }
}

/// A script in a Pod.
#[must_use]
pub fn script(lines: &str) -> String {
    format!("{HEAD}#K8S_IMAGE={}\n{lines}\n", image("userland"))
}

/// Submits one; its job.
#[must_use]
pub fn submit(options: &[&str], lines: &str) -> String {
    ALICE.run_with(&[&["sbatch", "--parsable"], options].concat(), script(lines).as_bytes()).ok().text()
}

/// Runs it to its end with code 0.
#[must_use]
pub fn run(options: &[&str], lines: &str) -> String {
    ALICE.batch(&[&["sbatch"], options].concat(), &script(lines)).ok().text()
}

/// A file in the folder, as the user reads it.
#[must_use]
pub fn read(path: &str) -> String {
    ALICE.run(&["cat", &format!("{FOLDER}/{path}")]).ok().text()
}

/// The command line of a collector: as slurm, with the rights of the service.
fn collector<'a>(program: &[&'a str], options: &[&'a str]) -> Vec<&'a str> {
    let rights = ["--inh-caps=+setuid,+setgid,+kill", "--ambient-caps=+setuid,+setgid,+kill"];
    let user = ["setpriv", "--reuid=slurm", "--regid=slurm", "--init-groups"];
    [&user[..], &rights, program, &["collect"], options].concat()
}

/// Collects what has ended, as from cron.
#[must_use]
pub fn collect_once() -> Ran {
    CTL.run(&collector(&["slurm-k8s"], &["--once"]))
}

/// Starts a collector that goes on.
#[must_use]
pub fn start_collector() -> Service {
    start_collector_of(&["slurm-k8s"])
}

/// The same, of another file, or with `env` in front.
#[must_use]
pub fn start_collector_of(program: &[&str]) -> Service {
    let this = Service::start(&collector(program, &[]));
    // The folder for names is there before the jobs are.
    until("the collector has its folder", || {
        let ran = CTL.run(&["test", "-d", &format!("{FOLDER}/.collect/taken")]);
        (ran.code == Some(0)).then_some(()).ok_or_else(log)
    });
    this
}

/// The collectors' log.
#[must_use]
pub fn log() -> String {
    CTL.run(&["cat", "/var/log/slurm-k8s/job_collector.log"]).text()
}

/// Waits until a job is collected, with checksums that hold; its summary.
#[must_use]
pub fn collected(job: &str) -> Value {
    let folder = format!("{FOLDER}/{job}");
    until("the job is collected", || {
        let there = ALICE.run(&["test", "-e", &format!("{folder}/checksums.txt")]);
        let gone = || CTL.run(&["test", "-e", &format!("{FOLDER}/.collect/taken/{job}")]).code == Some(1);
        (there.code == Some(0) && gone()).then_some(()).ok_or_else(log)
    });
    let check = ["sh", "-c", "cd \"$0\" && sha256sum --check --strict --quiet checksums.txt", &folder];
    let _ = ALICE.run(&check).ok();
    serde_json::from_str(&read(&format!("{job}/job_summary.json"))).expect("the summary is JSON")
}
