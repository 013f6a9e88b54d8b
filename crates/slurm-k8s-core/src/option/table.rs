//! The one table of options.

use super::value::Kind;
use crate::choice::{Batch, Io, Network, Pull};

/// `--k8s-image`.
pub const IMAGE: &str = "k8s-image";
/// `--k8s-profile`.
pub const PROFILE: &str = "k8s-profile";
/// `--k8s-batch`.
pub const BATCH: &str = "k8s-batch";
/// `--k8s-workdir`.
pub const WORKDIR: &str = "k8s-workdir";
/// `--k8s-script`.
pub const SCRIPT: &str = "k8s-script";
/// `--k8s-mounts`.
pub const MOUNTS: &str = "k8s-mounts";
/// `--k8s-mount-home`.
pub const MOUNT_HOME: &str = "k8s-mount-home";
/// `--k8s-env`.
pub const ENV: &str = "k8s-env";
/// `--k8s-entrypoint`.
pub const ENTRYPOINT: &str = "k8s-entrypoint";
/// `--k8s-pull`.
pub const PULL: &str = "k8s-pull";
/// `--k8s-namespace`.
pub const NAMESPACE: &str = "k8s-namespace";
/// `--k8s-priority-class`.
pub const PRIORITY_CLASS: &str = "k8s-priority-class";
/// `--k8s-shm-size`.
pub const SHM_SIZE: &str = "k8s-shm-size";
/// `--k8s-network`.
pub const NETWORK: &str = "k8s-network";
/// `--k8s-readonly`.
pub const READONLY: &str = "k8s-readonly";
/// `--k8s-io`.
pub const IO: &str = "k8s-io";
/// `--k8s-keep`.
pub const KEEP: &str = "k8s-keep";

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Its name, without dashes. One that is on or off also has a twin: `no-` and the name.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What its value is called in `--help`; none takes no value.
    pub value: Option<&'static str>,
    /// One line for `--help`.
    pub usage: &'static str,
    /// What it does; markdown.
    pub doc: &'static str,
    /// The environment variable that gives it when the command line doesn't.
    pub env: &'static str,
    /// What holds without it; markdown.
    pub default: &'static str,
}

impl OptionSpec {
    /// Its name in a script's `#K8S_` lines, without the `#`.
    #[must_use]
    pub fn directive(&self) -> &'static str {
        self.env.strip_prefix("SLURM_").unwrap_or(self.env)
    }
}

/// The table.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: IMAGE,
        kind: Kind::Image,
        value: Some("IMAGE"),
        usage: "run in a Kubernetes Pod with this container image (none: don't)",
        doc: "The image: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. The job's processes run in a Pod on the node that Slurm chose. `none` switches off an image that was inherited, for example from `sbatch`.",
        env: "SLURM_K8S_IMAGE",
        default: "no Pod",
    },
    OptionSpec {
        name: PROFILE,
        kind: Kind::Name,
        value: Some("NAME"),
        usage: "options that the site has put together under this name",
        doc: "One of the `[profiles.NAME]` in the site's config: its values hold for the options that are given in no other way. A profile that has an image does without `--k8s-image`.",
        env: "SLURM_K8S_PROFILE",
        default: "none",
    },
    OptionSpec {
        name: BATCH,
        kind: Kind::Words(Batch::WORDS),
        value: Some("pod|host"),
        usage: "where the batch script runs (srun inside it: always in Pods)",
        doc: "`pod`: the batch script itself runs in a Pod. `host`: it stays on the node, and each `srun` in it inherits the image.",
        env: "SLURM_K8S_BATCH",
        default: "`pod.batch` in the site's config",
    },
    OptionSpec {
        name: WORKDIR,
        kind: Kind::Path,
        value: Some("DIR"),
        usage: "start in this folder of the container",
        doc: "An absolute path in the container. If it is not there, the task fails; the job's own working directory, which holds without this option, is only warned about.",
        env: "SLURM_K8S_WORKDIR",
        default: "the job's working directory",
    },
    OptionSpec {
        name: SCRIPT,
        kind: Kind::Path,
        value: Some("FILE"),
        usage: "the program that the job is about: $K8S_SCRIPT",
        doc: "An absolute path in the container. Every task finds it as `$K8S_SCRIPT`. A batch script without any command runs it, in a Pod: by its `#!` line, or by `python3` if its name ends with `.py`; the batch script's arguments are its own.",
        env: "SLURM_K8S_SCRIPT",
        default: "none",
    },
    OptionSpec {
        name: MOUNTS,
        kind: Kind::Mounts,
        value: Some("SRC:DST[:ro],..."),
        usage: "folders or files of the node to have in the container",
        doc: "Each `SRC` on the node is at `DST` in the container; `ro` keeps it from being written. Only what the user can reach on the node can be mounted, and of that what `policy.mounts` in the site's config allows. No place may be inside of another one, or in a folder of a shared file system that users can change. `\\:` and `\\,` stand for a colon and a comma.",
        env: "SLURM_K8S_MOUNTS",
        default: "the site's own mounts only",
    },
    OptionSpec {
        name: MOUNT_HOME,
        kind: Kind::Switch,
        value: None,
        usage: "have the home folder in the container",
        doc: "The user's home folder, at the same path. `--no-k8s-mount-home` leaves it out, also where the site mounts all homes.",
        env: "SLURM_K8S_MOUNT_HOME",
        default: "as the site's own mounts have it",
    },
    OptionSpec {
        name: ENV,
        kind: Kind::Variables,
        value: Some("NAME[=VALUE],..."),
        usage: "variables for the command, over Slurm's and the image's",
        doc: "`NAME=VALUE` sets a variable. `NAME` alone takes the job's value, where the image's would hold (`PATH` and the like). `\\,` stands for a comma.",
        env: "SLURM_K8S_ENV",
        default: "none",
    },
    OptionSpec {
        name: ENTRYPOINT,
        kind: Kind::Switch,
        value: None,
        usage: "run the command through the image's entrypoint",
        doc: "The image's entrypoint is started with the command as its arguments, as `docker run` does it.",
        env: "SLURM_K8S_ENTRYPOINT",
        default: "off: the command itself",
    },
    OptionSpec {
        name: PULL,
        kind: Kind::Words(Pull::WORDS),
        value: Some("missing|always|never"),
        usage: "when to ask the registry for the image",
        doc: "`missing`: only if the node doesn't have the image. `always`: every time, for tags that move. `never`: the node must have it.",
        env: "SLURM_K8S_PULL",
        default: "`pod.pull` in the site's config",
    },
    OptionSpec {
        name: NAMESPACE,
        kind: Kind::Name,
        value: Some("NAME"),
        usage: "the Kubernetes namespace of the Pod",
        doc: "One of those that `policy.namespaces` in the site's config allows.",
        env: "SLURM_K8S_NAMESPACE",
        default: "`kubernetes.namespace` in the site's config",
    },
    OptionSpec {
        name: PRIORITY_CLASS,
        kind: Kind::Name,
        value: Some("NAME"),
        usage: "the PriorityClass of the Pod",
        doc: "One of those that `policy.priority_classes` in the site's config allows. Slurm alone decides which job runs; the class counts where the kubelet must evict.",
        env: "SLURM_K8S_PRIORITY_CLASS",
        default: "none",
    },
    OptionSpec {
        name: SHM_SIZE,
        kind: Kind::Size,
        value: Some("SIZE"),
        usage: "how large /dev/shm is, for example 8G",
        doc: "With `K`, `M`, `G` or `T`. What is written there counts as the job's memory.",
        env: "SLURM_K8S_SHM_SIZE",
        default: "the job's memory",
    },
    OptionSpec {
        name: NETWORK,
        kind: Kind::Words(Network::WORDS),
        value: Some("pod|host"),
        usage: "an address of its own, or the node's network",
        doc: "`pod`: the Pod has an address of its own. `host`: the node's network, as MPI over fast interconnects needs it, where `policy.host_network` allows it.",
        env: "SLURM_K8S_NETWORK",
        default: "`pod.network` in the site's config",
    },
    OptionSpec {
        name: READONLY,
        kind: Kind::Switch,
        value: None,
        usage: "keep the image's files from being written",
        doc: "The container's root is read-only. `/tmp`, `/dev/shm` and the mounts can still be written.",
        env: "SLURM_K8S_READONLY",
        default: "off",
    },
    OptionSpec {
        name: IO,
        kind: Kind::Words(Io::WORDS),
        value: Some("tee|direct"),
        usage: "tee: output also in `kubectl logs`; direct: only in Slurm",
        doc: "`tee` copies what the tasks write to Slurm and to `kubectl logs`. `direct` gives the tasks Slurm's own files: the fastest way, and `kubectl logs` shows nothing.",
        env: "SLURM_K8S_IO",
        default: "`pod.io` in the site's config",
    },
    OptionSpec {
        name: KEEP,
        kind: Kind::Switch,
        value: None,
        usage: "leave the finished Pod, to look at it",
        doc: "The Pod stays after the job, without any process, for `kubectl describe` and `kubectl logs`. It counts against quotas until somebody deletes it.",
        env: "SLURM_K8S_KEEP",
        default: "off",
    },
];

/// The row of an option, and whether `name` is the twin that switches it off.
pub fn find(name: &str) -> Option<(&'static OptionSpec, bool)> {
    let row = |name: &str| OPTIONS.iter().find(|spec| spec.name == name);
    let twin = || row(name.strip_prefix("no-")?).filter(|spec| spec.kind == Kind::Switch);
    row(name).map(|spec| (spec, false)).or_else(|| twin().map(|spec| (spec, true)))
}
