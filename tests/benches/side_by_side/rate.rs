//! How many jobs go through two nodes in a minute.

use e2e::{ALICE, At, ROOT};

use crate::book::{Book, Contestant};
use crate::page::Section;
use crate::parameters::Parameters;
use crate::run::{Missing, figures, output};
use crate::stage::{NAME, Stage, script, when_idle};

const PLAIN: &str = "plain `sbatch`";
pub const OURS: &str = "`sbatch --k8s-image=busybox`";
pub const SEED: &str = "`sbatch` of the site's guide as a script";
const PLAIN_STEPS: &str = "plain `srun` in an allocation";
pub const OURS_STEPS: &str = "`srun --k8s-image=busybox` in an allocation";
pub const SEED_STEPS: &str = "`srun` of the site's guide in an allocation";

pub fn measure(book: &mut Book, stage: &Stage, asked: &Parameters) {
    let image = format!("--k8s-image={}", stage.busybox);
    let seed = script("seed.sh");
    let count = asked.rate_jobs;
    let contestants = vec![
        Contestant::new(&[PLAIN], || jobs(ALICE, count, &["--wrap=true"])),
        Contestant::new(&[OURS], || jobs(ALICE, count, &[&image, "--wrap=true"])),
        Contestant::new(&[SEED], || jobs(ROOT, count, &[&seed, &stage.busybox])),
        Contestant::new(&[PLAIN_STEPS], || steps(ALICE, count, &["true"])),
        Contestant::new(&[OURS_STEPS], || steps(ALICE, count, &[&image, "true"])),
        Contestant::new(&[SEED_STEPS], || steps(ROOT, count, &[&seed, &stage.busybox])),
    ];
    book.take_turns("back to back", asked.rate_rounds, contestants);
}

fn jobs(at: At, count: u32, options: &[&str]) -> Result<Vec<f64>, Missing> {
    run(at, count, &[&[&*script("rate.sh"), &count.to_string()], options].concat())
}

/// Half of them on each of the two nodes.
fn steps(at: At, count: u32, task: &[&str]) -> Result<Vec<f64>, Missing> {
    let half = count.div_ceil(2);
    let salloc = ["salloc", "--quiet", "--job-name", NAME, "--nodes=2", "--exclusive", "--chdir=/tmp"];
    run(at, 2 * half, &[&salloc[..], &[&*script("steps.sh"), &half.to_string()], task].concat())
}

fn run(at: At, count: u32, argv: &[&str]) -> Result<Vec<f64>, Missing> {
    when_idle()?;
    let [took, done] = figures(&output(at, argv)?)?;
    if (done - f64::from(count)).abs() > 0.5 {
        return Err(Missing::wrong(format!("only {done} of {count} succeeded")));
    }
    Ok(vec![done * 60.0 / (took / 1e6)])
}

pub fn sections(asked: &Parameters) -> [Section; 2] {
    let section = |title, how, unit, reference, labels| {
        let ratio = Some(("of the guide", reference));
        Section { title, how, unit, ratio, labels }
    };
    [
        section(
            "Jobs back to back",
            format!(
                "{} batch jobs of `true` on two nodes, each with a node of its own, from the first `sbatch` until Slurm has \
                 cleared up the last; all of them COMPLETED. Slurm's scheduler sets the pace here, as the plain jobs show.",
                asked.rate_jobs
            ),
            "jobs a minute",
            SEED,
            vec![PLAIN, OURS, SEED],
        ),
        section(
            "Job steps back to back",
            format!(
                "{} steps of `true` in one allocation of two nodes, where no scheduler has a part: one after the other on each node.",
                asked.rate_jobs
            ),
            "steps a minute",
            SEED_STEPS,
            vec![PLAIN_STEPS, OURS_STEPS, SEED_STEPS],
        ),
    ]
}
