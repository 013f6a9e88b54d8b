//! What a job's time goes to, and how fast its end is known.

use crate::book::Contestant;
use crate::job::{Job, phases};
use crate::page::Section;
use crate::run::Missing;
use crate::stage::Stage;
use crate::watch::ends;

const PLAIN_ENDED: &str = "plain `srun`: the task that Slurm waits for has ended";
pub const OURS_ENDED: &str = "in a Pod: the task that Slurm waits for (the shim) has ended";
const OURS_KNOWN: &str = "in a Pod: the engine has the status";
pub const SHOWN: &str = "plain Pod: the API server shows the container terminated";
pub const SUCCEEDED: &str = "plain Pod: the API server shows the phase Succeeded";

const BEGIN: &str = "`srun` is called → the engine begins, in slurmstepd";
const POSTED: &str = "→ the API server has answered the POST";
const AGENT: &str = "→ the kubelet has started the container: the agent is connected";
const STARTED: &str = "→ the user's process is started";
const EXITED: &str = "→ it has ended, and the engine knows";
const DELETED: &str = "→ the Pod is deleted; then Slurm frees the node";
const RETURNED: &str = "the process has ended → `srun` returns";
const RAN: &str = "the engine begins → the user's command runs, in all";

const SPANS: [&str; 8] = [BEGIN, POSTED, AGENT, STARTED, EXITED, DELETED, RETURNED, RAN];

/// Jobs whose end is watched, and one whose way is; it adds its number to `jobs`.
pub fn contestants<'a>(stage: &Stage, jobs: &'a mut Vec<String>) -> [Contestant<'a>; 3] {
    let image = format!("--k8s-image={}", stage.userland);
    let in_pod = image.clone();
    [
        Contestant::new(&[PLAIN_ENDED], || {
            let (_, ran, ended) = ends(&[])?;
            Ok(vec![(ended - ran) * 1e3])
        }),
        Contestant::new(&[OURS_ENDED, OURS_KNOWN], move || {
            let (job, ran, ended) = ends(&[&image])?;
            Ok(vec![(ended - ran) * 1e3, (phases(&job)?.time("exited")? - ran) * 1e3])
        }),
        Contestant::new(&SPANS, move || {
            let job = Job::run(&in_pod)?;
            let spans = spans(&job)?;
            jobs.push(job.id);
            Ok(spans)
        }),
    ]
}

/// In the order of [`SPANS`].
fn spans(job: &Job) -> Result<Vec<f64>, Missing> {
    let phases = phases(&job.id)?;
    let begin = phases.begin()?;
    let at = |phase| phases.since_begin(phase);
    Ok(vec![
        (begin - job.srun.begin) * 1e3,
        at("posted")?,
        at("agent")? - at("posted")?,
        at("started")? - at("agent")?,
        at("exited")? - at("started")?,
        at("deleted")? - at("exited")?,
        (job.srun.end - begin) * 1e3 - at("exited")?,
        (job.ran - begin) * 1e3,
    ])
}

pub fn sections() -> [Section; 2] {
    let section = |title, how: &str, labels| Section { title, how: how.to_owned(), unit: "ms", ratio: None, labels };
    [
        section(
            "A command's end",
            "From the command's last act, in which it tells the time, until its end is known. The task's end is seen by a \
             pidfd; the engine's log is exact to 1 ms.",
            vec![PLAIN_ENDED, OURS_ENDED, OURS_KNOWN, SHOWN, SUCCEEDED],
        ),
        section(
            "Where the time goes",
            "One `srun` in a Pod, from the engine's log on the node and the clock on the login host.",
            SPANS.to_vec(),
        ),
    ]
}
