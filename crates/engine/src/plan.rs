//! From what Slurm says about a step to its Pod and its grant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use rustix::process::{Resource, getrlimit};
use slurm_k8s_agent::link::message::Refusal;
use slurm_k8s_core::config::{Config, Requests, Way};
use slurm_k8s_core::grant::{Grant, Identity, Limit, Mount};
use slurm_k8s_core::gres::{Gpus, NONE};
use slurm_k8s_core::image::ImageRef;
use slurm_k8s_core::limit::{Amount, LimitError};
use slurm_k8s_core::message::refuse;
use slurm_k8s_core::option::JobOptions;
use slurm_k8s_core::option::mount::MountRequest;
use slurm_k8s_core::pod::{PodRequest, WayIn, build};
use slurm_k8s_core::policy::PolicyError;
use slurm_k8s_core::template::Template;
use slurm_k8s_core::{label, name, policy, profile};

use crate::mounts::Rules;
use crate::results::Place;

/// A step on this node, as slurmstepd knows it.
#[derive(Debug, Clone)]
pub struct Step {
    /// The job.
    pub job_id: u32,
    /// The step, with Slurm's special numbers (batch is 0xfffffffb).
    pub step_id: u32,
    /// This node's index in the step.
    pub node_index: u32,
    /// This node's name in Slurm.
    pub node: String,
    /// Tasks on this node.
    pub tasks: u32,
    /// How many nodes the step has.
    pub nodes: u32,
    /// What the step's nodes know of its launch, and no other launch's: none for a batch script.
    pub launch: Option<String>,
    /// Whether its tasks are told where to meet.
    pub meets: bool,
    /// The GPUs that Slurm gave it here.
    pub gpus: Gpus,
    /// How many network cards it gave it here.
    pub nics: usize,
    /// The array job and the task in it.
    pub array: Option<(u32, u32)>,
    /// The user.
    pub uid: u32,
    /// The user's group for this job.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The image.
    pub image: ImageRef,
    /// What holds: the user's options, and the profile's below them.
    pub options: JobOptions,
    /// The user's alone: what the site's policy is about.
    pub given: JobOptions,
    /// The admin's Pod template.
    pub template: Option<PathBuf>,
    /// How many cores Slurm allocated on this node.
    pub cores: Option<u64>,
    /// The memory that Slurm allocated on this node, in bytes.
    pub memory_bytes: Option<u64>,
    /// What Slurm gives a process between TERM and KILL.
    pub kill_wait: Duration,
    /// The batch script in slurmd's spool.
    pub script: Option<PathBuf>,
    /// Where it leaves its record, if jobs have folders for results.
    pub results: Option<Place>,
}

/// Says what is not installed on this node, before anything is sent.
pub fn check_node(config: &Config) -> Result<(), Refusal> {
    let paths = &config.paths;
    let runtime = (config.kubernetes.way == Way::Runtime).then(|| (paths.runtime(), "the OCI runtime wrapper"));
    for (path, what) in [(paths.agent(), "the agent")].into_iter().chain(runtime) {
        if let Err(error) = rustix::fs::access(&path, rustix::fs::Access::EXEC_OK) {
            return Err(refuse::program(what, path.display(), error));
        }
    }
    Ok(())
}

/// Refuses what the site does not allow; the submitting side was perhaps never asked.
pub fn check_policy(config: &Config, step: &Step) -> Result<(), Refusal> {
    let refused = |error: PolicyError| refuse::option(&error).hinted(Some(&error.hint()));
    policy::check(config, &step.given, step.uid).map_err(refused)
}

/// Holds the step to its profile's limits by what Slurm has given it here: slurmctld knows only what the job says.
pub fn check_limits(config: &Config, step: &Step) -> Result<(), Refusal> {
    let gpus = u64::try_from(step.gpus.count()).ok();
    let amount = Amount { cpus: step.cores, memory: step.memory_bytes, gpus };
    let refused = |error: LimitError| refuse::option(&error).hinted(Some(&error.hint()));
    profile::check_limits(config, &step.options, &amount).map_err(refused)
}

/// Refuses GPUs of which nobody knows which they are: the container would have none.
pub fn check_gpus(config: &Config, step: &Step) -> Result<(), Refusal> {
    if config.gres.gpu.is_some() || config.gres.variables.is_empty() || !step.gpus.nameless() {
        return Ok(());
    }
    Err(refuse::nameless_gpus(step.gpus.count()))
}

/// Reads the admin's Pod template, if there is one.
pub fn template(step: &Step) -> Result<Option<Template>, Refusal> {
    let Some(path) = &step.template else { return Ok(None) };
    let refused = |reason: String| refuse::template(path.display(), reason);
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Template::parse(&text).map(Some).map_err(|error| refused(error.to_string()))
}

/// The namespace of the step's Pod.
pub fn namespace(config: &Config, step: &Step) -> String {
    step.options.namespace().map_or_else(|| config.namespace_of(step.uid), str::to_owned)
}

/// The Pod to send for a grant.
pub fn pod(config: &Config, step: &Step, grant: &Grant) -> Pod {
    let options = &step.options;
    let kubernetes = &config.kubernetes;
    build(&PodRequest {
        namespace: grant.namespace.clone(),
        name: grant.pod.clone(),
        nonce: grant.nonce.clone(),
        node: kubernetes.node_name.clone().unwrap_or_else(|| step.node.clone()),
        image: step.image.clone(),
        pull: options.pull().unwrap_or(config.pod.pull),
        job_id: step.job_id,
        step_id: step.step_id,
        node_index: step.node_index,
        launch: step.launch.clone(),
        array: step.array,
        user: user_name(step.uid),
        uid: step.uid,
        gid: step.gid,
        groups: step.groups.clone(),
        memory_bytes: step.memory_bytes,
        extended: extended(config, step),
        cluster: config.cluster.clone(),
        way: match kubernetes.way {
            Way::Runtime => WayIn::Runtime { class: kubernetes.runtime_class.clone() },
            Way::HostPath => {
                WayIn::HostPath { grant: Box::new(grant.clone()), strict_groups: kubernetes.strict_groups }
            }
        },
        network: options.network().unwrap_or(config.pod.network),
        priority_class: options.priority_class().map(str::to_owned),
        readonly: options.readonly().unwrap_or(false),
        entrypoint: options.entrypoint().unwrap_or(false),
        keep: options.keep().unwrap_or(false),
        // Without a second the kubelet sends no SIGTERM.
        grace: step.kill_wait.max(Duration::from_secs(1)),
        cpu_request: booked(config, step.cores).unwrap_or_else(|| kubernetes.cpu_request.clone()),
        memory_request: booked(config, step.memory_bytes).unwrap_or_else(|| kubernetes.memory_request.clone()),
    })
}

/// What the kubelet is to book of what Slurm has given, if it is to book that.
fn booked(config: &Config, given: Option<u64>) -> Option<String> {
    given.filter(|_| config.kubernetes.requests == Requests::Allocated).map(|amount| amount.to_string())
}

/// Whether the step's tasks are told where to meet.
pub fn meets(config: &Config, step: &Step) -> bool {
    step.meets && config.pod.rendezvous
}

/// The labels of the Pod on the step's first node.
pub fn first_node(config: &Config, step: &Step) -> String {
    let labels = [
        (label::APP, label::APP_VALUE.to_owned()),
        (label::CLUSTER, label::value(&config.cluster)),
        (label::JOB_ID, step.job_id.to_string()),
        (label::STEP_ID, name::step_label(step.step_id)),
        (label::NODE_INDEX, "0".to_owned()),
    ];
    let launch = step.launch.iter().map(|launch| (label::LAUNCH, label::value(launch)));
    labels.into_iter().chain(launch).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// By number only: a device plugin chooses which.
fn extended(config: &Config, step: &Step) -> Vec<(String, u64)> {
    let counted = [(&config.gres.gpu, step.gpus.count()), (&config.gres.nic, step.nics)];
    let of_step = counted.into_iter().filter(|(_, count)| *count > 0);
    of_step.filter_map(|(resource, count)| Some((resource.clone()?, u64::try_from(count).ok()?))).collect()
}

/// What the GPU runtime reads: the very GPUs that Slurm chose, or none. A device plugin that chooses says it itself.
fn gpu_runtime(config: &Config, step: &Step) -> BTreeMap<String, String> {
    let chosen = match config.gres.gpu {
        None => step.gpus.for_runtime(),
        Some(_) if step.gpus.count() == 0 => NONE.to_owned(),
        Some(_) => return BTreeMap::new(),
    };
    config.gres.variables.iter().map(|name| (name.clone(), chosen.clone())).collect()
}

/// Whose rights the user's own mounts are opened with, and where they may come from.
pub fn rules(config: &Config, step: &Step) -> Rules {
    let home = login(step.uid).map(|user| user.dir);
    // The user's own list replaces the profile's.
    let of_profile = step.options.mounts().iter().filter(|_| step.given.mounts().is_empty());
    let of_profile = of_profile.map(|mount| &mount.source);
    Rules {
        user: user_name(step.uid),
        uid: step.uid,
        gid: step.gid,
        groups: step.groups.clone(),
        allowed: config
            .pod
            .mounts
            .iter()
            .chain(&config.policy.mounts)
            .chain(&home)
            .chain(of_profile)
            .cloned()
            .collect(),
        site: config.pod.mounts.clone(),
    }
}

/// What is to be mounted with the user's rights: the user's own mounts, and the home folder if it is wanted and not in
/// a file system of the site's.
pub fn user_mounts(config: &Config, step: &Step) -> Vec<MountRequest> {
    let home = login(step.uid).map(|user| user.dir).filter(|_| step.options.mount_home() == Some(true));
    let home = home.filter(|home| !config.pod.mounts.iter().any(|site| home.starts_with(site)));
    let home = home.map(|home| MountRequest { source: home.clone(), target: home, read_only: false });
    step.options.mounts().iter().cloned().chain(home).collect()
}

/// The site's mounts; without the one that has the home folder, if the user does not want that.
fn site_mounts(config: &Config, step: &Step) -> Vec<Mount> {
    let unwanted = login(step.uid).map(|user| user.dir).filter(|_| step.options.mount_home() == Some(false));
    let wanted = |site: &&PathBuf| !unwanted.as_ref().is_some_and(|home| home.starts_with(site));
    let mount = |path: &PathBuf| Mount { source: path.clone(), target: path.clone(), read_only: false };
    config.pod.mounts.iter().filter(wanted).map(mount).collect()
}

/// The grant for that Pod; `mounts` are the user's own.
pub fn grant(config: &Config, step: &Step, name: &str, nonce: &str, run_dir: &Path, mounts: Vec<Mount>) -> Grant {
    let script = step.script.iter().map(|path| Mount { source: path.clone(), target: path.clone(), read_only: true });
    let mounts = site_mounts(config, step).into_iter().chain(script).chain(mounts).collect();
    Grant {
        namespace: namespace(config, step),
        pod: name.to_owned(),
        nonce: nonce.to_owned(),
        uid: step.uid,
        gid: step.gid,
        groups: step.groups.clone(),
        identity: identity(step),
        rlimits: limits(),
        env: gpu_runtime(config, step),
        entrypoint: step.options.entrypoint().unwrap_or(false),
        oom_score_adj: None,
        shm_bytes: step.options.shm_bytes().or(step.memory_bytes),
        run_dir: run_dir.to_owned(),
        agent: config.paths.agent(),
        mounts,
    }
}

fn user_name(uid: u32) -> String {
    login(uid).map_or_else(|| uid.to_string(), |user| user.name)
}

fn login(uid: u32) -> Option<nix::unistd::User> {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten()
}

fn identity(step: &Step) -> Identity {
    let group = |gid: &u32| {
        let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(*gid)).ok().flatten()?;
        Some((*gid, group.name))
    };
    let groups = step.groups.iter().chain([&step.gid]).filter_map(group).collect();
    match login(step.uid) {
        Some(user) => Identity {
            user: user.name,
            home: user.dir,
            shell: user.shell,
            gecos: user.gecos.to_string_lossy().into_owned(),
            groups,
        },
        None => Identity {
            user: step.uid.to_string(),
            home: "/".into(),
            shell: "/bin/sh".into(),
            gecos: String::new(),
            groups,
        },
    }
}

/// slurmstepd's own limits: what a task on the bare node would start from. The shim's exact ones (`--propagate`)
/// follow over the link; they can only be lower.
fn limits() -> BTreeMap<String, Limit> {
    [
        ("RLIMIT_AS", Resource::As),
        ("RLIMIT_CORE", Resource::Core),
        ("RLIMIT_CPU", Resource::Cpu),
        ("RLIMIT_DATA", Resource::Data),
        ("RLIMIT_FSIZE", Resource::Fsize),
        ("RLIMIT_MEMLOCK", Resource::Memlock),
        ("RLIMIT_NOFILE", Resource::Nofile),
        ("RLIMIT_NPROC", Resource::Nproc),
        ("RLIMIT_STACK", Resource::Stack),
    ]
    .into_iter()
    .map(|(name, resource)| {
        let limit = getrlimit(resource);
        (name.to_owned(), Limit { soft: limit.current, hard: limit.maximum })
    })
    .collect()
}
