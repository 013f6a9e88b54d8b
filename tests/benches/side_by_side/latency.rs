//! How long one command takes: ours, the peers, and the floors.

use e2e::{ALICE, ROOT};

use crate::book::{Book, Contestant};
use crate::life::{self, SHOWN, SUCCEEDED};
use crate::page::Section;
use crate::run::{Missing, figures, output, timed};
use crate::stage::{FOLDER, NAME, NODE, ON_NODE, Stage, script, when_idle};

const PLAIN: &str = "`srun true`";
pub const OURS: &str = "`srun --k8s-image=busybox true`";
const DIRECT: &str = "the same with `--k8s-io=direct`";
pub const RUN: &str = "`srun kubectl run --rm --attach`";
const SEED: &str = "the site's guide: `srun` of `kubectl apply`, `wait`, `exec`, `delete`";
const KUBECTL: &str = "one start of kubectl: `kubectl version --client`";
const RUNC: &str = "floor: `runc run` of the image, no Slurm, no Kubernetes";
pub const KUBELET: &str = "floor: plain Pod, POST → its command runs";

/// Gives the jobs in Pods that it was measured on.
pub fn measure(book: &mut Book, stage: &Stage, rounds: u32) -> Vec<String> {
    let image = format!("--k8s-image={}", stage.busybox);
    let (seed, run) = (script("seed.sh"), script("kubectl_run.sh"));
    let user = |rest: &[&str]| srun(&["srun", "--job-name", NAME, "-w", NODE], rest, false);
    let admin = |rest: &[&str]| srun(&["srun", "--job-name", NAME, "-w", NODE, "--chdir=/tmp"], rest, true);
    let mut jobs = Vec::new();
    let mut contestants = vec![
        Contestant::new(&[PLAIN], || user(&["true"])),
        Contestant::new(&[OURS], || user(&[&image, "true"])),
        Contestant::new(&[DIRECT], || user(&[&image, "--k8s-io=direct", "true"])),
        Contestant::new(&[RUN], || admin(&[&run, &stage.busybox])),
        Contestant::new(&[SEED], || admin(&[&seed, &stage.busybox])),
        Contestant::new(&[KUBECTL], || alone(&["kubectl", "version", "--client"])),
        Contestant::new(&[RUNC], || alone(&["runc", "run", "--bundle", &format!("{FOLDER}/bundle"), NAME])),
        Contestant::new(&[KUBELET, SHOWN, SUCCEEDED], || plain_pod(stage)),
    ];
    contestants.extend(life::contestants(stage, &mut jobs));
    book.take_turns("one command", rounds, contestants);
    jobs
}

fn srun(srun: &[&str], rest: &[&str], admin: bool) -> Result<Vec<f64>, Missing> {
    when_idle()?;
    Ok(vec![timed(if admin { ROOT } else { ALICE }, &[srun, rest].concat())?.ms()])
}

fn alone(argv: &[&str]) -> Result<Vec<f64>, Missing> {
    when_idle()?;
    Ok(vec![timed(ON_NODE, argv)?.ms()])
}

fn plain_pod(stage: &Stage) -> Result<Vec<f64>, Missing> {
    when_idle()?;
    let text = output(ON_NODE, &[&script("plain_pod.sh"), &stage.userland, NODE])?;
    let [posted, ran, terminated, succeeded] = figures(&text)?;
    Ok([ran - posted, terminated - ran, succeeded - ran].map(|seconds| seconds * 1e3).to_vec())
}

pub fn section() -> Section {
    Section {
        title: "One command",
        how: "Timed around the whole of `srun` on the login host (the floors: on the node). The peers are at their best: their \
              Pods name their node, so that no scheduler is needed, and have no service account's token, a volume that the \
              kubelet would take longer for. But the testbed's kubectl is one program with the rest of Kubernetes and starts \
              slower than a kubectl of its own: `kubectl run` starts it once, the guide's way four times."
            .to_owned(),
        unit: "ms",
        ratio: Some(("÷ ours", OURS)),
        labels: vec![PLAIN, OURS, DIRECT, RUN, SEED, KUBECTL, KUBELET, RUNC],
    }
}
