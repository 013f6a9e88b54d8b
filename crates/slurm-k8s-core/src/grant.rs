//! The grant: what slurmstepd lets one Pod have, and what Kubernetes cannot express.
//!
//! slurmstepd writes it as root before it creates the Pod. The OCI runtime wrapper takes it, once, when the container
//! of that Pod is created. A container of our `RuntimeClass` without a grant does not start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The annotation of the Pod that must equal [`Grant::nonce`].
pub const NONCE_ANNOTATION: &str = "spank-k8s.io/nonce";
/// Where the run folder is in the container.
pub const CONTAINER_RUN_DIR: &str = "/.slurm-k8s";
/// The agent in the container.
pub const CONTAINER_AGENT: &str = "/.slurm-k8s/agent";
/// The Pod's only argument if the image's entrypoint is wanted: containerd puts it behind the entrypoint.
pub const ENTRYPOINT_END: &str = "--";
/// The file in the run folder with the image's entrypoint, each word ended by NUL; only if it is wanted.
pub const ENTRYPOINT_FILE: &str = "entrypoint";
/// The folder in the run folder with Slurm's commands, which only say that they are not for Pods.
pub const COMMANDS: &str = "bin";
/// Slurm's commands that a script may try.
pub const SLURM_COMMANDS: &[&str] = &["srun", "sbatch", "salloc", "scancel", "squeue", "scontrol", "sacct", "sbcast"];
/// The socket in the run folder that the agent connects to.
pub const AGENT_SOCKET: &str = "agent.sock";
/// The socket in the run folder that the shims connect to.
pub const SHIM_SOCKET: &str = "shim.sock";
/// The file in the run folder with the link's token; only the job's user can read it.
pub const TOKEN_FILE: &str = "token";

/// The file in the run folder that is the container's `/etc/passwd`.
pub const PASSWD_FILE: &str = "passwd";
/// The file in the run folder that is the container's `/etc/group`.
pub const GROUP_FILE: &str = "group";
/// The file in the run folder with the id of the container that took the grant, or of the Pod where none is taken.
pub const CONTAINER_FILE: &str = "container";

/// One Pod's grant. JSON in `<run>/grants/<namespace>/<pod>.json`, mode 0600, in folders only root can enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The Pod's namespace.
    pub namespace: String,
    /// The Pod's name.
    pub pod: String,
    /// A random value for this slurmstepd; the Pod carries it as an annotation.
    pub nonce: String,
    /// The user's id, on the host and in the container.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
    /// The user's supplementary groups: exactly these, whatever the image's `/etc/group` says.
    pub groups: Vec<u32>,
    /// The lines that `/etc/passwd` and `/etc/group` get for this user.
    pub identity: Identity,
    /// Resource limits by their OCI name (`RLIMIT_NOFILE`).
    pub rlimits: BTreeMap<String, Limit>,
    /// What the container's environment says, whatever the image does: the GPU runtime reads it.
    pub env: BTreeMap<String, String>,
    /// Whether the image's entrypoint is wanted.
    pub entrypoint: bool,
    /// `oom_score_adj` of the container's first process.
    pub oom_score_adj: Option<i32>,
    /// The size of `/dev/shm` in bytes; none leaves the runtime's 64 MiB.
    pub shm_bytes: Option<u64>,
    /// The Pod's run folder on the host, bound read-only at [`CONTAINER_RUN_DIR`].
    pub run_dir: PathBuf,
    /// The agent's binary on the host, bound read-only at [`CONTAINER_AGENT`].
    pub agent: PathBuf,
    /// What else is mounted.
    pub mounts: Vec<Mount>,
}

/// A user's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The login name.
    pub user: String,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
    /// The real name field.
    pub gecos: String,
    /// Group names by id; ids without a name are left out.
    pub groups: BTreeMap<u32, String>,
}

/// A resource limit; none is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What the kernel enforces.
    pub soft: Option<u64>,
    /// What the process may raise it to.
    pub hard: Option<u64>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where it comes from: a path that nobody but the admin and slurmstepd can change. Mounts below it follow (rslave).
    pub source: PathBuf,
    /// Where it is in the container; absolute.
    pub target: PathBuf,
    /// Whether it is read-only.
    pub read_only: bool,
}

#[cfg(test)]
pub(crate) fn sample() -> Grant {
    Grant {
        namespace: "jobs".into(),
        pod: "p".into(),
        nonce: "n".into(),
        uid: 1000,
        gid: 1000,
        groups: vec![1000, 6000],
        identity: Identity {
            user: "alice".into(),
            home: "/home/alice".into(),
            shell: "/bin/bash".into(),
            gecos: String::new(),
            groups: [(1000, "alice".to_owned()), (6000, "team".to_owned())].into(),
        },
        rlimits: BTreeMap::new(),
        env: BTreeMap::new(),
        entrypoint: false,
        oom_score_adj: None,
        shm_bytes: None,
        run_dir: "/run/slurm-k8s/pods/p-n".into(),
        agent: "/usr/libexec/slurm-k8s/slurm-k8s-agent".into(),
        mounts: Vec::new(),
    }
}
