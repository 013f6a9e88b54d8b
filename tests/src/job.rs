//! A batch job that goes on until the test lets it end, and says the same each time.

use crate::{ALICE, ROOT, accounting, in_image, no_pod_of, nodes_are_up, scratch, until};

/// Lines for two seconds, then nothing until it may end, then many at once.
const SCRIPT: &str = r#"#!/bin/bash
for line in {1..40}; do echo "line $line"; sleep 0.05; done
until test -e go; do sleep 0.1; done
seq 20000
exit 7
"#;

/// A job in a Pod on one node, with a core and 100 MB.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub id: String,
    /// Its working directory.
    pub folder: String,
}

impl Job {
    /// Submits it.
    #[must_use]
    pub fn submit(node: &str, options: &[&str]) -> Self {
        Self::of(node, options, SCRIPT)
    }

    /// Submits another script.
    #[must_use]
    pub fn of(node: &str, options: &[&str], script: &str) -> Self {
        let folder = scratch("job");
        let places = ["chdir=", "output=out", "error=err"].map(|option| {
            let (option, file) = option.split_once('=').unwrap_or_default();
            format!("--{option}={folder}/{file}")
        });
        let mut argv = vec!["sbatch", "--parsable", "--no-requeue", "--mem=100M", "-n1", "-w", node];
        let image = in_image("userland");
        argv.extend(places.iter().map(String::as_str).chain([image.as_str()]).chain(options.iter().copied()));
        Self { id: ALICE.run_with(&argv, script.as_bytes()).ok().text(), folder }
    }

    /// Waits for its first line.
    #[must_use]
    pub fn running(self) -> Self {
        until("the job writes", || if self.output().is_empty() { Err(self.errors()) } else { Ok(()) });
        self
    }

    /// Lets it end.
    pub fn release(&self) {
        let _ = ALICE.run(&["touch", &format!("{}/go", self.folder)]).ok();
    }

    /// What it has written to stdout.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        ALICE.run(&["cat", &format!("{}/out", self.folder)]).stdout
    }

    /// What is on its stderr.
    #[must_use]
    pub fn errors(&self) -> String {
        ALICE.run(&["cat", &format!("{}/err", self.folder)]).text()
    }

    /// Waits until all its output is there, whatever Slurm knows of it.
    pub fn has_written_all(&self) {
        let expected = expected();
        until("all output is there", || {
            let output = self.output();
            if output == expected { Ok(()) } else { Err(format!("{} bytes of {}", output.len(), expected.len())) }
        });
    }

    /// Lets it end, and fails the test unless it ends as if nothing had happened.
    pub fn ends_whole(&self) {
        self.release();
        self.ended("FAILED|7:0");
        assert!(self.output() == expected(), "{} bytes of {}", self.output().len(), expected().len());
        // Slurm's own complaints about the fault may be there.
        assert!(!self.errors().contains("spank-k8s:"), "{}", self.errors());
    }

    /// Fails the test unless the job ends so, no Pod of it is left, and every node is up.
    pub fn ended(&self, state: &str) {
        let states = accounting(&self.id);
        let first = states.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("{}|{state}|", self.id)), "{states}\n{}", self.errors());
        no_pod_of(&self.id);
        nodes_are_up();
    }

    /// Fails the test unless the job failed with this code and a line of ours that has this text.
    pub fn failed(&self, code: u8, text: &str) {
        self.ended(&format!("FAILED|{code}:0"));
        let errors = self.errors();
        assert!(errors.lines().any(|line| line.starts_with("spank-k8s: ") && line.contains(text)), "{errors}");
    }
}

impl Drop for Job {
    /// A test that failed leaves no core taken.
    fn drop(&mut self) {
        let _ = ROOT.run(&["scancel", "--quiet", &self.id]);
    }
}

fn expected() -> Vec<u8> {
    let lines = (1..=40).map(|line| format!("line {line}\n")).chain((1..=20000).map(|number| format!("{number}\n")));
    lines.collect::<String>().into_bytes()
}

/// Waits until Slurm has finished a job, with all tasks of an array and all components; the highest exit code of theirs.
pub(crate) fn end(job: &str) -> i32 {
    const FINISHED: [&str; 8] =
        ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"];
    let mut codes = Vec::new();
    until("the job ends", || {
        let text = ROOT.run(&["scontrol", "--oneliner", "show", "job", job]).ok().text();
        let fields = |key: &'static str| text.split_whitespace().filter_map(move |word| word.strip_prefix(key));
        codes = fields("ExitCode=").map(code).collect();
        let mut states = fields("JobState=");
        (!codes.is_empty() && states.all(|state| FINISHED.contains(&state))).then_some(()).ok_or_else(|| text.clone())
    });
    codes.into_iter().max().unwrap_or_default()
}

/// Of `code:signal`.
fn code(text: &str) -> i32 {
    match text.split_once(':') {
        Some((code, "0")) => code.parse().unwrap_or(1),
        _ => 1,
    }
}
