//! From a step to its Pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use crate::choice::{Network, Pull};
use crate::grant::{CONTAINER_AGENT, ENTRYPOINT_END, Grant, NONCE_ANNOTATION};
use crate::image::ImageRef;
use crate::{label, name, quantity, rendezvous};

mod host_path;

/// The one container of our Pods.
pub const CONTAINER: &str = "job";
/// The taint that keeps other Pods off nodes that belong to Slurm.
pub const TAINT: &str = "slurm-k8s";

/// How Slurm's grant gets into the container.
#[derive(Debug, Clone)]
pub enum WayIn {
    /// By the `RuntimeClass` whose runtime takes grants.
    Runtime {
        /// Its name.
        class: String,
    },
    /// By volumes of the node.
    HostPath {
        /// What it carries.
        grant: Box<Grant>,
        /// Whether the container runtime knows `supplementalGroupsPolicy: Strict` (KEP-3619).
        strict_groups: bool,
    },
}

/// All that a Pod is made of.
#[derive(Debug, Clone)]
pub struct PodRequest {
    /// The namespace.
    pub namespace: String,
    /// The Pod's name: [`name::pod`].
    pub name: String,
    /// A random value for this slurmstepd.
    pub nonce: String,
    /// The node's name in Kubernetes.
    pub node: String,
    /// The image.
    pub image: ImageRef,
    /// When to pull it.
    pub pull: Pull,
    /// The job.
    pub job_id: u32,
    /// The step, with Slurm's special numbers.
    pub step_id: u32,
    /// This node's index in the step.
    pub node_index: u32,
    /// What the Pods of one launch of the step have in common.
    pub launch: Option<String>,
    /// The array job and the task in it.
    pub array: Option<(u32, u32)>,
    /// The login name.
    pub user: String,
    /// The user's id.
    pub uid: u32,
    /// The user's group for this job.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The memory that Slurm allocated here, in bytes; none is no limit.
    pub memory_bytes: Option<u64>,
    /// Extended resources, with how many of each.
    pub extended: Vec<(String, u64)>,
    /// The Slurm cluster's name.
    pub cluster: String,
    /// How Slurm's grant gets in.
    pub way: WayIn,
    /// The Pod's network.
    pub network: Network,
    /// The priority class, if the user chose one.
    pub priority_class: Option<String>,
    /// Whether the image's files can't be written.
    pub readonly: bool,
    /// Whether the command is started by the image's entrypoint.
    pub entrypoint: bool,
    /// Whether the finished Pod stays.
    pub keep: bool,
    /// Time between SIGTERM and SIGKILL if somebody else deletes the Pod.
    pub grace: Duration,
    /// What the kubelet books, as a Kubernetes quantity of cores.
    pub cpu_request: String,
    /// What the kubelet books, as a Kubernetes quantity of bytes; lowered to the limit.
    pub memory_request: String,
}

/// The Pod to create. By our runtime it has no volume: mounts come with the grant, and the kubelet's volume manager would
/// cost 300 ms.
#[must_use]
pub fn build(request: &PodRequest) -> Pod {
    Pod { metadata: metadata(request), spec: Some(spec(request)), status: None }
}

fn metadata(request: &PodRequest) -> ObjectMeta {
    let mut labels = vec![
        (label::APP, label::APP_VALUE.to_owned()),
        (label::JOB_ID, request.job_id.to_string()),
        (label::STEP_ID, name::step_label(request.step_id)),
        (label::NODE_INDEX, request.node_index.to_string()),
        (label::USER, label::value(&request.user)),
        (label::CLUSTER, label::value(&request.cluster)),
    ];
    if let Some((job, task)) = request.array {
        labels.push((label::ARRAY_JOB_ID, job.to_string()));
        labels.push((label::ARRAY_TASK_ID, task.to_string()));
    }
    if let Some(launch) = &request.launch {
        labels.push((label::LAUNCH, label::value(launch)));
    }
    let mut annotations =
        vec![(NONCE_ANNOTATION, request.nonce.clone()), (label::IMAGE_ANNOTATION, request.image.to_string())];
    if request.keep {
        annotations.push((label::KEEP_ANNOTATION, "true".into()));
    }
    ObjectMeta {
        namespace: Some(request.namespace.clone()),
        name: Some(request.name.clone()),
        labels: Some(map(labels)),
        annotations: Some(map(annotations)),
        ..ObjectMeta::default()
    }
}

fn spec(request: &PodRequest) -> PodSpec {
    let mut container = container(request);
    let (class, volumes) = match &request.way {
        WayIn::Runtime { class } => (Some(class.clone()), None),
        WayIn::HostPath { grant, .. } => {
            let (volumes, mounts) = host_path::volumes(grant);
            container.volume_mounts = Some(mounts);
            container.env.get_or_insert_default().extend(host_path::environment(grant));
            (None, Some(volumes))
        }
    };
    PodSpec {
        node_name: Some(request.node.clone()),
        runtime_class_name: class,
        volumes,
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: i64::try_from(request.grace.as_secs()).ok(),
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        dns_policy: Some("Default".into()),
        host_network: (request.network == Network::Host).then_some(true),
        priority_class_name: request.priority_class.clone(),
        tolerations: Some(tolerations()),
        security_context: Some(identity(request)),
        containers: vec![container],
        ..PodSpec::default()
    }
}

/// Without end: an outage of the API server or of the kubelet must not evict jobs.
fn tolerations() -> Vec<Toleration> {
    let tolerate = |key: &str, effect: Option<&str>| Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: effect.map(Into::into),
        ..Toleration::default()
    };
    vec![
        tolerate("node.kubernetes.io/not-ready", Some("NoExecute")),
        tolerate("node.kubernetes.io/unreachable", Some("NoExecute")),
        tolerate(TAINT, None),
    ]
}

fn identity(request: &PodRequest) -> PodSecurityContext {
    let mut groups = request.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    PodSecurityContext {
        run_as_user: Some(request.uid.into()),
        run_as_group: Some(request.gid.into()),
        run_as_non_root: Some(request.uid != 0),
        supplemental_groups_policy: matches!(request.way, WayIn::HostPath { strict_groups: true, .. })
            .then(|| "Strict".into()),
        supplemental_groups: Some(groups.into_iter().map(i64::from).collect()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container(request: &PodRequest) -> Container {
    let pull = match request.pull {
        Pull::Missing => "IfNotPresent",
        Pull::Always => "Always",
        Pull::Never => "Never",
    };
    Container {
        name: CONTAINER.into(),
        image: Some(request.image.to_string()),
        image_pull_policy: Some(pull.into()),
        // Without a command, containerd puts the image's entrypoint there. The runtime takes it off again, and the
        // mark behind it, and starts the agent all the same.
        command: (!request.entrypoint).then(|| vec![CONTAINER_AGENT.into()]),
        args: request.entrypoint.then(|| vec![ENTRYPOINT_END.into()]),
        // The image's own folder may be one that the user cannot enter; the tasks change to theirs.
        working_dir: Some("/".into()),
        env: (request.step_id != name::BATCH_STEP).then(|| vec![own_address()]),
        resources: Some(resources(request)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: request.readonly.then_some(true),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The kubelet fills it in when the container starts: no request to the API server.
fn own_address() -> EnvVar {
    let field = ObjectFieldSelector { field_path: "status.podIP".into(), ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: rendezvous::OWN_ADDRESS.into(), value_from: Some(source), value: None }
}

/// Slurm is the arbiter: small requests, so that the kubelet never refuses what Slurm granted. No cpu limit, so the
/// Pod is never Guaranteed and a static CPU manager leaves it alone.
fn resources(request: &PodRequest) -> ResourceRequirements {
    let limit = request.memory_bytes.map(|bytes| bytes.to_string());
    // A request above the limit would be refused.
    let above = limit.as_deref().and_then(quantity::value) < quantity::value(&request.memory_request);
    let memory = match &limit {
        Some(limit) if above => limit.clone(),
        _ => request.memory_request.clone(),
    };
    let extended = request.extended.iter().map(|(name, count)| (name.clone(), Quantity(count.to_string())));
    let mut requests = map([("cpu", Quantity(request.cpu_request.clone())), ("memory", Quantity(memory))]);
    requests.extend(extended.clone());
    let mut limits = map(limit.map(|limit| ("memory", Quantity(limit))));
    limits.extend(extended);
    ResourceRequirements { requests: Some(requests), limits: (!limits.is_empty()).then_some(limits), claims: None }
}

fn map<T>(entries: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
