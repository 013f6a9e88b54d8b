//! Slurm by its own commands: how they are run, and its job table in one call.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::collect::job::is_over;
use tokio::process::Command;

/// For a command that only asks.
const LIMIT: Duration = Duration::from_secs(30);
/// What squeue tells of each job.
const FORMAT: &str = "--Format=JobID:|,State:|,StartTime:|,EndTime:|,RestartCnt:|";
/// What the commands keep of the environment: `SQUEUE_USERS` or `SLURM_CLUSTERS` would give them another table.
const KEPT: &[&str] = &["PATH", "HOME", "LD_LIBRARY_PATH", "SLURM_CONF", "SLURM_JWT"];

/// A command that could not be run, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// It is not there.
    #[error("there is no {program} in PATH")]
    Absent {
        /// The command.
        program: &'static str,
    },
    /// It does not start.
    #[error("cannot run {program}")]
    Start {
        /// The command.
        program: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It does not start as a user.
    #[error("cannot run {program} as {user}")]
    StartAs {
        /// The command.
        program: &'static str,
        /// The login name.
        user: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// slurmctld does not answer.
    #[error("{program} did not end within {} s", LIMIT.as_secs())]
    Timeout {
        /// The command.
        program: &'static str,
    },
    /// slurmctld cannot be asked.
    #[error("{program} failed: {said}")]
    Failed {
        /// The command.
        program: &'static str,
        /// What it said first.
        said: String,
    },
    /// A line that squeue never writes.
    #[error("cannot understand squeue's line {line:?}")]
    Line {
        /// The line.
        line: String,
    },
    /// The table would have no jobs of others.
    #[error("Slurm's PrivateData hides other users' jobs from uid {uid}")]
    Private {
        /// This user.
        uid: u32,
    },
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for resources, perhaps again.
    Pending,
    /// It has processes, or may have some: also while it is completing.
    Active,
    /// All its steps have ended.
    Ended,
}

/// A job. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// How far it is.
    pub state: State,
    /// When it began, the last time.
    pub started: Option<i64>,
    /// When it ended; for one that has not, when it will have to.
    pub ended: Option<i64>,
    /// How often it began anew.
    pub restarts: u32,
}

/// Jobs by their own ids: also each task of an array and each component has one.
pub type Jobs = HashMap<u32, Job>;

/// Asks slurmctld for all jobs. An empty table is an answer; no answer is an error.
pub async fn jobs() -> Result<Jobs, SlurmError> {
    sees_all().await?;
    // --all: also jobs in partitions that are hidden.
    let table = output("squeue", &["--noheader", "--all", "--local", "--states=all", FORMAT]).await?;
    table.lines().filter(|line| !line.trim().is_empty()).map(job).collect()
}

/// Makes sure that slurmctld shows everybody's jobs to this user: what is hidden looks as if it were not there.
pub async fn sees_all() -> Result<(), SlurmError> {
    let uid = rustix::process::geteuid().as_raw();
    if uid != 0 && hidden(&output("scontrol", &["show", "config"]).await?, uid) {
        return Err(SlurmError::Private { uid });
    }
    Ok(())
}

/// Runs one of Slurm's commands as this service, and gives what it says.
pub async fn output(program: &'static str, arguments: &[&str]) -> Result<String, SlurmError> {
    let mut command = Command::new(find(program)?);
    command.args(arguments).env_clear().env("SLURM_TIME_FORMAT", "%s");
    command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    answer(program, command, |source| SlurmError::Start { program, source }).await
}

/// Where a command is.
pub fn find(program: &'static str) -> Result<PathBuf, SlurmError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|file| file.is_file()).ok_or(SlurmError::Absent { program })
}

/// Runs a command that only asks to its end, and gives what it says.
pub async fn answer(
    program: &'static str,
    mut command: Command,
    failed: impl FnOnce(std::io::Error) -> SlurmError,
) -> Result<String, SlurmError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(failed)?,
        Err(_) => return Err(SlurmError::Timeout { program }),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it does not say why").to_owned();
        return Err(SlurmError::Failed { program, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether this user sees only some jobs. Operators see all, but cannot be told from others here.
fn hidden(config: &str, uid: u32) -> bool {
    let value = |key: &str| {
        let lines = config.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).next().unwrap_or_default()
    };
    let private = value("PrivateData").split(',').any(|what| matches!(what.trim(), "jobs" | "all"));
    private && !value("SlurmUser").ends_with(&format!("({uid})"))
}

fn job(line: &str) -> Result<(u32, Job), SlurmError> {
    let wrong = || SlurmError::Line { line: line.to_owned() };
    let mut fields = line.split('|').map(str::trim);
    let mut next = || fields.next().ok_or_else(wrong);
    let id = next()?.parse().map_err(|_| wrong())?;
    let state = match next()? {
        "" => return Err(wrong()),
        "PENDING" => State::Pending,
        state if is_over(state) => State::Ended,
        // Also what later versions may add.
        _ => State::Active,
    };
    // "N/A" where there is none.
    let (started, ended) = (next()?.parse().ok(), next()?.parse().ok());
    let restarts = next()?.parse().map_err(|_| wrong())?;
    Ok((id, Job { state, started, ended, restarts }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue() {
        let told = |line: &str| job(line).unwrap();
        let ended = Job { state: State::Ended, started: Some(100), ended: Some(160), restarts: 0 };
        assert_eq!(told("12|COMPLETED|100|160|0|"), (12, ended.clone()));
        assert_eq!(told("12 |OUT_OF_MEMORY |100 |160 |0 |"), (12, ended));
        assert_eq!(told("7|PENDING|N/A|N/A|2|").1.restarts, 2);
        assert_eq!(told("7|PENDING|N/A|N/A|2|").1.started, None);
        for state in ["RUNNING", "SUSPENDED", "COMPLETING", "REQUEUE_HOLD", "STATE_OF_2030"] {
            assert_eq!(told(&format!("7|{state}|100|N/A|0|")).1.state, State::Active, "{state}");
        }
        for bad in ["", "x|RUNNING|1|2|0|", "7", "7||1|2|0|", "7|RUNNING|1|2|", "slurm_load_jobs error"] {
            assert!(job(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn private_data_hides_jobs_from_all_but_slurms_user() {
        let config = |private| format!("PrivateData             = {private}\nSlurmUser   = slurm(64030)\n");
        assert!(!hidden(&config("none"), 1000));
        assert!(!hidden(&config("accounts,nodes"), 1000));
        assert!(hidden(&config("accounts,jobs"), 1000));
        assert!(!hidden(&config("jobs"), 64030));
        assert!(hidden(&config("jobs"), 4030));
    }
}
