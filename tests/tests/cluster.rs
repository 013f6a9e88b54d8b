//! What the cluster lets a node's identity do, and what it keeps from everybody else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::submit::Unasked;
use e2e::{ALICE, Changed, NODE1, ROOT, Ran, alone, image, in_image, no_pod_of, together, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const ROLE: &str = include_str!("../../deploy/node-role.yaml");

/// kubectl as node1's Slurm, whose file has been stolen.
fn as_node1(argv: &[&str], input: &str) -> Ran {
    NODE1.run_with(&[&["kubectl", "--kubeconfig=/etc/slurm/k8s.kubeconfig"], argv].concat(), input.as_bytes())
}

/// A Pod as the engine makes them for node1, with these parts of its spec and of its container instead.
fn create(spec: &str, container: &str) -> Ran {
    let mut pod: serde_json::Value = serde_json::from_str(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"stolen","namespace":"slurm-jobs"},
        "spec":{"nodeName":"node1","runtimeClassName":"slurm-k8s","automountServiceAccountToken":false,
        "securityContext":{"runAsUser":1000,"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
        "containers":[{"name":"job","image":"x","command":["/.slurm-k8s/agent"],
        "securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}"#,
    )
    .unwrap();
    let merge = |into: &mut serde_json::Value, text: &str| {
        let more: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
        into.as_object_mut().unwrap().extend(more);
    };
    merge(&mut pod["spec"], spec);
    if !spec.contains("containers") {
        merge(&mut pod["spec"]["containers"][0], container);
    }
    as_node1(&["create", "--dry-run=server", "-f", "-"], &pod.to_string())
}

#[test]
fn a_stolen_node_identity_makes_only_jobs_pods_of_its_own_node() {
    let _together = together();
    let _ = create("{}", "{}").ok();
    let secret = r#"{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}"#;
    for (spec, container, named) in [
        (r#"{"nodeName":"node2"}"#, "{}", "own node only"),
        (r#"{"nodeName":""}"#, "{}", "own node only"),
        (r#"{"runtimeClassName":null}"#, "{}", "RuntimeClass slurm-k8s only"),
        (r#"{"volumes":[{"name":"v","emptyDir":{}}]}"#, "{}", "no volumes"),
        (r#"{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}"#, "{}", "no volumes"),
        (r#"{"automountServiceAccountToken":true}"#, "{}", "no volumes"),
        ("{}", secret, "no variables from elsewhere"),
        ("{}", r#"{"envFrom":[{"secretRef":{"name":"s"}}]}"#, "no variables from elsewhere"),
        ("{}", r#"{"command":["sh"]}"#, "starts with the agent"),
        (r#"{"hostPID":true}"#, "{}", "own processes and IPC"),
        ("{}", r#"{"securityContext":{"privileged":true}}"#, "PodSecurity"),
    ] {
        let ran = create(spec, container);
        assert!(ran.code != Some(0), "{spec} {container}");
        // Of several that refuse, the API server names any.
        let refused = [named, "PodSecurity \"restricted", "only a node's own Slurm identity may use it"]
            .iter()
            .any(|text| ran.errors().contains(text));
        assert!(refused, "{spec} {container}: {}", ran.errors());
    }
}

#[test]
fn a_stolen_node_identity_sees_and_does_nothing_else() {
    let _together = together();
    for (verb, what, namespace) in [
        ("get", "secrets", "slurm-jobs"),
        ("get", "configmaps", "slurm-jobs"),
        ("create", "pods/exec", "slurm-jobs"),
        ("get", "pods/log", "slurm-jobs"),
        ("patch", "pods", "slurm-jobs"),
        ("update", "pods/ephemeralcontainers", "slurm-jobs"),
        ("create", "serviceaccounts/token", "slurm-jobs"),
        ("list", "pods", "kube-system"),
        ("delete", "pods", "default"),
        ("create", "pods", "default"),
        ("create", "namespaces", "default"),
        ("list", "nodes", "default"),
        ("impersonate", "users", "default"),
        ("create", "certificatesigningrequests", "default"),
    ] {
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let ran = as_node1(&["auth", "can-i", verb, what, &part, "-n", namespace], "");
        assert_eq!((ran.code, ran.text().as_str()), (Some(1), "no"), "{verb} {what} in {namespace}");
    }
    // A Pod that is not its own stays.
    let name = "of-node2";
    let pod = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"slurm-jobs"}},
        "spec":{{"nodeName":"node2","securityContext":{{"runAsUser":1,"runAsNonRoot":true,
        "seccompProfile":{{"type":"RuntimeDefault"}}}},"containers":[{{"name":"x","image":"{}","command":["true"],
        "securityContext":{{"allowPrivilegeEscalation":false,"capabilities":{{"drop":["ALL"]}}}}}}]}}}}"#,
        image("busybox")
    );
    let _ = ROOT.run_with(&["kubectl", "create", "-f", "-"], pod.as_bytes()).ok();
    let ran = as_node1(&["delete", "--raw", &format!("/api/v1/namespaces/slurm-jobs/pods/{name}")], "");
    let _ = ROOT.run(&["kubectl", "delete", "pod", "-n", "slurm-jobs", "--wait=false", name]).ok();
    assert!(ran.code != Some(0) && ran.errors().contains("own node only"), "{}", ran.errors());
}

#[test]
fn nobody_puts_a_container_into_a_jobs_pod() {
    let _alone = alone();
    let argv = ["sbatch", "--parsable", "--output=/dev/null", "--nodelist=node2", &in_image("busybox")];
    let job = ALICE.run(&[&argv[..], &["--wrap", "sleep 300"]].concat()).ok().text();
    let pod = format!("slurm-job-{job}");
    until("the Pod is there", || {
        let ran = ROOT.run(&["kubectl", "get", "-n", "slurm-jobs", "pod", &pod]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    let image = format!("--image={}", image("busybox"));
    let debug = ["kubectl", "debug", "-n", "slurm-jobs", &pod, &image, "--profile=restricted", "--", "true"];
    let ran = ROOT.run(&debug);
    let _ = ROOT.run(&["scancel", &job]);
    assert!(ran.errors().contains("can't have ephemeral containers"), "{} {}", ran.text(), ran.errors());
    no_pod_of(&job);
}

#[test]
fn a_namespace_that_enforces_restricted_takes_the_jobs_pods() {
    let _alone = alone();
    let namespace = format!("e2e-restricted-{}", std::process::id());
    let _ = ROOT.run(&["kubectl", "create", "namespace", &namespace]).ok();
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let _ = ROOT.run(&["kubectl", "label", "namespace", &namespace, label]).ok();
    let role = ROLE.replace("namespace: slurm-jobs", &format!("namespace: {namespace}"));
    let _ = ROOT.run_with(&["kubectl", "apply", "-f", "-"], role.as_bytes()).ok();
    let allow = |text: String| format!("{text}[policy]\nnamespaces = ['{namespace}']\n");
    let (_login, _node) = (Changed::edit(ROOT, CONFIG, allow), Changed::edit(NODE1, CONFIG, allow));
    let _unasked = Unasked::start();
    let option = format!("--k8s-namespace={namespace}");
    // A new role takes a moment to hold.
    until("the job runs there", || {
        let ran = ALICE.run(&["srun", "-Q", "-w", "node1", &in_image("busybox"), &option, "echo", "ran"]);
        (ran.text() == "ran").then_some(()).ok_or_else(|| ran.errors())
    });
    let _ = ROOT.run(&["kubectl", "delete", "namespace", "--wait=false", &namespace]);
}
