//! The site's own programs, after a job. Whatever they do, the job's result stays as it is.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::collect::hook;
use slurm_k8s_core::collect::job::Job;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::keeper::{self, Ended, Order};
use crate::account::Account;

/// So much of what one says is kept, in bytes.
const MOST: u64 = 4096;
/// So long its processes have to be gone.
const BURIAL: Duration = Duration::from_secs(5);

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

/// Runs one, as the job's user or as the collector's without any of its rights. Nothing that it has started is left.
pub async fn run(program: &Path, time: Duration, job: &Job, folder: &Path, account: &Account) -> Outcome {
    let failed = |error: std::io::Error| Outcome::Failed(crate::report::chain(&error));
    let order = Order {
        program: program.to_owned(),
        uid: account.uid,
        gid: account.owner.gid,
        groups: account.groups.clone(),
        seconds: u32::try_from(time.as_secs()).unwrap_or(u32::MAX).saturating_add(5),
    };
    // Itself, also when the file has been replaced by another version meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg(keeper::COMMAND).env_clear().envs(account.environment()).envs(hook::environment(job, folder));
    // It ends by itself, with all that it has to kill, when its standard input is closed.
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut keeper = match spawned {
        Ok(keeper) => keeper,
        Err(error) => return failed(error),
    };
    let (stdin, stdout, stderr) = (keeper.stdin.take(), keeper.stdout.take(), keeper.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) = (stdin, stdout, stderr) else { return Outcome::Timeout };
    let text = serde_json::to_string(&order).unwrap_or_default() + "\n";
    if let Err(error) = stdin.write_all(text.as_bytes()).await {
        return failed(error);
    }
    let talk = async {
        let (mut told, mut said) = (Vec::new(), Vec::new());
        let read = async {
            let _ = stdout.take(MOST).read_to_end(&mut told).await;
        };
        let hear = async {
            let _ = (&mut stderr).take(MOST).read_to_end(&mut said).await;
            // To its end: one that cannot write would be killed.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        };
        futures_util::future::join(read, hear).await;
        (told, said)
    };
    let answer = timeout(time, talk).await;
    drop(stdin);
    if timeout(BURIAL, keeper.wait()).await.is_err() {
        let _ = keeper.start_kill();
    }
    let Ok((told, said)) = answer else { return Outcome::Timeout };
    let how = match serde_json::from_slice(&told) {
        Ok(Ended::Code(0)) => return Outcome::Well,
        Ok(Ended::Code(code)) => format!("exit code {code}"),
        Ok(Ended::Signal(signal)) => format!("signal {signal}"),
        Ok(Ended::Not(why)) => return Outcome::Failed(why),
        Err(_) => "it is not known how it ended".to_owned(),
    };
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    Outcome::Failed(format!("{how}: {}", slurm_k8s_core::message::one_line(first)))
}
