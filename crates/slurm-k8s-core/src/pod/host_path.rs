//! What a grant carries, as volumes of the node: the way in without a runtime of our own.
//!
//! Every source is a path that only root can change: the admin's folders, and places that slurmstepd made. The kubelet
//! resolves them as root.

use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, EnvVar, HostPathVolumeSource, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::grant::{CONTAINER_AGENT, CONTAINER_RUN_DIR, GROUP_FILE, Grant, PASSWD_FILE};

/// The volumes, and where they are mounted.
pub fn volumes(grant: &Grant) -> (Vec<Volume>, Vec<VolumeMount>) {
    let file = |name: &str| grant.run_dir.join(name);
    let fixed = [
        ("run", grant.run_dir.clone(), CONTAINER_RUN_DIR, "Directory"),
        ("agent", grant.agent.clone(), CONTAINER_AGENT, "File"),
        ("passwd", file(PASSWD_FILE), "/etc/passwd", "File"),
        ("group", file(GROUP_FILE), "/etc/group", "File"),
    ];
    let fixed = fixed.map(|(name, source, target, kind)| {
        let text = source.to_string_lossy().into_owned();
        (host(name.into(), text, Some(kind)), mount(name.into(), target.into(), true))
    });
    let shm = ("shm", "/dev/shm", Some("Memory"), grant.shm_bytes);
    // Whether the image has one is not known here.
    let tmp = ("tmp", "/tmp", None, None);
    let taken = |target: &str| grant.mounts.iter().any(|mount| mount.target == Path::new(target));
    let empty = [shm, tmp].into_iter().filter(|(_, target, ..)| !taken(target)).map(|(name, target, medium, bytes)| {
        let source = EmptyDirVolumeSource {
            medium: medium.map(Into::into),
            size_limit: bytes.map(|bytes| Quantity(bytes.to_string())),
        };
        let volume = Volume { name: name.into(), empty_dir: Some(source), ..Volume::default() };
        (volume, mount(name.into(), target.into(), false))
    });
    let own = grant.mounts.iter().zip(0..).map(|(wanted, number): (_, u32)| {
        let name = format!("mount-{number}");
        let target = wanted.target.to_string_lossy().into_owned();
        let source = wanted.source.to_string_lossy().into_owned();
        let mut mount = mount(name.clone(), target, wanted.read_only);
        // What is mounted below later is seen too, as on the node.
        mount.mount_propagation = Some("HostToContainer".into());
        (host(name, source, None), mount)
    });
    fixed.into_iter().chain(empty).chain(own).unzip()
}

/// What the container's environment says, whatever the image does.
pub fn environment(grant: &Grant) -> Vec<EnvVar> {
    let variable = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        ..EnvVar::default()
    };
    grant.env.iter().map(variable).collect()
}

fn host(name: String, path: String, kind: Option<&str>) -> Volume {
    let source = HostPathVolumeSource { path, type_: kind.map(Into::into) };
    Volume { name, host_path: Some(source), ..Volume::default() }
}

fn mount(name: String, target: String, read_only: bool) -> VolumeMount {
    VolumeMount { name, mount_path: target, read_only: read_only.then_some(true), ..VolumeMount::default() }
}
