//! A job in a Pod that tells when its command ran, and what the engine wrote about it.

use e2e::ALICE;
use serde_json::Value;

use crate::run::{Missing, Timed, figures, output, timed, wait};
use crate::stage::{NAME, NODE, ON_NODE, when_idle};

/// Says which job it is and what time it is.
const COMMAND: &str = "echo $SLURM_JOB_ID; echo $EPOCHREALTIME";

/// A finished job.
pub struct Job {
    /// Its number.
    pub id: String,
    /// When the user called srun and when it returned.
    pub srun: Timed,
    /// When its command ran; it ended right after.
    pub ran: f64,
}

/// A phase of the engine's log.
struct Phase {
    name: String,
    time: f64,
    ms: f64,
}

/// The phases of a job in a Pod.
pub struct Phases(Vec<Phase>);

impl Job {
    /// Runs one with this option of srun.
    pub fn run(image: &str) -> Result<Self, Missing> {
        when_idle()?;
        let srun = timed(ALICE, &["srun", "--job-name", NAME, "-w", NODE, image, "bash", "-c", COMMAND])?;
        let [id, ran] = figures(&srun.output)?;
        Ok(Self { id: format!("{id:.0}"), srun, ran })
    }
}

/// What the engine wrote about this job, once its Pod is deleted.
pub fn phases(job: &str) -> Result<Phases, Missing> {
    wait("the engine's log of the job", || {
        let wanted = format!("\"job\":\"{job}.0\"");
        let text = output(ON_NODE, &["grep", "--fixed-strings", &wanted, "/var/log/slurm-k8s/engine.log"])?;
        let phases = Phases(text.lines().filter_map(phase).collect());
        Ok(phases.time("deleted").is_ok().then_some(phases))
    })
}

fn phase(line: &str) -> Option<Phase> {
    let line: Value = serde_json::from_str(line).ok()?;
    let number = |name| line.get(name).and_then(Value::as_f64);
    let name = line.get("phase")?.as_str()?.to_owned();
    Some(Phase { name, time: number("time")?, ms: number("ms")? })
}

impl Phases {
    fn find(&self, name: &str) -> Result<&Phase, Missing> {
        let missing = || Missing::wrong(format!("engine.log has no phase {name}"));
        self.0.iter().find(|phase| phase.name == name).ok_or_else(missing)
    }

    /// When this phase was, in seconds since 1970, exact to 1 ms.
    pub fn time(&self, name: &str) -> Result<f64, Missing> {
        self.find(name).map(|phase| phase.time)
    }

    /// When this phase was, in ms since the engine began, exact to 0.1 ms.
    pub fn since_begin(&self, name: &str) -> Result<f64, Missing> {
        self.find(name).map(|phase| phase.ms)
    }

    /// When the engine began, in seconds since 1970.
    pub fn begin(&self) -> Result<f64, Missing> {
        self.find("posted").map(|phase| phase.time - phase.ms / 1e3)
    }
}
