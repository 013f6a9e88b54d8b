//! Whether a Pod goes, and why: no clock, no network.

use super::pod::Pod;
use crate::slurm::{Job, Jobs, State};

/// After how many seconds a Pod goes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A finished one.
    pub finished: i64,
    /// One without a job: since the job's end or, if that is not known, since its own creation.
    pub orphan: i64,
    /// One that its user wanted to keep, in both cases; none is never.
    pub kept: Option<i64>,
}

/// What a Pod is there without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Its processes: they have all ended.
    Finished,
    /// Its job: it has ended.
    JobEnded,
    /// The run of its job that it was for.
    EarlierRun,
    /// A job that Slurm knows.
    NoJob,
}

impl Lack {
    /// Its word in the metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::JobEnded => "job_ended",
            Self::EarlierRun => "earlier_run",
            Self::NoJob => "no_job",
        }
    }
}

/// What happens to a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it goes.
    pub delete: bool,
    /// What would be its reason to go.
    pub lack: Option<Lack>,
    /// Why, or why not.
    pub why: String,
}

/// Judges one Pod. The jobs must have been asked for after the Pod was seen: its job is known to Slurm by then.
pub fn decide(pod: &Pod, jobs: Option<&Jobs>, limits: &Limits, now: i64) -> Verdict {
    if pod.leaving {
        return stays("is being deleted already");
    }
    let limit = |usual| if pod.kept { limits.kept } else { Some(usual) };
    if let Some(finished) = pod.finished {
        let since = now - finished;
        return after(Lack::Finished, limit(limits.finished), since, &format!("finished {} ago", span(since)));
    }
    let Some(id) = pod.job else {
        return stays("unfinished, without a job-id");
    };
    let Some(jobs) = jobs else {
        return stays(&match (needs_slurm(pod, limits, now), pod.kept) {
            (true, _) => "unfinished; Slurm did not answer".to_owned(),
            (false, true) => "unfinished, kept by its user".to_owned(),
            (false, false) => format!("unfinished, created {} ago", span(now - pod.created)),
        });
    };
    let Some(job) = jobs.get(&id) else {
        return after(Lack::NoJob, limit(limits.orphan), now - pod.created, &format!("Slurm has no job {id}"));
    };
    match job.state {
        State::Ended => {
            let since = now - job.ended.unwrap_or(pod.created);
            after(Lack::JobEnded, limit(limits.orphan), since, &format!("job {id} ended {} ago", span(since)))
        }
        _ if of_earlier_run(pod, job, limits) => {
            after(Lack::EarlierRun, limit(limits.orphan), now - pod.created, &format!("of an earlier run of job {id}"))
        }
        State::Pending => stays(&format!("job {id} is pending")),
        State::Active => stays(&format!("job {id} runs")),
    }
}

/// Whether Slurm's answer can make this Pod go. It is not asked if there is no such Pod.
pub fn needs_slurm(pod: &Pod, limits: &Limits, now: i64) -> bool {
    let limit = if pod.kept { limits.kept } else { Some(limits.orphan) };
    !pod.leaving
        && pod.finished.is_none()
        && pod.job.is_some()
        && limit.is_some_and(|_| now - pod.created >= limits.orphan)
}

/// The API server's clock and slurmctld's may differ a little: what is close stays. Without restarts there is no
/// earlier run, whatever the clocks say.
fn of_earlier_run(pod: &Pod, job: &Job, limits: &Limits) -> bool {
    let before = |started: i64| pod.created + limits.orphan <= started;
    job.restarts > 0 && (job.state == State::Pending || job.started.is_some_and(before))
}

fn after(lack: Lack, limit: Option<i64>, since: i64, why: &str) -> Verdict {
    let lack = Some(lack);
    match limit {
        None => Verdict { lack, ..stays(&format!("{why}, kept by its user")) },
        Some(limit) if since < limit => {
            Verdict { lack, ..stays(&format!("{why}, stays for {} more", span(limit - since))) }
        }
        Some(_) => Verdict { delete: true, lack, why: why.to_owned() },
    }
}

fn stays(why: &str) -> Verdict {
    Verdict { delete: false, lack: None, why: why.to_owned() }
}

/// `45 s`, `12 min`, `3 h`, `9 d`. Another clock's now may be earlier.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
