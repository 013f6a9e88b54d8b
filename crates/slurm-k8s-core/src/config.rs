//! `/etc/slurm/k8s.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::choice::{Batch, HookUser, Io, Network, Pull, Requests, Requirement, SignalScope, Way};
use crate::profile::Profile;
use crate::user_namespace;

mod check;
mod error;
mod key;
mod results;

pub use error::ConfigError;
pub use key::{KEYS, Key, sample};
pub use results::{AfterJob, Results};

/// Where the config is.
pub const PATH: &str = "/etc/slurm/k8s.toml";

/// The whole config; every key has a default. [`KEYS`] says what each means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The label `cluster` of Pods.
    pub cluster: String,
    /// Kubernetes.
    pub kubernetes: Kubernetes,
    /// Folders on the node.
    pub paths: Paths,
    /// What Pods are like.
    pub pod: Pods,
    /// GPUs and network cards.
    pub gres: Gres,
    /// What users may ask for.
    pub policy: Policy,
    /// What jobs must have.
    pub submit: Submit,
    /// What jobs leave behind.
    pub results: Results,
    /// What is run after each.
    pub after_job: AfterJob,
    /// Registries, as validate asks them.
    pub registry: Registries,
    /// Signals.
    pub signal: Signals,
    /// The node's log.
    pub log: Log,
    /// The submit folder.
    pub watch: Watch,
    /// Options under a name.
    pub profiles: BTreeMap<String, Profile>,
}

/// `[kubernetes]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// The node's identity; only root can read it.
    pub kubeconfig: PathBuf,
    /// Where Pods are made.
    pub namespace: String,
    /// How grants get into containers.
    pub way: Way,
    /// Whether each user's are made in a namespace of their own instead.
    pub namespace_per_user: bool,
    /// `NAME=QUANTITY` for each such namespace.
    pub user_quota: Vec<String>,
    /// Whether only a user's own Pods reach each other.
    pub user_network_policy: bool,
    /// The `RuntimeClass` whose runtime takes grants.
    pub runtime_class: String,
    /// Whether the container runtime knows `supplementalGroupsPolicy: Strict`.
    pub strict_groups: bool,
    /// For one request to the API server.
    #[serde(with = "crate::duration::serde_text")]
    pub request_timeout: Duration,
    /// From the first request to the first process; pulling the image included.
    #[serde(with = "crate::duration::serde_text")]
    pub start_timeout: Duration,
    /// How long creating the Pod is tried again.
    #[serde(with = "crate::duration::serde_text")]
    pub api_timeout: Duration,
    /// How long failed pulls that may be transient are tried again.
    #[serde(with = "crate::duration::serde_text")]
    pub pull_timeout: Duration,
    /// The node's name in Kubernetes, if it is not the one in Slurm.
    pub node_name: Option<String>,
    /// What the kubelet books per Pod.
    pub requests: Requests,
    /// Cores, if that is fixed.
    pub cpu_request: String,
    /// Bytes, if that is fixed.
    pub memory_request: String,
}

/// `[paths]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// The agent and the runtime wrapper.
    pub libexec: PathBuf,
    /// Grants and run folders.
    pub run: PathBuf,
    /// The log.
    pub log: PathBuf,
}

impl Paths {
    /// The binary that is the shim on the host and the agent in the container.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.libexec.join(crate::honour::SHIM)
    }

    /// The OCI runtime wrapper.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.libexec.join("slurm-k8s-runtime")
    }
}

/// `[pod]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pods {
    /// Shared file systems that every Pod has at the same path.
    pub mounts: Vec<PathBuf>,
    /// Without `--k8s-io`.
    pub io: Io,
    /// Without `--k8s-batch`.
    pub batch: Batch,
    /// Without `--k8s-pull`.
    pub pull: Pull,
    /// The Pods' network.
    pub network: Network,
    /// Whether tasks get the variables to meet by.
    pub rendezvous: bool,
    /// The admin's Pod template.
    pub template: Option<PathBuf>,
}

/// `[gres]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gres {
    /// The extended resource for Slurm's `gpu`; none gives the container the very GPUs that Slurm chose.
    pub gpu: Option<String>,
    /// The extended resource for Slurm's `nic`; none is that Kubernetes is asked for none.
    pub nic: Option<String>,
    /// The variables in which GPU runtimes read which GPUs a container gets.
    pub variables: Vec<String>,
}

/// `[policy]`: checked by [`crate::policy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Patterns of images; none allows all.
    pub images: Vec<String>,
    /// Only images with a digest.
    pub digest_only: bool,
    /// Folders that users may mount from, besides the site's own mounts.
    pub mounts: Vec<PathBuf>,
    /// Namespaces besides the configured one.
    pub namespaces: Vec<String>,
    /// Priority classes.
    pub priority_classes: Vec<String>,
    /// Whether `--k8s-network=host` is allowed.
    pub host_network: bool,
    /// Whether root may have Pods.
    pub root: bool,
}

/// `[submit]`: checked by [`crate::requirement`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// What the job of a Pod must ask Slurm for.
    pub require: Vec<Requirement>,
}

/// `[registry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registries {
    /// `HOST[:PORT]` of those that speak HTTP without TLS.
    pub plain_http: Vec<String>,
}

/// `[signal]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signals {
    /// Whom a signal goes to.
    pub scope: SignalScope,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Size in bytes at which the file is rotated.
    pub max_bytes: u64,
    /// Old files that are kept.
    pub keep: u32,
}

/// `[watch]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// It has `submit`, and the folders that files go through.
    pub folder: PathBuf,
    /// How often it is looked at when nothing tells of a change.
    #[serde(with = "crate::duration::serde_text")]
    pub poll: Duration,
    /// How long a file has to stay as it is.
    #[serde(with = "crate::duration::serde_text")]
    pub settle: Duration,
    /// Owners with a smaller number are refused.
    pub min_uid: u32,
    /// Whose members may submit; none lets all.
    pub groups: Vec<String>,
    /// Where jobs begin, if not in their owner's home.
    pub start_in: Option<PathBuf>,
    /// For one call of sbatch.
    #[serde(with = "crate::duration::serde_text")]
    pub submit_timeout: Duration,
    /// After this time without a sign of life another watcher takes over.
    #[serde(with = "crate::duration::serde_text")]
    pub lease: Duration,
    /// The file for `node_exporter`.
    pub metrics: Option<PathBuf>,
}

impl Config {
    /// The namespace of a user's Pods, unless the user asks for another.
    #[must_use]
    pub fn namespace_of(&self, uid: u32) -> String {
        if self.kubernetes.namespace_per_user { user_namespace::name(uid) } else { self.kubernetes.namespace.clone() }
    }

    /// Reads and checks a config.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let lines = key::Lines::of(text)?;
        lines.check_known()?;
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::value(text, &error))?;
        check::check(&config).map_err(|fault| ConfigError::Invalid {
            line: lines.line(fault.key),
            key: fault.key,
            shown: fault.shown,
            reason: fault.reason,
        })?;
        for (name, profile) in &config.profiles {
            let section = format!("profiles.{name}");
            if !crate::option::is_name(name) {
                let reason = format!("{section}: is not a name: at most 63 of a-z, 0-9 and '-'");
                return Err(ConfigError::Value { line: lines.line(&section), reason });
            }
            profile.limits().map_err(|(key, reason)| {
                let key = format!("{section}.{key}");
                ConfigError::Value { line: lines.line(&key), reason: format!("{key}: {reason}") }
            })?;
            profile.options().map_err(|(key, error)| {
                let reason = error.to_string();
                // The key stands in front of it anyway.
                let reason = reason.split_once(": ").map_or(reason.clone(), |(_, reason)| reason.to_owned());
                let key = format!("{section}.{key}");
                ConfigError::Value { line: lines.line(&key), reason: format!("{key}: {reason}") }
            })?;
        }
        Ok(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "slurm".into(),
            kubernetes: Kubernetes::default(),
            paths: Paths::default(),
            pod: Pods::default(),
            gres: Gres::default(),
            policy: Policy::default(),
            submit: Submit::default(),
            results: Results::default(),
            after_job: AfterJob::default(),
            registry: Registries::default(),
            signal: Signals::default(),
            log: Log::default(),
            watch: Watch::default(),
            profiles: BTreeMap::new(),
        }
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: "/etc/slurm/k8s.kubeconfig".into(),
            namespace: "slurm-jobs".into(),
            way: Way::Runtime,
            namespace_per_user: false,
            user_quota: Vec::new(),
            user_network_policy: false,
            runtime_class: "slurm-k8s".into(),
            strict_groups: false,
            request_timeout: Duration::from_secs(2),
            start_timeout: Duration::from_mins(10),
            api_timeout: Duration::from_secs(60),
            pull_timeout: Duration::from_mins(1),
            node_name: None,
            requests: Requests::Fixed,
            cpu_request: "10m".into(),
            memory_request: "16Mi".into(),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            libexec: "/usr/libexec/slurm-k8s".into(),
            run: "/run/slurm-k8s".into(),
            log: "/var/log/slurm-k8s".into(),
        }
    }
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            mounts: Vec::new(),
            io: Io::Tee,
            batch: Batch::Pod,
            pull: Pull::Missing,
            network: Network::Pod,
            rendezvous: true,
            template: None,
        }
    }
}

impl Default for Gres {
    fn default() -> Self {
        Self { gpu: None, nic: None, variables: vec!["NVIDIA_VISIBLE_DEVICES".into(), "AMD_VISIBLE_DEVICES".into()] }
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self { scope: SignalScope::Auto }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { max_bytes: 10 << 20, keep: 3 }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            folder: "/mnt/nas/slurm-jobs".into(),
            poll: Duration::from_secs(5),
            settle: Duration::from_secs(2),
            min_uid: 1000,
            groups: Vec::new(),
            start_in: None,
            submit_timeout: Duration::from_secs(60),
            lease: Duration::from_mins(5),
            metrics: None,
        }
    }
}

#[cfg(test)]
mod tests;
