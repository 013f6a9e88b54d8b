//! The one table of options.

/// `--k8s-image`.
pub const IMAGE: &str = "k8s-image";
/// `--k8s-workdir`.
pub const WORKDIR: &str = "k8s-workdir";
/// `--k8s-io`.
pub const IO: &str = "k8s-io";
/// `--k8s-pull`.
pub const PULL: &str = "k8s-pull";
/// `--k8s-batch`.
pub const BATCH: &str = "k8s-batch";

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Its name, without dashes.
    pub name: &'static str,
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

/// The table.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: IMAGE,
        value: Some("IMAGE"),
        usage: "run in a Kubernetes Pod with this container image (none: don't)",
        doc: "The image: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. The job's processes run in a Pod on the node that Slurm chose. `none` switches off an image that was inherited, for example from `sbatch`.",
        env: "SLURM_K8S_IMAGE",
        default: "no Pod",
    },
    OptionSpec {
        name: WORKDIR,
        value: Some("DIR"),
        usage: "start in this folder of the container",
        doc: "An absolute path in the container. If it is not there, the task fails; the job's own working directory, which holds without this option, is only warned about.",
        env: "SLURM_K8S_WORKDIR",
        default: "the job's working directory",
    },
    OptionSpec {
        name: IO,
        value: Some("tee|direct"),
        usage: "tee: output also in `kubectl logs`; direct: only in Slurm",
        doc: "`tee` copies what the tasks write to Slurm and to `kubectl logs`. `direct` gives the tasks Slurm's own files: the fastest way, and `kubectl logs` shows nothing.",
        env: "SLURM_K8S_IO",
        default: "`pod.io` in the site's config",
    },
    OptionSpec {
        name: PULL,
        value: Some("missing|always|never"),
        usage: "when to ask the registry for the image",
        doc: "`missing`: only if the node doesn't have the image. `always`: every time, for tags that move. `never`: the node must have it.",
        env: "SLURM_K8S_PULL",
        default: "`pod.pull` in the site's config",
    },
    OptionSpec {
        name: BATCH,
        value: Some("pod|host"),
        usage: "where the batch script runs (srun inside it: always in Pods)",
        doc: "`pod`: the batch script itself runs in a Pod. `host`: it stays on the node, and each `srun` in it inherits the image.",
        env: "SLURM_K8S_BATCH",
        default: "`pod.batch` in the site's config",
    },
];

/// The row of an option.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.name == name)
}
