//! What is said about a script: one table of kinds, which `slurm-k8s validate --json` and the reference page have.

use std::fmt;

use crate::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The job is refused, or fails.
    Error,
    /// It is perhaps not what the user means.
    Warning,
    /// Something that could not be checked.
    Note,
}

impl Severity {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name; it does not change from version to version.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// When it is found; markdown.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $id:literal, $severity:ident, $meaning:literal;)+) => {
        $(
            #[doc = concat!("`", $id, "`: ", $meaning)]
            pub const $name: Kind = Kind { id: $id, severity: Severity::$severity, meaning: $meaning };
        )+

        /// The table.
        pub const KINDS: &[Kind] = &[$($name),+];
    };
}

kinds! {
    FORM = "script", Error, "sbatch takes no such script: it is empty, has no `#!`, bytes 0, a byte order mark or line breaks of DOS.";
    LINE = "line", Error, "A line begins like a directive and is none: unknown, misspelt, without `=`, with a quote that has no end, or with more than one value.";
    SBATCH = "sbatch", Error, "An option of ours in an `#SBATCH` line that sbatch does not take.";
    VALUE = "value", Error, "A value that the option does not take, in the script or in the environment.";
    CONFLICT = "conflict", Error, "An option that is given twice, with two values.";
    WITHOUT_IMAGE = "without-image", Error, "Options, and neither an image nor a profile.";
    POLICY = "policy", Error, "What `[policy]` in the site's config does not allow.";
    PROFILE = "profile", Error, "A profile that the site does not have, or one without an image.";
    LIMIT = "limit", Error, "More cpus, memory or GPUs on a node than the profile allows.";
    REQUIRED = "required", Error, "Something that `submit.require` in the site's config asks for is missing.";
    RESOURCES = "resources", Error, "`#SBATCH` lines ask for what the partition does not have, or Slurm says that it would refuse the job (`sbatch --test-only`).";
    IMAGE_ABSENT = "image-absent", Error, "The registry has no such image. With `--check-image`.";
    IMAGE_PLATFORM = "image-platform", Error, "The registry has the image, but not for this kind of machine. With `--check-image`.";
    COMMENT = "comment", Warning, "A comment that looks like a directive: `# K8S_IMAGE=…`, or with blanks in front.";
    LATE = "late", Warning, "A directive after the first command, where nothing reads it.";
    OVERRIDDEN = "overridden", Warning, "A directive that does not hold, since an `#SBATCH` line of the same script says something else.";
    NO_COMMAND = "no-command", Warning, "A script without any command.";
    LARGE = "large", Warning, "The script has more than 4 MiB, which slurmctld takes only where the site allows it.";
    PARTITION_STATE = "partition-state", Warning, "The partition is down or drained: the job would wait.";
    IMAGE_LOGIN = "image-login", Warning, "The registry shows the image only to those who log in; the nodes perhaps can. With `--check-image`.";
    IMAGE_UNKNOWN = "image-unknown", Warning, "The registry could not be asked: it is unreachable, or answers strangely. With `--check-image`.";
    NO_CONFIG = "no-config", Warning, "There is no usable `k8s.toml` here, so nothing was held to the site's policy.";
    NO_SLURM = "no-slurm", Note, "Slurm could not be asked about the resources.";
}

/// Something about a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// Where; none if it is about the job as a whole.
    pub place: Option<Place>,
    /// What is wrong; one line, without the place.
    pub cause: String,
    /// How to mend it; one line.
    pub hint: Option<String>,
}

impl Finding {
    /// Whether the job is refused for it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.kind.severity == Severity::Error
    }

    /// By place; what has none comes last.
    #[must_use]
    pub fn order(&self) -> Place {
        self.place.unwrap_or(Place { line: u32::MAX, column: u32::MAX })
    }
}

/// As a message without the script's name: `line 3: #K8S_IMAGE: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "line {}: ", place.line)?;
        }
        f.write_str(&self.cause)
    }
}
