//! What the contestants need on the hosts, and its removal: also after an error, and when the bench is interrupted.

use e2e::{ALICE, At, ROOT, image};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::run::{LIMIT, Missing, output, output_with, stop};

/// The name of every job, and what every Pod's name begins with.
pub const NAME: &str = "side-by-side";
/// The folder that all hosts and Pods share.
pub const FOLDER: &str = "/mnt/nas/side-by-side";
/// The line that makes Slurm load the plugin.
pub const PLUGIN_LINE: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";
/// The node that single jobs run on.
pub const NODE: &str = "node1";
/// Its admin.
pub const ON_NODE: At = At { user: "root", host: NODE };
/// The other node's admin.
pub const ON_OTHER: At = At { user: "root", host: "node2" };

const SCRIPTS: &[(&str, &str)] = &[
    ("seed.sh", include_str!("scripts/seed.sh")),
    ("kubectl_run.sh", include_str!("scripts/kubectl_run.sh")),
    ("plain_pod.sh", include_str!("scripts/plain_pod.sh")),
    ("runc.sh", include_str!("scripts/runc.sh")),
    ("idle.sh", include_str!("scripts/idle.sh")),
    ("footprint.sh", include_str!("scripts/footprint.sh")),
    ("hide.sh", include_str!("scripts/hide.sh")),
    ("clock.sh", include_str!("scripts/clock.sh")),
    ("plain_steps.sh", include_str!("scripts/plain_steps.sh")),
    ("rate.sh", include_str!("scripts/rate.sh")),
    ("steps.sh", include_str!("scripts/steps.sh")),
];

/// The scripts and images are in place; all is removed when this goes.
pub struct Stage {
    /// A small image.
    pub busybox: String,
    /// An image with bash.
    pub userland: String,
}

impl Stage {
    /// Removes what a killed run left, installs the scripts, and pulls the images on both nodes.
    pub fn set() -> Result<Self, Missing> {
        clear_when_interrupted()?;
        clear();
        let stage = Self { busybox: image("busybox"), userland: image("userland") };
        let _ = output(ROOT, &["install", "--directory", "--mode=1777", FOLDER])?;
        for (name, text) in SCRIPTS {
            let path = script(name);
            output_with(ROOT, &["install", "--mode=755", "/dev/stdin", &path], text.as_bytes())?;
        }
        when_idle()?;
        output(ON_NODE, &[&script("runc.sh"), &stage.busybox, &format!("{FOLDER}/bundle")])?;
        for image in [&stage.busybox, &stage.userland] {
            let image = format!("--k8s-image={image}");
            output(ALICE, &["srun", "--job-name", NAME, "--nodes=2", &image, "true"])?;
        }
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        clear();
    }
}

/// Where a script is on every host.
pub fn script(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Waits until nothing of the turn before is left.
pub fn when_idle() -> Result<(), Missing> {
    output(ROOT, &[&script("idle.sh")]).map(|_| ())
}

fn clear_when_interrupted() -> Result<(), Missing> {
    let failed = |error| Missing::wrong(format!("signals cannot be caught: {error}"));
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(failed)?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            eprintln!("bench: interrupted; taking everything away");
            // The first time ends the jobs, so that the present turn ends too.
            stop(clear);
            clear();
            std::process::exit(130);
        }
    });
    Ok(())
}

/// Takes away all that a run may have left. What is not there is no error, and one failure does not keep the rest.
fn clear() {
    let restore = format!("[ ! -e {PLUGIN_LINE}.{NAME} ] || mv {PLUGIN_LINE}.{NAME} {PLUGIN_LINE}");
    let forget = format!("runc list --quiet | grep ^{NAME} | xargs --no-run-if-empty -n 1 runc delete --force");
    let label = format!("--selector=made-by={NAME}");
    let commands: [(At, &[&str]); 5] = [
        (ROOT, &["scancel", "--name", NAME]),
        (ROOT, &["kubectl", "delete", "pods", "--namespace=default", &label, "--now"]),
        (ON_NODE, &["bash", "-c", &forget]),
        (ROOT, &["rm", "--recursive", "--force", FOLDER]),
        (ON_OTHER, &["bash", "-c", &restore]),
    ];
    for (at, argv) in commands {
        // Panics only if the testbed's command is not there: then nothing is.
        let ran = at.run(&[&["timeout", LIMIT], argv].concat());
        if ran.code != Some(0) {
            eprintln!("bench: clearing up: `{}`: {}", argv.join(" "), ran.errors());
        }
    }
}
