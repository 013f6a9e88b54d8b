//! What Slurm tells of a job that has ended: `scontrol show job`, or `sacct` when slurmctld has forgotten it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What `sacct --parsable2 --format` is asked for: nothing that a user writes, which could look like lines of other jobs.
pub const SACCT: &str = "JobID,UID,User,State,ExitCode,Submit,Start,End,Account,Partition,NodeList";

/// A job, as far as its summary tells of it. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// As `squeue` shows it: `123`, or `123_4`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// The user's number.
    pub uid: Option<u32>,
    /// The account that it is charged to.
    pub account: Option<String>,
    /// Where it ran.
    pub partition: Option<String>,
    /// Its nodes, as Slurm abbreviates them.
    pub nodes: Option<String>,
    /// `COMPLETED`, `TIMEOUT`, …
    pub state: String,
    /// Why, where Slurm has something to say.
    pub reason: Option<String>,
    /// The exit code.
    pub code: u8,
    /// The signal that ended it.
    pub signal: u8,
    /// How often it began anew.
    pub restarts: u32,
    /// When it was submitted.
    pub submitted: Option<i64>,
    /// When it began, the last time.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// Where its batch script wrote, if that is known.
    pub stdout: Option<PathBuf>,
    /// And its errors.
    pub stderr: Option<PathBuf>,
}

/// The states of jobs that are over.
pub const ENDS: [&str; 10] = [
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
    "REVOKED",
];

/// Whether a job with this state is over; `CANCELLED by 1000` as well. What later versions may add is not.
#[must_use]
pub fn is_over(state: &str) -> bool {
    state.split(' ').next().is_some_and(|word| ENDS.contains(&word))
}

/// The job of a component, `7+1`; other names are as they are.
#[must_use]
pub fn of_components(id: &str) -> &str {
    id.split_once('+').map_or(id, |(job, _)| job)
}

impl Job {
    /// From `scontrol show job`, with times as numbers (`SLURM_TIME_FORMAT=%s`). Each of its lines begins with a field of
    /// Slurm's own; a user's text with line breaks could look like one, so two of a kind are none: no answer then.
    #[must_use]
    pub fn of_scontrol(id: &str, text: &str) -> Option<Self> {
        let first = |line: &str| line.starts_with("JobId=");
        // A heterogeneous job has all its components here; the first one's stand for it.
        let own = text.get(..text.match_indices("\n\nJobId=").next().map_or(text.len(), |(at, _)| at))?;
        let line_of = |name: &str| {
            let start = format!("   {name}=");
            let mut lines = own.lines().filter_map(|line| line.strip_prefix(&start));
            let line = lines.next();
            if lines.next().is_some() { Err(()) } else { Ok(line.unwrap_or_default()) }
        };
        let line = |name: &str| line_of(name).ok();
        let in_line = |line: &str, name: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
            value_of(value).map(str::to_owned)
        };
        let (user, requeue, state) = (line("UserId")?, line("Requeue")?, line("JobState")?);
        let (submit, start, priority) = (line("SubmitTime")?, line("StartTime")?, line("Priority")?);
        let (partition, nodes) = (line("Partition")?, line("NodeList")?);
        let word = |line: &str| value_of(line.split(' ').next().unwrap_or_default()).map(str::to_owned);
        let number = |text: Option<String>| text?.parse().ok();
        let (code, signal) = in_line(requeue, "ExitCode").and_then(|text| exit(&text)).unwrap_or_default();
        let (user, uid) = user.split(' ').next()?.split_once('(')?;
        let path = |name: &str| line(name).and_then(value_of).map(PathBuf::from);
        let name = own.lines().next().filter(|line| first(line)).and_then(|line| Some(line.split_once("JobName=")?.1));
        Some(Self {
            id: id.to_owned(),
            name: crate::message::one_line(name.unwrap_or_default()),
            user: user.to_owned(),
            uid: uid.trim_end_matches(')').parse().ok(),
            account: in_line(priority, "Account"),
            partition: word(partition),
            nodes: word(nodes),
            state: word(state).unwrap_or_else(|| "UNKNOWN".into()),
            reason: in_line(state, "Reason"),
            code,
            signal,
            restarts: in_line(requeue, "Restarts").and_then(|text| text.parse().ok()).unwrap_or(0),
            submitted: number(word(submit)),
            started: number(word(start)),
            ended: number(in_line(start, "EndTime")),
            stdout: path("StdOut"),
            stderr: path("StdErr"),
        })
    }

    /// From a line of `sacct` with [`SACCT`].
    #[must_use]
    pub fn of_sacct(line: &str) -> Option<Self> {
        let mut fields = line.split('|');
        let mut next = || fields.next();
        let id = of_components(next()?);
        let (uid, user, state, ended_with) = (next()?, next()?, next()?, next()?);
        let mut time = || Some(next()?.parse().ok());
        let (submitted, started, ended) = (time()?, time()?, time()?);
        let mut text = || Some(next()?.to_owned());
        let (account, partition, nodes) = (text()?, text()?, text()?);
        let some = |text: String| value_of(&text).map(str::to_owned);
        let (code, signal) = exit(ended_with).unwrap_or_default();
        Some(Self {
            id: id.to_owned(),
            user: user.to_owned(),
            uid: uid.parse().ok(),
            account: some(account),
            partition: some(partition),
            nodes: some(nodes),
            state: state.split(' ').next().unwrap_or_default().to_owned(),
            code,
            signal,
            submitted,
            started,
            ended,
            ..Self::default()
        })
    }

    /// A job that nobody knows any more.
    #[must_use]
    pub fn forgotten(id: &str, user: &str, uid: u32) -> Self {
        Self { id: id.to_owned(), user: user.to_owned(), uid: Some(uid), state: "UNKNOWN".into(), ..Self::default() }
    }
}

/// Slurm's words for nothing.
fn value_of(text: &str) -> Option<&str> {
    let nothing = ["", "(null)", "None", "None assigned", "N/A", "Unknown"];
    (!nothing.contains(&text)).then_some(text)
}

/// `1:0`: code and signal.
fn exit(text: &str) -> Option<(u8, u8)> {
    let (code, signal) = text.split_once(':')?;
    Some((code.parse().ok()?, signal.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "JobId=9 ArrayJobId=7 ArrayTaskId=2 JobName=my job UserId=root(0)\n   UserId=alice(1000) \
        GroupId=alice(1000) MCS_label=N/A\n   Priority=1 Nice=0 Account=(null) QOS=normal\n   JobState=FAILED \
        Reason=NonZeroExitCode Dependency=(null)\n   Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=3:0\n   \
        SubmitTime=100 EligibleTime=100\n   StartTime=110 EndTime=Unknown Deadline=N/A\n   Partition=debug \
        AllocNode:Sid=login:1\n   NodeList=node[1-2]\n   StdErr=/mnt/my results/err\n   StdIn=/dev/null\n   StdOut=/mnt/out\n";

    #[test]
    fn slurmctlds_words() {
        let job = Job::of_scontrol("7_2", SHOWN).unwrap();
        let found = (job.id.as_str(), job.name.as_str(), job.user.as_str(), job.uid, job.state.as_str());
        assert_eq!(found, ("7_2", "my job UserId=root(0)", "alice", Some(1000), "FAILED"));
        assert_eq!((job.code, job.signal, job.restarts, job.account), (3, 0, 2, None));
        assert_eq!((job.submitted, job.started, job.ended), (Some(100), Some(110), None));
        assert_eq!(job.nodes.as_deref(), Some("node[1-2]"));
        assert_eq!(job.stderr, Some("/mnt/my results/err".into()));
        assert_eq!(job.stdout, Some("/mnt/out".into()));
        // What is in a name with a line break is not Slurm's word.
        let forged = SHOWN.replace("JobName=my", "JobName=my\n   UserId=bob(1001) x\nJobState=RUNNING");
        assert_eq!(Job::of_scontrol("7_2", &forged), None);
        let het = format!("{SHOWN}\n{}", SHOWN.replace("alice(1000)", "bob(1001)"));
        assert_eq!(Job::of_scontrol("7_2", &het).unwrap().uid, Some(1000));
    }

    #[test]
    fn the_accountings_words() {
        let line = "7|1000|alice|CANCELLED by 1000|0:15|100|None|130|research|gpu|node1";
        let job = Job::of_sacct(line).unwrap();
        assert_eq!((job.state.as_str(), job.signal, job.started, job.ended), ("CANCELLED", 15, None, Some(130)));
        assert_eq!((job.account.as_deref(), job.nodes.as_deref()), (Some("research"), Some("node1")));
        assert_eq!(Job::of_sacct(&line.replace("7|", "7+0|")).unwrap().id, "7");
        assert_eq!(Job::of_sacct("7|1000"), None);
    }

    #[test]
    fn which_states_are_the_last() {
        for state in ["COMPLETED", "TIMEOUT", "CANCELLED by 1000", "OUT_OF_MEMORY"] {
            assert!(is_over(state), "{state}");
        }
        for state in ["", "RUNNING", "COMPLETING", "PENDING", "REQUEUE_HOLD", "SUSPENDED", "NEW_STATE"] {
            assert!(!is_over(state), "{state}");
        }
    }
}
