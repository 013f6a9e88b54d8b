//! The exit codes that are ours and not the user's command's.

/// The command is not in the image (`ENOENT`, as plain Slurm has it).
pub const NOT_FOUND: u8 = 2;
/// The command is no program (`ENOEXEC`, as plain Slurm has it).
pub const NO_PROGRAM: u8 = 8;
/// The command is not executable (`EACCES`, as plain Slurm has it).
pub const NOT_EXECUTABLE: u8 = 13;
/// A quota of the namespace.
pub const QUOTA: u8 = 119;
/// Something is not installed, or not right, on the node.
pub const SITE: u8 = 120;
/// The API server.
pub const CLUSTER: u8 = 121;
/// The image.
pub const IMAGE: u8 = 122;
/// The Pod did not start.
pub const NOT_STARTED: u8 = 123;
/// An option of the user's cannot be met.
pub const OPTION: u8 = 124;
/// Nobody knows how the command ended.
pub const LOST: u8 = 125;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The user: command, image or options.
    User,
    /// The site's admin: what is installed and configured on the node.
    Site,
    /// The cluster's admin: Kubernetes, registry, network, nodes.
    Cluster,
    /// We: please report it.
    Bug,
}

impl Blame {
    /// In a sentence.
    #[must_use]
    pub const fn who(self) -> &'static str {
        match self {
            Self::User => "the user",
            Self::Site => "the site's admin",
            Self::Cluster => "the cluster's admin",
            Self::Bug => "spank-k8s (report it)",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct ExitCode {
    /// The task's exit code.
    pub code: u8,
    /// Its word in the metrics, which stays.
    pub label: &'static str,
    /// What happened, in a few words.
    pub title: &'static str,
    /// When it occurs and what to look at; markdown.
    pub meaning: &'static str,
    /// Who can mend it, the most probable first.
    pub blame: &'static [Blame],
}

/// The table.
pub const EXIT_CODES: &[ExitCode] = &[
    ExitCode {
        code: NOT_FOUND,
        label: "not_found",
        title: "command not found",
        meaning: "The command is not in the image's `PATH`, or the interpreter of the script is not in the image. The code is the kernel's `ENOENT`, as under plain Slurm.",
        blame: &[Blame::User],
    },
    ExitCode {
        code: NO_PROGRAM,
        label: "no_program",
        title: "not a program",
        meaning: "The kernel does not take the command for a program: a script without a `#!` line, or a program for other processors. The code is the kernel's `ENOEXEC`, as under plain Slurm.",
        blame: &[Blame::User],
    },
    ExitCode {
        code: NOT_EXECUTABLE,
        label: "not_executable",
        title: "command not executable",
        meaning: "The command is there, but the user may not execute it. The code is the kernel's `EACCES`, as under plain Slurm.",
        blame: &[Blame::User],
    },
    ExitCode {
        code: QUOTA,
        label: "quota",
        title: "quota",
        meaning: "The Pod would exceed a `ResourceQuota` of its namespace.",
        blame: &[Blame::User, Blame::Cluster],
    },
    ExitCode {
        code: SITE,
        label: "node_setup",
        title: "node not set up",
        meaning: "On the node, `/etc/slurm/k8s.toml`, the kubeconfig, `slurm-k8s-agent` or `slurm-k8s-runtime` is missing, unreadable or wrong. The message names the file.",
        blame: &[Blame::Site],
    },
    ExitCode {
        code: CLUSTER,
        label: "api_server",
        title: "API server",
        meaning: "The Kubernetes API server could not be reached, or it refused the Pod (identity, role, admission policy).",
        blame: &[Blame::Cluster, Blame::Site],
    },
    ExitCode {
        code: IMAGE,
        label: "image",
        title: "image",
        meaning: "The image does not exist, needs a login, has a bad reference, or its registry could not be reached for `kubernetes.pull_timeout`.",
        blame: &[Blame::User, Blame::Cluster],
    },
    ExitCode {
        code: NOT_STARTED,
        label: "not_started",
        title: "Pod not started",
        meaning: "The node could not start the Pod: no grant, an error of the container runtime, refused by the kubelet, evicted before it ran, or not running within `kubernetes.start_timeout`.",
        blame: &[Blame::Cluster, Blame::Site],
    },
    ExitCode {
        code: OPTION,
        label: "option",
        title: "option cannot be met",
        meaning: "An option of the user's cannot be met in this image or at this site, for example a `--k8s-workdir` that is not in the Pod.",
        blame: &[Blame::User],
    },
    ExitCode {
        code: LOST,
        label: "lost",
        title: "lost",
        meaning: "The link to the Pod, or the node, ended without a status: out of memory, evicted, deleted in Kubernetes, the container killed. How the command ended is not known.",
        blame: &[Blame::Cluster, Blame::User, Blame::Bug],
    },
];

/// The word of each row.
#[allow(clippy::indexing_slicing, reason = "when it is compiled")]
pub const LABELS: [&str; EXIT_CODES.len()] = {
    let mut labels = [""; EXIT_CODES.len()];
    let mut at = 0;
    while at < labels.len() {
        labels[at] = EXIT_CODES[at].label;
        at += 1;
    }
    labels
};

/// The row of a code.
#[must_use]
pub fn find(code: u8) -> Option<&'static ExitCode> {
    EXIT_CODES.iter().find(|row| row.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_someone_can_mend_each() {
        assert!(EXIT_CODES.is_sorted_by_key(|row| row.code));
        assert!(EXIT_CODES.iter().all(|row| !row.blame.is_empty()));
        assert_eq!(find(LOST).map(|row| row.title), Some("lost"));
        assert!(find(1).is_none());
    }
}
