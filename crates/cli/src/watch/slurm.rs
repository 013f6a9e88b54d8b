//! Slurm, as the owner of a file has it: sbatch to submit, squeue and sacct to find a job again.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::config::Watch;
use slurm_k8s_core::watch::answer::{End, Job};
use slurm_k8s_core::watch::step::Known;
use slurm_k8s_posix::{Login, start_as};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::lookup;
use crate::account::Account;
use crate::slurm::{self, SlurmError};

/// What is started as the owner of a file gets so many seconds of its own, and then SIGKILL.
const ASKING: Duration = Duration::from_secs(30);
/// A login's.
const UMASK: u32 = 0o022;
/// Of sbatch's words the last are kept.
const MOST: usize = 64 << 10;
/// sbatch's answer is looked at so often while it runs: with `--wait` in the script it goes on after it.
const LOOK: Duration = Duration::from_millis(100);
/// So long it may go on after it.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// A script, and how it is submitted.
pub struct Submission<'a> {
    /// All of it.
    pub script: &'a [u8],
    /// The job's comment.
    pub comment: String,
    /// The job's name, if the script has none.
    pub name: Option<String>,
    /// Whose.
    pub account: &'a Account,
    /// Where it begins.
    pub folder: PathBuf,
    /// sbatch's standard output.
    pub answer: OwnedFd,
}

/// How sbatch ended, and what it said.
pub struct Said {
    /// Its end.
    pub end: End,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// What is asked of Slurm.
pub trait Slurm {
    /// Runs sbatch. It has ended when this returns, whatever happened.
    async fn submit(&self, submission: Submission<'_>) -> Result<Said, SlurmError>;
    /// Looks for the job of a submission that was made so many seconds ago.
    async fn find(&self, id: &str, account: &Account, age: u64) -> Result<Known, SlurmError>;
}

/// Slurm's commands.
pub struct Commands {
    limit: Duration,
}

impl Commands {
    /// By the config.
    pub fn of(watch: &Watch) -> Self {
        Self { limit: watch.submit_timeout }
    }
}

impl Slurm for Commands {
    async fn submit(&self, submission: Submission<'_>) -> Result<Said, SlurmError> {
        let answer = std::fs::File::from(submission.answer);
        let mut arguments: Vec<OsString> =
            vec!["--parsable".into(), format!("--comment={}", submission.comment).into()];
        arguments.extend(submission.name.map(|name| format!("--job-name={name}").into()));
        let mut command = command("sbatch", submission.account, &submission.folder, self.limit)?;
        let failed = failing("sbatch", submission.account);
        let stdout = answer.try_clone().map_err(&failed)?;
        command.args(arguments).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that does not read to the end has its reasons, and says them.
                let _ = stdin.write_all(submission.script).await;
            }
        };
        let read = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                // To its end: an sbatch that cannot write would be killed.
                while stderr.read_buf(&mut said).await.is_ok_and(|count| count > 0) {
                    said.drain(..said.len().saturating_sub(MOST));
                }
            }
            said
        };
        let mut deadline = Instant::now() + self.limit;
        let mut told = false;
        let end = async {
            loop {
                if let Ok(ended) = timeout(LOOK, child.wait()).await {
                    return ended.ok().and_then(|status| status.code()).map_or(End::Killed, End::Code);
                }
                if !told && answered(&answer) {
                    told = true;
                    deadline = deadline.min(Instant::now() + AFTERWARDS);
                }
                if Instant::now() >= deadline {
                    kill(&mut child).await;
                    return End::Killed;
                }
            }
        };
        let all = async { tokio::join!(write, read, end) };
        // What sbatch has started may hold its pipes; it is dead or on its own by now.
        let limit = self.limit + 5 * AFTERWARDS;
        if let Ok(((), stderr, end)) = timeout(limit, all).await {
            return Ok(Said { end, stderr });
        }
        kill(&mut child).await;
        Ok(Said { end: End::Killed, stderr: Vec::new() })
    }

    async fn find(&self, id: &str, account: &Account, age: u64) -> Result<Known, SlurmError> {
        lookup::find(id, account, age).await
    }
}

fn answered(answer: &std::fs::File) -> bool {
    let mut bytes = [0; 256];
    let count = std::os::unix::fs::FileExt::read_at(answer, &mut bytes, 0).unwrap_or(0);
    Job::parse(bytes.get(..count).unwrap_or_default()).is_some()
}

/// The process and what it has started; waits until it is dead.
async fn kill(child: &mut tokio::process::Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = slurm_k8s_posix::kill(-pid, 9);
        let _ = slurm_k8s_posix::kill(pid, 9);
    }
    let _ = child.wait().await;
    sleep(Duration::from_millis(1)).await;
}

/// Asks as the owner, who sees their own jobs whatever the site hides from others.
pub async fn ask(program: &'static str, arguments: &[String], account: &Account) -> Result<String, SlurmError> {
    let mut command = command(program, account, "/".as_ref(), ASKING)?;
    command.args(arguments);
    slurm::answer(program, command, failing(program, account)).await
}

fn failing(program: &'static str, account: &Account) -> impl Fn(std::io::Error) -> SlurmError {
    let user = account.owner.name.clone();
    move |source| SlurmError::StartAs { program, user: user.clone(), source }
}

/// A command of Slurm's as the owner of a file, with nothing of this service's but PATH.
fn command(
    program: &'static str,
    account: &Account,
    folder: &std::path::Path,
    limit: Duration,
) -> Result<Command, SlurmError> {
    let mut command = std::process::Command::new(slurm::find(program)?);
    command.env_clear().envs(account.environment());
    let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).saturating_add(5);
    let login = Login {
        uid: account.uid,
        gid: account.owner.gid,
        groups: account.groups.clone(),
        folder: Account::folder(folder),
        umask: UMASK,
        seconds,
    };
    start_as(&mut command, login);
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    Ok(command)
}
