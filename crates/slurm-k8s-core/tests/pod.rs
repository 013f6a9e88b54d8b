//! Whole Pods as files. `UPDATE=1 cargo test -p slurm-k8s-core` writes them anew; look at the diff.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use slurm_k8s_core::grant::{Grant, Identity, Mount};
use slurm_k8s_core::name;
use slurm_k8s_core::pod::{Network, PodRequest, Pull, WayIn, build};
use slurm_k8s_core::template::Template;

mod golden_file;

fn batch() -> PodRequest {
    PodRequest {
        namespace: "slurm-jobs".into(),
        name: name::pod(4711, name::BATCH_STEP, 0),
        nonce: "0123456789abcdef".into(),
        node: "node1".into(),
        image: "nas-hub.local:5407/team/tool:1".parse().unwrap(),
        pull: Pull::Missing,
        job_id: 4711,
        step_id: name::BATCH_STEP,
        node_index: 0,
        launch: None,
        array: None,
        user: "alice".into(),
        uid: 1000,
        gid: 1000,
        groups: vec![2001, 1000, 2000, 2001],
        memory_bytes: Some(1 << 30),
        extended: Vec::new(),
        cluster: "slurm".into(),
        way: WayIn::Runtime { class: "slurm-k8s".into() },
        network: Network::Pod,
        priority_class: None,
        readonly: false,
        entrypoint: false,
        keep: false,
        grace: Duration::from_secs(5),
        cpu_request: "10m".into(),
        memory_request: "16Mi".into(),
    }
}

fn check(case: &str, request: &PodRequest) {
    check_pod(case, &build(request));
}

fn check_pod(case: &str, pod: &Pod) {
    let text = serde_json::to_string_pretty(pod).unwrap() + "\n";
    golden_file::check(&format!("tests/golden/{case}.json"), &text);
}

#[test]
fn a_batch_script() {
    check("batch", &batch());
}

#[test]
fn a_step_of_an_array_task_on_its_second_node() {
    check(
        "array-step",
        &PodRequest {
            name: name::pod(4712, 3, 1),
            job_id: 4712,
            step_id: 3,
            node_index: 1,
            launch: Some("34567".into()),
            extended: vec![("nvidia.com/gpu".into(), 2)],
            array: Some((4711, 7)),
            node: "node2".into(),
            ..batch()
        },
    );
}

#[test]
fn root_on_the_nodes_network_without_a_memory_limit() {
    check(
        "root-host-network",
        &PodRequest {
            user: "root".into(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            memory_bytes: None,
            network: Network::Host,
            pull: Pull::Always,
            ..batch()
        },
    );
}

#[test]
fn odd_names_and_less_memory_than_the_request() {
    check(
        "odd-user-small-memory",
        &PodRequest { user: "DOM\\bob@ad.example".into(), memory_bytes: Some(8 << 20), pull: Pull::Never, ..batch() },
    );
}

/// Guaranteed Pods would get cores from a static CPU manager, and not Slurm's.
#[test]
fn no_pod_is_guaranteed_or_has_a_volume() {
    let spec = build(&batch()).spec.unwrap();
    let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert!(!limits.contains_key("cpu"));
    assert!(spec.volumes.is_none());
}

#[test]
fn the_users_own_wishes() {
    check(
        "wishes",
        &PodRequest {
            priority_class: Some("high".into()),
            readonly: true,
            entrypoint: true,
            keep: true,
            namespace: "team".into(),
            ..batch()
        },
    );
}

#[test]
fn by_volumes_of_the_node() {
    let identity = Identity {
        user: "alice".into(),
        home: "/home/alice".into(),
        shell: "/bin/bash".into(),
        gecos: String::new(),
        groups: [].into(),
    };
    let mount =
        |source: &str, target: &str, read_only| Mount { source: source.into(), target: target.into(), read_only };
    let grant = Grant {
        namespace: "slurm-jobs".into(),
        pod: "p".into(),
        nonce: "n".into(),
        uid: 1000,
        gid: 1000,
        groups: vec![1000],
        identity,
        rlimits: [].into(),
        env: [("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned())].into(),
        entrypoint: false,
        oom_score_adj: None,
        shm_bytes: Some(1 << 30),
        run_dir: "/run/slurm-k8s/pods/p-n".into(),
        agent: "/usr/libexec/slurm-k8s/slurm-k8s-agent".into(),
        mounts: vec![mount("/home", "/home", false), mount("/run/slurm-k8s/mounts/p-n/0", "/data", true)],
    };
    let way = WayIn::HostPath { grant: Box::new(grant), strict_groups: true };
    check("host-path", &PodRequest { way, ..batch() });
}

/// What the site adds is there, and nothing of ours is changed.
#[test]
fn a_sites_template_is_under_ours() {
    let template = Template::parse(include_str!("golden/template.yaml")).unwrap();
    let step = PodRequest { name: name::pod(4711, 0, 0), step_id: 0, ..batch() };
    check_pod("template", &template.under(build(&step)));
}
