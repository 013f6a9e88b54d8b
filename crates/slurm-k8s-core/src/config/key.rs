//! The one table of keys, and where a text has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, line_of};
use crate::option::PROFILE;
use crate::shown::nearest;
use crate::{limit, profile};

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name with its section: `kubernetes.namespace`.
    pub name: &'static str,
    /// What it takes.
    pub kind: &'static str,
    /// What holds without it, as TOML; none is that nothing is set.
    pub default: Option<&'static str>,
    /// What it does; markdown.
    pub doc: &'static str,
}

const fn key(name: &'static str, kind: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default: Some(default), doc }
}

/// The table, in the order of the file.
pub const KEYS: &[Key] = &[
    key("cluster", "text", r#""slurm""#, "The name of this Slurm cluster: the label `cluster` of every Pod."),
    key(
        "kubernetes.kubeconfig",
        "path",
        r#""/etc/slurm/k8s.kubeconfig""#,
        "The node's own identity. Only root may read it. Exec plugins cannot be used in it: slurmstepd would reap them.",
    ),
    key("kubernetes.namespace", "name", r#""slurm-jobs""#, "The namespace that Pods are made in."),
    key(
        "kubernetes.way",
        "runtime, host-path",
        r#""runtime""#,
        "How Slurm's grants get into containers. `runtime`: by `slurm-k8s-runtime`, behind a RuntimeClass. `host-path`: by volumes, to try spank-k8s out without a change to containerd; what it lacks is in the operator's guide.",
    ),
    key(
        "kubernetes.namespace_per_user",
        "true, false",
        "false",
        "Whether each user's Pods are made in `user-<uid>` instead. `slurm-k8s namespace ensure` makes it: see `deploy/per-user`.",
    ),
    key(
        "kubernetes.user_quota",
        "list of NAME=QUANTITY",
        "[]",
        "The ResourceQuota of each such namespace (`[\"requests.cpu=32\", \"limits.memory=128Gi\", \"requests.nvidia.com/gpu=4\"]`). It counts what the kubelet books, which is little unless `kubernetes.requests` says otherwise; Slurm's own limits (`sacctmgr`, GrpTRES) hold in every case.",
    ),
    key(
        "kubernetes.user_network_policy",
        "true, false",
        "false",
        "Whether each such namespace has a NetworkPolicy by which only the user's own Pods reach each other. The cluster's network must enforce it.",
    ),
    key(
        "kubernetes.runtime_class",
        "name",
        r#""slurm-k8s""#,
        "The RuntimeClass whose runtime is `slurm-k8s-runtime`. Without it no container gets what Slurm granted.",
    ),
    key(
        "kubernetes.strict_groups",
        "true, false",
        "false",
        "With `way = \"host-path\"`: whether Pods have `supplementalGroupsPolicy: Strict`, which the node's container runtime must know (containerd 2). Without it, an image that puts the user into more groups than Slurm does is refused.",
    ),
    key(
        "kubernetes.request_timeout",
        "duration, 100ms to 10s",
        r#""2s""#,
        "For one request to the API server. The first one holds up the start of the step's tasks: keep it short.",
    ),
    key(
        "kubernetes.start_timeout",
        "duration, at least 1s",
        r#""10m""#,
        "From the first request to the first process; pulling the image is part of it.",
    ),
    key(
        "kubernetes.api_timeout",
        "duration",
        r#""1m""#,
        "How long creating the Pod is tried again while the API server is down, overloaded or does not answer.",
    ),
    key(
        "kubernetes.pull_timeout",
        "duration",
        r#""1m""#,
        "How long failed pulls that may succeed later (registry unreachable, time-outs) are tried again. An image that does not exist fails at once.",
    ),
    Key {
        name: "kubernetes.node_name",
        kind: "name",
        default: None,
        doc: "This node's name in Kubernetes, if it is not its name in Slurm.",
    },
    key(
        "kubernetes.requests",
        "fixed, allocated",
        r#""fixed""#,
        "What the kubelet books for each Pod. `fixed`: `cpu_request` and `memory_request`, which are small: Slurm decides what fits, and the kubelet refuses nothing. `allocated`: the cores and the memory that Slurm gave the step on the node, so that Kubernetes' quotas and tools see them. Steps that share what they have (`--overlap`) are then refused by the kubelet, and so is what does not fit into the node's allocatable: keep RealMemory and the cores in slurm.conf below it.",
    ),
    key("kubernetes.cpu_request", "quantity of cores", r#""10m""#, "With `fixed`, and where Slurm names no cores."),
    key(
        "kubernetes.memory_request",
        "quantity of bytes",
        r#""16Mi""#,
        "With `fixed`, and where Slurm names no memory. The limit is what Slurm allocated, whatever stands here.",
    ),
    key(
        "paths.libexec",
        "path",
        r#""/usr/libexec/slurm-k8s""#,
        "Where `slurm-k8s-agent` and `slurm-k8s-runtime` are installed.",
    ),
    key(
        "paths.run",
        "path",
        r#""/run/slurm-k8s""#,
        "Grants and the Pods' run folders: a tmpfs of its own with limits on size and inodes.",
    ),
    key("paths.log", "path", r#""/var/log/slurm-k8s""#, "The folder of the node's log of job phases."),
    key(
        "pod.mounts",
        "list of paths",
        "[]",
        "The shared file systems (`[\"/home\", \"/mnt/nas\"]`). Every Pod has them at the same path, with what is mounted below them. Only folders that users cannot replace belong here.",
    ),
    key(
        "pod.io",
        "tee, direct",
        r#""tee""#,
        "Without `--k8s-io`: `tee` shows the output in `kubectl logs` too, `direct` gives tasks Slurm's own files.",
    ),
    key(
        "pod.batch",
        "pod, host",
        r#""pod""#,
        "Without `--k8s-batch`: whether batch scripts run in the Pod or stay on the node.",
    ),
    key("pod.pull", "missing, always, never", r#""missing""#, "Without `--k8s-pull`: when the registry is asked."),
    key(
        "pod.network",
        "pod, host",
        r#""pod""#,
        "`pod`: each Pod has an address of its own. `host`: the node's network, as MPI over fast interconnects needs it.",
    ),
    key(
        "pod.rendezvous",
        "true, false",
        "true",
        "Whether the tasks of `srun` get the variables to meet by (environment.md). On the other nodes of a step they start when the Pod on the first one has its address, up to a second later.",
    ),
    Key {
        name: "pod.template",
        kind: "path",
        default: None,
        doc: "A Pod in YAML that is merged under ours, for example with tolerations, labels, `imagePullSecrets` or more variables of the container `job`. What we make holds where both say something. It must be readable on every host.",
    },
    Key {
        name: "gres.gpu",
        kind: "name of an extended resource",
        default: None,
        doc: "The resource, for example `nvidia.com/gpu`, of which a Pod asks for as many as Slurm gave the step GPUs here; a device plugin chooses them. Without it a container gets the very GPUs that Slurm chose, by `gres.variables`.",
    },
    Key {
        name: "gres.nic",
        kind: "name of an extended resource",
        default: None,
        doc: "The same for Slurm's `nic`, for example `rdma/hca`: a Pod asks for as many as Slurm gave the step here. gres.conf needs `File=` for them. Slurm tells of no other resource how many a step has on a node.",
    },
    key(
        "gres.variables",
        "list of names",
        r#"["NVIDIA_VISIBLE_DEVICES", "AMD_VISIBLE_DEVICES"]"#,
        "The container's variables in which a GPU runtime behind `slurm-k8s-runtime` reads the GPUs. They are always set, whatever the image says: `void` without GPUs. An empty list leaves them to the image.",
    ),
    key(
        "policy.images",
        "list of patterns",
        "[]",
        "The images that jobs may have, by registry and path without tag (`nas-hub.local:5407/*`; `*` is anything). An image without a host is `docker.io/library/NAME`. An empty list allows all.",
    ),
    key("policy.digest_only", "true, false", "false", "Only images that are named with their digest."),
    key(
        "policy.mounts",
        "list of paths",
        "[]",
        "The folders of the node that `--k8s-mounts` may take from, besides `pod.mounts`. Whatever stands here, users mount only what they can reach themselves.",
    ),
    key(
        "policy.namespaces",
        "list of names",
        "[]",
        "The namespaces for `--k8s-namespace`, besides `kubernetes.namespace`. The nodes' role must hold in each.",
    ),
    key("policy.priority_classes", "list of names", "[]", "The classes for `--k8s-priority-class`."),
    key(
        "policy.host_network",
        "true, false",
        "false",
        "Whether jobs may have the node's network by `--k8s-network=host`.",
    ),
    key("policy.root", "true, false", "false", "Whether root's jobs may run in Pods."),
    key(
        "submit.require",
        "list of account, cpus-per-task, mem, output, partition, time",
        "[]",
        "What the job of a Pod must ask Slurm for, on sbatch's command line or in `#SBATCH` lines; slurmctld refuses a job without it. `output` counts for batch scripts only.",
    ),
    Key {
        name: "results.folder",
        kind: "path",
        default: None,
        doc: "Each job of a Pod has a folder in it, by its number (`123`, or `123_4` for a task of an array), that is made when the job starts. A batch job without `--output` writes to `stdout.log` there, and to `stderr.log` without `--error`; `$K8S_OUTPUT_DIR` is the folder `outputs` there. It must be in one of `pod.mounts`, on every host, and writable for users or for root of the nodes.",
    },
    key(
        "results.poll",
        "duration, 100ms to 10m",
        r#""10s""#,
        "How often `slurm-k8s collect` looks for jobs that have ended. While there are some, each look is one call of squeue.",
    ),
    key("results.parallel", "number, 1 to 64", "2", "How many jobs are collected at once."),
    key(
        "results.copy",
        "quantity of bytes",
        r#""1Gi""#,
        "What a job has written to output files of its own choice is copied to `stdout.log` and `stderr.log` up to this size. `0` copies none.",
    ),
    key(
        "results.patience",
        "duration",
        r#""24h""#,
        "How long a job is tried that cannot be collected, because the file system is full for example.",
    ),
    key(
        "results.accounting",
        "true, false",
        "true",
        "Whether what a job used goes to its `AdminComment` in Slurm's accounting (`sacct --format=JobID,AdminComment`), unless something else stands there. The collector's user must be an operator in slurmdbd, as `SlurmUser` is.",
    ),
    Key {
        name: "results.metrics",
        kind: "path",
        default: None,
        doc: "A file for node_exporter's textfile collector (`/var/lib/prometheus/node-exporter/slurm_k8s_collect.prom`), replaced by rename.",
    },
    key(
        "after_job.run",
        "list of paths",
        "[]",
        "Programs that `slurm-k8s collect` runs one after the other when a job is collected, for a notification or an archive. Their environment is in environment.md. Whatever they do, the job's result stays. After a crash of the collector one may run again for the same job.",
    ),
    key(
        "after_job.user",
        "job, service",
        r#""job""#,
        "Whom they run as: the job's user, or the collector's without its rights to become others.",
    ),
    key(
        "after_job.timeout",
        "duration, 1s to 24h",
        r#""5m""#,
        "Each is killed after so long, with all that it has started.",
    ),
    key(
        "registry.plain_http",
        "list of HOST[:PORT]",
        "[]",
        "The registries that speak HTTP without TLS (`[\"nas-hub.local:5407\"]`), for `slurm-k8s validate --check-image`. The nodes' container runtime has its own list.",
    ),
    key(
        "signal.scope",
        "auto, task, tree",
        r#""auto""#,
        "Whom a signal goes to: the task's first process (`task`), every process (`tree`), or as `ProctrackType` in slurm.conf would have it (`auto`).",
    ),
    key("log.max_bytes", "number, at least 4096", "10485760", "The size in bytes at which the log is rotated."),
    key("log.keep", "number", "3", "How many old logs are kept."),
    key(
        "watch.folder",
        "path",
        r#""/mnt/nas/slurm-jobs""#,
        "For `slurm-k8s watch` on the controller: users put batch scripts into `submit` in it, and find them in `processed` or `failed`. It belongs to the user that the watcher runs as.",
    ),
    key(
        "watch.poll",
        "duration, 100ms to 5m",
        r#""5s""#,
        "How often `submit` is looked at. What is written on this host is seen at once; what other hosts write is not told.",
    ),
    key(
        "watch.settle",
        "duration, 100ms to 10m",
        r#""2s""#,
        "A file is taken when its size and times have stayed the same for so long. An empty one must stay so ten times as long.",
    ),
    key("watch.min_uid", "number, at least 1", "1000", "Files of users with a smaller number are refused."),
    key(
        "watch.groups",
        "list of names",
        "[]",
        "Only files of these groups' members are submitted. An empty list lets every user submit.",
    ),
    Key {
        name: "watch.start_in",
        kind: "path",
        default: None,
        doc: "The folder in which the jobs begin. Without it, each begins in its owner's home.",
    },
    key(
        "watch.submit_timeout",
        "duration, 1s to 10m",
        r#""1m""#,
        "For one call of sbatch. It should be longer than `MessageTimeout` in slurm.conf.",
    ),
    key(
        "watch.lease",
        "duration, at least twice submit_timeout",
        r#""5m""#,
        "What a watcher has taken goes to another one when it has shown no sign of life for so long; on the same host as soon as its process is gone.",
    ),
    Key {
        name: "watch.metrics",
        kind: "path",
        default: None,
        doc: "A file for node_exporter's textfile collector (`/var/lib/prometheus/node-exporter/slurm_k8s_watch.prom`), replaced by rename.",
    },
];

/// An annotated config with every key at its default.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from("# /etc/slurm/k8s.toml: spank-k8s. Every key is here, with its default.\n");
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != of {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        } else if section.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "# {} ({})", key.doc, key.kind);
        let _ = match key.default {
            Some(value) => writeln!(text, "{name} = {value}"),
            None => writeln!(text, "#{name} = \"\""),
        };
    }
    text.push_str(&format!("\n# Options under a name, for --{PROFILE}=NAME.\n#[profiles.gpu1]\n"));
    for (name, spec) in profile::keys() {
        text.push_str(&format!("# --{}: {}\n#{name} = \"\"\n", spec.name, spec.usage));
    }
    text.push_str("# In place of pod.template.\n#template = \"\"\n");
    for (name, kind, doc) in limit::KEYS {
        text.push_str(&format!("# {doc} ({kind})\n#{name} =\n"));
    }
    text
}

fn known_in_profile(key: &str) -> bool {
    key == "template" || limit::KEYS.iter().any(|(name, ..)| *name == key) || profile::option_of(key).is_some()
}

/// `profiles`, a profile, or one of its keys.
fn in_profile(name: &str) -> bool {
    let mut parts = name.splitn(3, '.');
    let (first, _, key) = (parts.next(), parts.next(), parts.next());
    first == Some("profiles") && key.is_none_or(known_in_profile)
}

/// The keys of a text, with their lines from 1.
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Parses the text.
    pub(super) fn of(text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::syntax(text, &error))?;
        let mut lines = BTreeMap::new();
        collect(text, "", table.get_ref(), &mut lines);
        Ok(Self(lines))
    }

    /// The line of a key; 1 if it is not there.
    pub(super) fn line(&self, key: &str) -> usize {
        self.0.get(key).copied().unwrap_or(1)
    }

    /// Refuses the first unknown key.
    pub(super) fn check_known(&self) -> Result<(), ConfigError> {
        let known = |name: &str| {
            KEYS.iter().any(|key| key.name == name) || sections().any(|section| section == name) || in_profile(name)
        };
        let unknown = self.0.iter().filter(|(name, _)| !known(name));
        let Some((name, line)) = unknown.min_by_key(|(_, line)| **line) else {
            return Ok(());
        };
        Err(ConfigError::UnknownKey { line: *line, key: name.escape_debug().to_string(), nearest: nearest_key(name) })
    }
}

fn collect(text: &str, section: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let name = match section {
            "" => key.get_ref().to_string(),
            section => format!("{section}.{}", key.get_ref()),
        };
        lines.insert(name.clone(), line_of(text, Some(key.span())));
        if let DeValue::Table(table) = value.get_ref() {
            collect(text, &name, table, lines);
        }
    }
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0))
}

/// A key of the same last part in another section, or what is spelt most alike.
fn nearest_key(name: &str) -> Option<&'static str> {
    let options = || profile::keys().map(|(_, spec)| spec.name.trim_start_matches("k8s-"));
    let alike_in = |key| nearest(key, options().chain(limit::KEYS.iter().map(|(name, ..)| *name)));
    if let Some(key) = name.strip_prefix("profiles.").and_then(|rest| Some(rest.split_once('.')?.1)) {
        return alike_in(key);
    }
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let moved = KEYS.iter().find(|key| last(key.name) == last(name));
    let alike = || nearest(name, KEYS.iter().map(|key| key.name).chain(sections()));
    moved.map(|key| key.name).or_else(alike)
}
