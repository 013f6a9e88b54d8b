//! Batch scripts for slurmctld to judge.

use crate::{ALICE, At, Away, CTL, Ran, image, scratch, until};

/// Succeeds in a Pod only.
pub const IN_POD: &str = "test -e /.slurm-k8s/agent && echo in a Pod";

/// A script with `lines` in its head, behind the userland image.
#[must_use]
pub fn script(lines: &str) -> String {
    format!("#!/bin/bash\n#SBATCH --mem=100M\n#K8S_IMAGE={}\n{lines}\n{IN_POD}\n", image("userland"))
}

/// What sbatch says to a script from a pipe.
#[must_use]
pub fn sbatch(at: At, options: &[&str], script: &str) -> Ran {
    at.run_with(&[&["sbatch", "--parsable"], options].concat(), script.as_bytes())
}

/// Fails the test unless the job was refused with exactly this cause and mend, and nothing was submitted.
pub fn refused(ran: &Ran, command: &str, cause: &str, hint: &str) {
    let errors = ran.errors();
    let ours: Vec<_> = errors.lines().filter(|line| line.contains("spank-k8s: ")).collect();
    assert_ne!(ran.code, Some(0), "{cause}: {}", ran.text());
    let line = |text: &str| format!("{command}: error: spank-k8s: {text}");
    assert_eq!(ours, [line(cause), line(&format!("hint: {hint}"))], "{errors}");
    assert_eq!(ran.text(), "");
}

/// Runs a batch script to its end and gives its output.
#[must_use]
pub fn output(options: &[&str], script: &str) -> String {
    let file = format!("{}/out", scratch("submit"));
    let to = format!("--output={file}");
    let ran = ALICE.batch(&[&["sbatch", &to], options].concat(), script);
    let text = ALICE.run(&["cat", &file]).text();
    assert_eq!(ran.code, Some(0), "{}\n{text}", ran.errors());
    text
}

/// slurmctld has no config of the site's, for as long as it lives, and leaves all that this decides to the node.
#[must_use]
#[derive(Debug)]
pub struct Unasked(Option<Away>);

impl Unasked {
    /// Takes it away, and waits until slurmctld has looked.
    pub fn start() -> Self {
        let this = Self(Some(Away::take(CTL, "/etc/slurm/k8s.toml")));
        until("slurmctld leaves it to the node", || judged().map_or(Ok(()), Err));
        this
    }
}

impl Drop for Unasked {
    fn drop(&mut self) {
        self.0 = None;
        if !std::thread::panicking() {
            until("slurmctld has its config again", || judged().map(|_| ()).ok_or_else(String::new));
        }
    }
}

/// What slurmctld says to something that only the site's config forbids.
#[must_use]
pub fn judged() -> Option<String> {
    let ran = sbatch(ALICE, &["--test-only"], &script("#K8S_NETWORK=host"));
    (ran.code != Some(0)).then(|| ran.errors())
}
