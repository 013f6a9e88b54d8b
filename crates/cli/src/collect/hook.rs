//! The site's own programs, after a job. Whatever they do, the job's result stays as it is.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::collect::hook;
use slurm_k8s_core::collect::job::Job;
use slurm_k8s_core::config::{AfterJob, HookUser};
use slurm_k8s_posix::{Login, start_as};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use crate::account::{Account, AccountError};

/// So much of what one says is kept, in bytes.
const MOST: u64 = 4096;
/// Its own processes may hold its output when it is gone.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How one came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0.
    Well,
    /// Not well: why.
    Failed(String),
    /// It was killed.
    Timeout,
}

/// Runs one, as the job's user or as the collector's without any of its rights.
pub async fn run(program: &Path, site: &AfterJob, job: &Job, folder: &Path, owner: &Account) -> Outcome {
    let failed = |error: &dyn std::error::Error| Outcome::Failed(crate::report::chain(error));
    let account = match site.user {
        HookUser::Job => owner.clone(),
        HookUser::Service => match own() {
            Ok(account) => account,
            Err(error) => return failed(&error),
        },
    };
    let mut command = std::process::Command::new(program);
    command.env_clear().envs(account.environment()).envs(hook::environment(job, folder));
    let seconds = u32::try_from(site.timeout.as_secs()).unwrap_or(u32::MAX).saturating_add(5);
    let login = Login {
        uid: account.uid,
        gid: account.owner.gid,
        groups: account.groups.clone(),
        folder: c"/".into(),
        umask: 0o022,
        seconds,
    };
    start_as(&mut command, login);
    let mut command = Command::from(command);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return failed(&error),
    };
    let stderr = child.stderr.take();
    let said = async {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(MOST).read_to_end(&mut said).await;
            // To its end: one that cannot write would be killed.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        said
    };
    tokio::pin!(said);
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let deadline = Instant::now() + site.timeout;
    let mut words = None;
    let ended = timeout_at(deadline, async {
        tokio::select! {
            status = child.wait() => status,
            all = &mut said => {
                words = Some(all);
                child.wait().await
            }
        }
    });
    let ended = ended.await;
    // Also what it has left behind.
    group.into_iter().for_each(|group| drop(slurm_k8s_posix::kill(-group, 9)));
    let Ok(status) = ended else {
        let _ = child.kill().await;
        return Outcome::Timeout;
    };
    let words = match words {
        Some(words) => words,
        None => timeout_at(Instant::now() + AFTERWARDS, said).await.unwrap_or_default(),
    };
    match status {
        Ok(status) if status.success() => Outcome::Well,
        Ok(status) => {
            let how = status.signal().map_or_else(
                || format!("exit code {}", status.code().unwrap_or(-1)),
                |signal| format!("signal {signal}"),
            );
            let said = String::from_utf8_lossy(&words);
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
            Outcome::Failed(format!("{how}: {}", slurm_k8s_core::message::one_line(first)))
        }
        Err(error) => failed(&error),
    }
}

/// The collector's own account.
fn own() -> Result<Account, HookError> {
    let uid = rustix::process::geteuid().as_raw();
    Account::find(uid)?.ok_or(HookError::Nobody { uid })
}

/// It cannot be started.
#[derive(Debug, thiserror::Error)]
enum HookError {
    /// The name service.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// No account.
    #[error("uid {uid} has no account here")]
    Nobody {
        /// The number.
        uid: u32,
    },
}
