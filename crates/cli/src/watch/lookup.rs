//! Whether a submission has a job: by its mark, which is in the job's comment and in sbatch's command line.

use slurm_k8s_core::watch::answer::Job;
use slurm_k8s_core::watch::id;
use slurm_k8s_core::watch::step::Known;

use super::slurm::ask;
use crate::account::Account;
use crate::slurm::SlurmError;

/// Slurm's default.
const MIN_JOB_AGE: u64 = 300;

/// Asks slurmctld, and if it has no such job the accounting, which has also those that slurmctld has forgotten.
pub async fn find(id: &str, account: &Account, age: u64) -> Result<Known, SlurmError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let user = format!("--user={}", account.uid);
    // --array would have each task on a line; the array's number is what sbatch has said.
    let table = ["--noheader", "--all", "--local", "--states=all", &user, "--format=%F %k"];
    if let Some(job) = in_queue(&ask("squeue", &words(&table), account).await?, id) {
        return Ok(Known::Job(job));
    }
    let since = format!("--starttime=now-{}seconds", age + 3600);
    let table = ["--noheader", "--parsable2", "--allocations", &user, &since, "--format=JobID,Comment,SubmitLine"];
    let unasked = match ask("sacct", &words(&table), account).await {
        Ok(text) => match in_accounting(&text, id) {
            Some(job) => return Ok(Known::Job(job)),
            None => None,
        },
        Err(error) => Some(error.to_string()),
    };
    let kept = ask("scontrol", &words(&["show", "config"]), account).await?;
    Ok(Known::None { kept: min_job_age(&kept), unasked })
}

fn in_queue(text: &str, id: &str) -> Option<Job> {
    let lines = text.lines().filter(|line| id::has_mark(line, id));
    // A heterogeneous job has a number for each component; the first is the job's.
    least(lines.filter_map(|line| line.trim_start().split(' ').next()?.parse().ok()))
}

/// `17`, or `17_3` of an array, or `17+1` of a heterogeneous job.
fn in_accounting(text: &str, id: &str) -> Option<Job> {
    let lines = text.lines().filter(|line| id::has_mark(line, id));
    least(lines.filter_map(|line| line.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()))
}

fn least(numbers: impl Iterator<Item = u32>) -> Option<Job> {
    numbers.min().map(|id| Job { id, cluster: None })
}

/// `MinJobAge = 300 sec`; with 0 nothing is forgotten.
fn min_job_age(config: &str) -> u64 {
    let value = config.lines().find_map(|line| line.trim_start().strip_prefix("MinJobAge"));
    let number = value.and_then(|value| value.split_whitespace().nth(1)?.parse().ok());
    match number {
        Some(0) => u64::MAX,
        number => number.unwrap_or(MIN_JOB_AGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_its_mark() {
        let mark = id::mark("i1");
        let found = |job: Option<Job>| job.map(|job| job.id);
        let queue = format!("1003 (null)\n1005 my {mark}\n1004 my {mark}\n7 submit-folder:i2\n");
        assert_eq!(found(in_queue(&queue, "i1")), Some(1004));
        assert_eq!(found(in_queue("", "i1")), None);
        let accounting = format!("1009_[1-5%2]||sbatch --parsable --comment={mark}\n1010|{mark}|\n12||sbatch x\n");
        assert_eq!(found(in_accounting(&accounting, "i1")), Some(1009));
        assert_eq!(found(in_accounting(&accounting, "i2")), None);
    }

    #[test]
    fn how_long_slurmctld_keeps_jobs() {
        assert_eq!(min_job_age("MinJobAge               = 120 sec\n"), 120);
        assert_eq!(min_job_age("MinJobAge               = 0 sec\n"), u64::MAX);
        assert_eq!(min_job_age(""), 300);
    }
}
