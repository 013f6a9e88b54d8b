//! When a job's task ends, to the fraction of a ms: the hosts share the machine's processes, so a pidfd can tell.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use e2e::ALICE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::run::{LIMIT, Missing, figures, wait};
use crate::stage::{NAME, NODE, when_idle};

/// Says which job it is, leaves time to find its task, and as its last act tells the time.
const COMMAND: &str = "echo $SLURM_JOB_ID; sleep 0.5; echo $EPOCHREALTIME";

/// Runs a job with these options. Gives its number, and when its command and its task ended, in seconds since 1970.
/// Without options the task is the command itself; in a Pod it is the shim.
pub fn ends(options: &[&str]) -> Result<(String, f64, f64), Missing> {
    when_idle()?;
    let srun = [&["timeout", LIMIT, "srun", "--job-name", NAME, "-w", NODE], options, &["bash", "-c", COMMAND]];
    let mut command = ALICE.command(&srun.concat());
    let mut srun = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = srun.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let mut line = || lines.next().unwrap_or_else(|| Ok("nothing".to_owned()));
    let job = line()?;
    let ended = task_ends(&job);
    let ran = line()?;
    let _ = srun.wait();
    let [ran] = figures(&ran)?;
    Ok((job, ran, ended?))
}

fn task_ends(job: &str) -> Result<f64, Missing> {
    let task = wait("the job's task", || Ok(task_of(job)))?;
    let pidfd = pidfd_open(task, PidfdFlags::empty()).map_err(io::Error::from)?;
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).map_err(io::Error::from)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if ended == 1 { Ok(now.as_secs_f64()) } else { Err(Missing::wrong("the job's task did not end within 10 s")) }
}

/// The child of the job's slurmstepd.
fn task_of(job: &str) -> Option<Pid> {
    let title = format!("slurmstepd: [{job}.0]");
    let is_stepd = |process: &Path| {
        std::fs::read(process.join("cmdline")).is_ok_and(|cmdline| cmdline.starts_with(title.as_bytes()))
    };
    let mut stepds = entries(Path::new("/proc")).filter(|process| is_stepd(process));
    stepds.find_map(|stepd| {
        let mut children =
            entries(&stepd.join("task")).filter_map(|task| std::fs::read_to_string(task.join("children")).ok());
        let first = children.find_map(|pids| pids.split_whitespace().next()?.parse().ok())?;
        Pid::from_raw(first)
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
