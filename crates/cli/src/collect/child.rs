//! The process that is the job's user ([`super::gather`]).

use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::collect::summary::Summary;
use slurm_k8s_core::message::one_line;
use slurm_k8s_posix::{Login, start_as};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::order::{Line, Order};
use crate::account::Account;

/// The subcommand that it runs.
pub const COMMAND: &str = "collect-job";
/// A file system that gives nothing for so long is away.
const SILENCE: Duration = Duration::from_secs(120);
/// For one job, whatever it has left.
const LIMIT: Duration = Duration::from_hours(12);
/// Files are as private as the user wants them; what is new is as at a login.
const UMASK: u32 = 0o022;
/// No line is longer, in bytes.
const LONGEST: u64 = 512 << 10;
/// A killed process may hang in a file system.
const BURIAL: Duration = Duration::from_secs(5);

/// Why a job could not be collected now.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It does not start.
    #[error("cannot start a process as {user}")]
    Start {
        /// The login name.
        user: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It says nothing.
    #[error("the file system of the results does not answer within {} s", SILENCE.as_secs())]
    Silent,
    /// It has ended without a word.
    #[error("the process as {user} ended without a word ({how})")]
    Dead {
        /// The login name.
        user: String,
        /// Its exit code, or the signal.
        how: String,
    },
    /// It goes on and on.
    #[error("it was not done within {} h", LIMIT.as_secs() / 3600)]
    Endless,
    /// Its own reason.
    #[error("{why}")]
    Failed {
        /// The reason.
        why: String,
        /// Whether it will never be otherwise.
        forever: bool,
    },
}

/// Has it done.
pub async fn gather(
    order: &Order,
    account: &Account,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Box<Summary>, ChildError> {
    let mut child = start(account).map_err(|source| ChildError::Start { user: account.owner.name.clone(), source })?;
    let result = timeout(LIMIT, talk(order, &mut child, progress)).await.unwrap_or(Err(ChildError::Endless));
    let ended = match result {
        Ok(_) | Err(ChildError::Dead { .. }) => timeout(BURIAL, child.wait()).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    if ended.is_none() {
        let _ = child.start_kill();
        let _ = timeout(BURIAL, child.wait()).await;
    }
    result.map_err(|error| match error {
        ChildError::Dead { .. } => {
            let how = ended.map_or_else(|| "it hangs".to_owned(), |status| status.to_string());
            ChildError::Dead { user: account.owner.name.clone(), how }
        }
        ChildError::Failed { why, forever } => ChildError::Failed { why: one_line(&why), forever },
        error => error,
    })
}

/// Itself, also when the file has been replaced by another version meanwhile.
fn start(account: &Account) -> std::io::Result<Child> {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg(COMMAND).env_clear().envs(account.environment());
    let login = Login {
        uid: account.uid,
        gid: account.owner.gid,
        groups: account.groups.clone(),
        folder: c"/".into(),
        umask: UMASK,
        // A large job takes hours; it is watched instead.
        seconds: 0,
    };
    start_as(&mut command, login);
    let mut command = Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()
}

async fn talk(
    order: &Order,
    child: &mut Child,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Box<Summary>, ChildError> {
    let dead = || ChildError::Dead { user: String::new(), how: String::new() };
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Err(dead()) };
    let text = serde_json::to_string(order).unwrap_or_default() + "\n";
    // One that does not read has its reasons; its answer tells.
    let _ = timeout(SILENCE, to.write_all(text.as_bytes())).await;
    drop(to);
    let mut from = BufReader::new(from);
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let mut line = Vec::new();
        let read = timeout(SILENCE, (&mut from).take(LONGEST).read_until(b'\n', &mut line)).await;
        if read.map_err(|_| ChildError::Silent)?.map_or(true, |count| count == 0) {
            return Err(dead());
        }
        match serde_json::from_slice(&line) {
            // The same number again is no life.
            Ok(Line::Progress { done, .. }) if last == done && since.elapsed() > SILENCE => {
                return Err(ChildError::Silent);
            }
            Ok(Line::Progress { done, .. }) if last == done => {}
            Ok(Line::Progress { done, of }) => {
                (last, since) = (done, Instant::now());
                progress(done, of);
            }
            Ok(Line::Done(summary)) => return Ok(summary),
            Ok(Line::Failed { why, forever }) => return Err(ChildError::Failed { why, forever }),
            Err(_) => return Err(dead()),
        }
    }
}
