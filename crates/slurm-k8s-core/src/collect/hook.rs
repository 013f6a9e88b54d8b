//! The site's own programs after a job (`after_job.run`): what they find in their environment.

use std::ffi::OsString;
use std::path::Path;

use super::job::Job;

/// A variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it has; markdown.
    pub doc: &'static str,
    value: fn(&Job, &Path) -> Option<OsString>,
}

fn text(text: &impl ToString) -> OsString {
    text.to_string().into()
}

/// The table.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "SLURM_K8S_JOB",
        doc: "The job as `squeue` shows it: `123`, or `123_4`.",
        value: |job, _| Some(text(&job.id)),
    },
    Variable { name: "SLURM_K8S_JOB_NAME", doc: "Its name.", value: |job, _| Some(text(&job.name)) },
    Variable { name: "SLURM_K8S_USER", doc: "Its user.", value: |job, _| Some(text(&job.user)) },
    Variable { name: "SLURM_K8S_UID", doc: "The user's number.", value: |job, _| job.uid.as_ref().map(text) },
    Variable {
        name: "SLURM_K8S_ACCOUNT",
        doc: "The account that it is charged to, if there is one.",
        value: |job, _| job.account.as_ref().map(text),
    },
    Variable { name: "SLURM_K8S_PARTITION", doc: "Where it ran.", value: |job, _| job.partition.as_ref().map(text) },
    Variable {
        name: "SLURM_K8S_STATE",
        doc: "How it ended: `COMPLETED`, `FAILED`, `TIMEOUT`, …",
        value: |job, _| Some(text(&job.state)),
    },
    Variable { name: "SLURM_K8S_EXIT_CODE", doc: "Its exit code.", value: |job, _| Some(text(&job.code)) },
    Variable {
        name: "SLURM_K8S_SIGNAL",
        doc: "The signal that ended it, or 0.",
        value: |job, _| Some(text(&job.signal)),
    },
    Variable {
        name: "SLURM_K8S_RESULTS",
        doc: "Its folder, with `job_summary.json` and `checksums.txt`.",
        value: |_, folder| Some(folder.into()),
    },
];

/// The environment of one run, besides a login's.
pub fn environment<'a>(job: &'a Job, folder: &'a Path) -> impl Iterator<Item = (&'static str, OsString)> + 'a {
    VARIABLES.iter().filter_map(move |variable| Some((variable.name, (variable.value)(job, folder)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_set() {
        let job = Job { id: "7".into(), state: "FAILED".into(), code: 3, ..Job::default() };
        let found: Vec<_> = environment(&job, Path::new("/nas/7")).collect();
        assert!(found.contains(&("SLURM_K8S_EXIT_CODE", "3".into())));
        assert!(found.contains(&("SLURM_K8S_RESULTS", "/nas/7".into())));
        assert!(found.iter().all(|(name, _)| *name != "SLURM_K8S_ACCOUNT"));
    }
}
