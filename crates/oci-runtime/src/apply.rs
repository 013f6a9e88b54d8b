//! A grant, applied to the container's `config.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use slurm_k8s_core::grant::{CONTAINER_AGENT, CONTAINER_FILE, CONTAINER_RUN_DIR, Grant, Limit};

use crate::command;
use crate::identity::{self, IdentityError};
use crate::place::{self, PlaceError};
use crate::rootfs::{self, RootfsError};

/// Why a grant could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The Pod asks for another user than the grant.
    #[error("the container runs as uid {container}, but Slurm's grant is for {grant}")]
    Uid {
        /// The Pod's.
        container: u64,
        /// The grant's.
        grant: u32,
    },
    /// `config.json` is not as the OCI runtime specification has it.
    #[error("the bundle's config.json has no {0}")]
    Shape(&'static str),
    /// The image's root could not be read.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// passwd or group could not be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A mount's place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The container's id could not be told.
    #[error("cannot write {0}")]
    Container(PathBuf, #[source] std::io::Error),
    /// The image's entrypoint could not be kept.
    #[error("cannot write {0}")]
    Entrypoint(PathBuf, #[source] std::io::Error),
}

/// Edits `config`; files that the container needs are written into the grant's run folder.
pub fn apply(config: &mut Value, grant: &Grant, bundle: &Path) -> Result<(), ApplyError> {
    let rootfs = rootfs::open(config, bundle)?;
    let read_only = config.pointer("/root/readonly").and_then(Value::as_bool).unwrap_or(false);
    place::check(&rootfs, &grant.mounts)?;
    user(config, grant)?;
    limits(config, grant)?;
    tell_container(config, grant)?;
    environment(config, grant)?;
    command::replace(config, grant)?;
    let mounts = config.get_mut("mounts").and_then(Value::as_array_mut).ok_or(ApplyError::Shape("mounts"))?;
    if let Some(bytes) = grant.shm_bytes {
        shm(mounts, bytes);
    }
    let fixed = [
        (grant.run_dir.clone(), PathBuf::from(CONTAINER_RUN_DIR)),
        (grant.agent.clone(), PathBuf::from(CONTAINER_AGENT)),
    ];
    for (source, target) in fixed {
        mounts.push(bind(&source, &target, "bind", "private", true));
    }
    for file in identity::write(&rootfs, grant)? {
        mounts.push(bind(&file.source, &file.target, "bind", "private", true));
    }
    if read_only || !rootfs::has_tmp(&rootfs) {
        mounts.push(json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777"] }));
    }
    for mount in &grant.mounts {
        mounts.push(bind(&mount.source, &mount.target, "rbind", "rslave", mount.read_only));
    }
    Ok(())
}

/// Whose cgroup slurmstepd may write to: that of a process of this container, and of no other that says it is one. The
/// last word of the path is the container's id, whichever driver the kubelet has.
fn tell_container(config: &Value, grant: &Grant) -> Result<(), ApplyError> {
    let path = config.pointer("/linux/cgroupsPath").and_then(Value::as_str);
    let id = path.and_then(|path| path.rsplit(['/', ':']).next()).ok_or(ApplyError::Shape("linux.cgroupsPath"))?;
    let file = grant.run_dir.join(CONTAINER_FILE);
    std::fs::write(&file, id).map_err(|error| ApplyError::Container(file, error))
}

fn bind(source: &Path, target: &Path, kind: &str, propagation: &str, read_only: bool) -> Value {
    let write = if read_only { "ro" } else { "rw" };
    json!({ "destination": target, "type": "bind", "source": source,
        "options": [kind, propagation, write, "nosuid", "nodev"] })
}

pub fn process(config: &mut Value) -> Result<&mut Map<String, Value>, ApplyError> {
    config.get_mut("process").and_then(Value::as_object_mut).ok_or(ApplyError::Shape("process"))
}

/// Exactly Slurm's groups: containerd adds those that the image's /etc/group gives the user's name.
fn user(config: &mut Value, grant: &Grant) -> Result<(), ApplyError> {
    let process = process(config)?;
    let user = process.get_mut("user").and_then(Value::as_object_mut).ok_or(ApplyError::Shape("process.user"))?;
    let container = user.get("uid").and_then(Value::as_u64).unwrap_or(0);
    if container != u64::from(grant.uid) {
        return Err(ApplyError::Uid { container, grant: grant.uid });
    }
    user.insert("gid".into(), json!(grant.gid));
    user.insert("additionalGids".into(), json!(grant.groups));
    if let Some(score) = grant.oom_score_adj {
        process.insert("oomScoreAdj".into(), json!(score));
    }
    Ok(())
}

/// The grant's variables in place of the image's and the Pod's: the next runtime reads them here.
fn environment(config: &mut Value, grant: &Grant) -> Result<(), ApplyError> {
    let process = process(config)?;
    let mut env = process.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |entry: &Value| entry.as_str().and_then(|text| text.split('=').next()).map(str::to_owned);
    env.retain(|entry| name(entry).is_none_or(|name| !grant.env.contains_key(&name)));
    env.extend(grant.env.iter().map(|(name, value)| json!(format!("{name}={value}"))));
    process.insert("env".into(), env.into());
    Ok(())
}

/// Without `CAP_SYS_RESOURCE` no hard limit can be above our own.
fn limits(config: &mut Value, grant: &Grant) -> Result<(), ApplyError> {
    let list: Vec<_> = grant
        .rlimits
        .iter()
        .map(|(name, limit)| {
            let Limit { soft, hard } = clamp(*limit, own_hard(name));
            json!({ "type": name, "soft": soft.unwrap_or(u64::MAX), "hard": hard.unwrap_or(u64::MAX) })
        })
        .collect();
    if !list.is_empty() {
        process(config)?.insert("rlimits".into(), list.into());
    }
    Ok(())
}

fn clamp(limit: Limit, own: Option<u64>) -> Limit {
    let lower = |value: Option<u64>| match (value, own) {
        (Some(value), Some(own)) => Some(value.min(own)),
        (value, own) => value.or(own),
    };
    Limit { soft: lower(limit.soft), hard: lower(limit.hard) }
}

/// Our own hard limit, unless we may raise it.
fn own_hard(name: &str) -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    use rustix::thread::{CapabilitySet, capabilities};
    if capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE)) {
        return None;
    }
    let resource = match name {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    };
    getrlimit(resource).maximum
}

/// containerd binds the sandbox's 64 MiB; `PyTorch`'s loaders need the job's own size.
fn shm(mounts: &mut Vec<Value>, bytes: u64) {
    mounts.retain(|mount| mount.get("destination").and_then(Value::as_str) != Some("/dev/shm"));
    mounts.push(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
        "options": ["nosuid", "nodev", "noexec", "mode=1777", format!("size={bytes}")] }));
}

#[cfg(test)]
pub fn sample() -> Grant {
    use slurm_k8s_core::grant::{Identity, Mount};
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
            groups: [(1000, "alice".to_owned())].into(),
        },
        rlimits: [("RLIMIT_CORE".to_owned(), Limit { soft: Some(0), hard: Some(0) })].into(),
        env: [("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned())].into(),
        entrypoint: false,
        oom_score_adj: None,
        shm_bytes: Some(1 << 30),
        run_dir: "/nonexistent".into(),
        agent: "/usr/libexec/slurm-k8s/slurm-k8s-agent".into(),
        mounts: vec![Mount { source: "/home".into(), target: "/home".into(), read_only: false }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(uid: u32) -> Result<Value, ApplyError> {
        let (config, run) = applied_with(uid, "/kubepods/pod1/0123abcd")?;
        assert_eq!(std::fs::read_to_string(run.path().join(CONTAINER_FILE)).unwrap(), "0123abcd");
        Ok(config)
    }

    fn applied_with(uid: u32, cgroup: &str) -> Result<(Value, tempfile::TempDir), ApplyError> {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(bundle.path().join("rootfs/etc")).unwrap();
        std::fs::write(bundle.path().join("rootfs/etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        let run = tempfile::tempdir().unwrap();
        let mut config = json!({
            "process": { "user": { "uid": uid, "gid": 0, "additionalGids": [5000] }, "args": ["/x"],
                "env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"] },
            "root": { "path": "rootfs" }, "linux": { "cgroupsPath": cgroup }, "unknown": [1],
            "mounts": [{ "destination": "/dev/shm", "type": "bind", "source": "/s" }],
        });
        let grant = Grant { run_dir: run.path().to_owned(), ..sample() };
        apply(&mut config, &grant, bundle.path())?;
        Ok((config, run))
    }

    #[test]
    fn slurmstepd_is_told_the_containers_id() {
        let (_, run) = applied_with(1000, "kubepods-burstable-pod1.slice:cri-containerd:0123abcd").unwrap();
        assert_eq!(std::fs::read_to_string(run.path().join(CONTAINER_FILE)).unwrap(), "0123abcd");
    }

    fn mount<'a>(config: &'a Value, target: &str) -> &'a Value {
        config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == target).unwrap()
    }

    #[test]
    fn the_container_gets_what_the_grant_says_and_keeps_the_rest() {
        let config = applied(1000).unwrap();
        assert_eq!(config["process"]["user"], json!({ "uid": 1000, "gid": 1000, "additionalGids": [1000, 6000] }));
        assert_eq!(config["process"]["rlimits"], json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]));
        assert_eq!(config["process"]["args"], json!([CONTAINER_AGENT]));
        assert_eq!(config["process"]["env"], json!(["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=void"]));
        assert_eq!(config["unknown"], json!([1]));
        assert_eq!(mount(&config, "/dev/shm")["type"], "tmpfs");
        assert_eq!(mount(&config, "/tmp")["type"], "tmpfs");
        assert_eq!(mount(&config, "/home")["options"], json!(["rbind", "rslave", "rw", "nosuid", "nodev"]));
        assert_eq!(mount(&config, "/.slurm-k8s")["options"], json!(["bind", "private", "ro", "nosuid", "nodev"]));
        assert_eq!(mount(&config, "/etc/passwd")["options"][2], "ro");
    }

    #[test]
    fn another_user_is_refused() {
        assert!(matches!(applied(0), Err(ApplyError::Uid { container: 0, grant: 1000 })));
    }

    #[test]
    fn limits_are_clamped_to_what_can_be_set() {
        let limit = Limit { soft: None, hard: None };
        assert_eq!(clamp(limit, Some(5)), Limit { soft: Some(5), hard: Some(5) });
        assert_eq!(clamp(Limit { soft: Some(3), hard: None }, None), Limit { soft: Some(3), hard: None });
    }
}
