//! Why a file is not submitted, in its reason file and in the log.

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something else than a file.
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    /// More than one name: another one may be in a folder that others write.
    #[error("it has {links} names (hard links)")]
    Linked {
        /// How many.
        links: u64,
    },
    /// The file server does not know its owner.
    #[error("it belongs to nobody (uid {uid})")]
    Nobody {
        /// The number.
        uid: u32,
    },
    /// Root or another account of the system's.
    #[error("it belongs to uid {uid}, and only uids from {least} on may submit")]
    System {
        /// The number.
        uid: u32,
        /// `watch.min_uid`.
        least: u32,
    },
    /// No account.
    #[error("its owner, uid {uid}, has no account on the controller")]
    Stranger {
        /// The number.
        uid: u32,
    },
    /// Not in `watch.groups`.
    #[error("{user} is in none of the groups that may submit here: {groups}")]
    Group {
        /// The login name.
        user: String,
        /// Which would do.
        groups: String,
    },
    /// Who else may write it decides what it is.
    #[error("others may write it (mode {mode:04o})")]
    Writable {
        /// Its permissions.
        mode: u32,
    },
    /// More than Slurm takes.
    #[error("it has {size} bytes, and scripts have at most 4 MiB")]
    Large {
        /// Its size.
        size: u64,
    },
    /// Its owner cannot read it.
    #[error("its owner cannot read it: {why}")]
    Unreadable {
        /// The system's reason.
        why: String,
    },
    /// The folder in which its job would begin.
    #[error("{user} cannot enter {folder}, where the job would begin: {why}")]
    Folder {
        /// The login name.
        user: String,
        /// The folder.
        folder: String,
        /// The system's reason.
        why: String,
    },
    /// What `slurm-k8s validate` finds.
    #[error("the script has {count}")]
    Findings {
        /// `1 error`, `2 errors`.
        count: String,
        /// The first one.
        first: String,
        /// All findings as validate prints them.
        text: String,
    },
    /// Slurm's own words.
    #[error("sbatch refused it: {first}")]
    Sbatch {
        /// The line that matters.
        first: String,
        /// All lines.
        text: String,
    },
    /// sbatch ended well without a job.
    #[error("sbatch made no job of it, and said no error")]
    NoJob {
        /// What it said instead.
        text: String,
    },
    /// sbatch never came to an end.
    #[error("sbatch did not come to an end within {seconds} s, {times} times")]
    Stuck {
        /// How often it was tried.
        times: u32,
        /// `watch.submit_timeout`.
        seconds: u64,
    },
    /// It may have a job.
    #[error("it cannot be known whether it was submitted: {why}")]
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Refusal {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kind(_) | Self::Linked { .. } => "copy the script itself: cp job.sh …/submit/",
            Self::Nobody { .. } => "the file server does not know its owner: ask the site's admin",
            Self::System { .. } => "files are submitted as their owner: copy it as an ordinary user",
            Self::Stranger { .. } => "ask the site's admin for an account on the controller",
            Self::Writable { .. } => "chmod go-w it before it is put here",
            Self::Large { .. } => "is it a batch script?",
            Self::Unreadable { .. } => "chmod u+r it",
            Self::Group { .. } | Self::Folder { .. } => "ask the site's admin",
            Self::NoJob { .. } => "is --test-only in its #SBATCH lines?",
            Self::Stuck { .. } => "do its #SBATCH lines name a file that cannot be read, such as a FIFO?",
            Self::Unknown { .. } => "look with squeue and sacct whether its job is there before you submit it again",
            Self::Findings { .. } | Self::Sbatch { .. } => return None,
        })
    }

    /// For the log, where nothing follows.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Findings { first, .. } => format!("{self}: {first}"),
            _ => self.to_string(),
        }
    }

    /// What follows the first line: others' words, as they are.
    fn details(&self) -> Option<&str> {
        match self {
            Self::Findings { text, .. } | Self::Sbatch { text, .. } | Self::NoJob { text } => {
                Some(text.trim_end()).filter(|text| !text.is_empty())
            }
            _ => None,
        }
    }

    /// Its word in the metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Findings { .. } => "script",
            Self::Sbatch { .. } | Self::NoJob { .. } => "slurm",
            Self::Stuck { .. } => "stuck",
            Self::Unknown { .. } => "unknown",
            Self::Stranger { .. } | Self::Nobody { .. } | Self::System { .. } | Self::Group { .. } => "owner",
            _ => "file",
        }
    }
}

/// Every word of [`Refusal::label`].
pub const LABELS: &[&str] = &["file", "owner", "script", "slurm", "stuck", "unknown"];

/// The reason file.
#[must_use]
pub fn text(name: &str, refusal: &Refusal, id: &str, time: &str) -> String {
    let submitted = if matches!(refusal, Refusal::Unknown { .. }) { "perhaps submitted" } else { "not submitted" };
    let mut text = format!("{name}: {submitted}: {refusal}\n");
    if let Some(hint) = refusal.hint() {
        text += &format!("hint: {hint}\n");
    }
    if let Some(details) = refusal.details() {
        text += &format!("\n{details}\n");
    }
    text + &format!("\nsubmission {id}, {time}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_and_how_to_mend_it() {
        let findings = "job.sh:2:1: error: there is no #K8S_IMGAE\n  hint: did you mean #K8S_IMAGE?\n".to_owned();
        let refusal = Refusal::Findings { count: "1 error".into(), first: "line 2: no".into(), text: findings };
        assert_eq!(refusal.brief(), "the script has 1 error: line 2: no");
        let expected = "job.sh: not submitted: the script has 1 error\n\njob.sh:2:1: error: there is no #K8S_IMGAE\n  \
                        hint: did you mean #K8S_IMAGE?\n\nsubmission i, now\n";
        assert_eq!(text("job.sh", &refusal, "i", "now"), expected);
        let refusal = Refusal::Linked { links: 2 };
        let expected = "a: not submitted: it has 2 names (hard links)\nhint: copy the script itself: cp job.sh \
                        …/submit/\n\nsubmission i, now\n";
        assert_eq!(text("a", &refusal, "i", "now"), expected);
        assert!(text("a", &Refusal::Unknown { why: "x".into() }, "i", "now").starts_with("a: perhaps submitted: "));
    }
}
