use super::*;
use crate::exit_code::{IMAGE, LOST, NOT_STARTED, SITE};
use serde_json::{Value, json};

const REF: &str = "nas-hub.local:5407/tool:1";

fn pod(status: &Value) -> Pod {
    let resources = json!({"limits": {"memory": "1073741824"}});
    let spec = json!({"containers": [{"name": "job", "image": REF, "resources": resources}]});
    serde_json::from_value(json!({"spec": spec, "status": status})).unwrap()
}

fn container(state: &Value) -> Verdict {
    let job = json!({"name": "job", "image": REF, "imageID": "", "ready": false, "restartCount": 0, "state": state});
    judge(&pod(&json!({"phase": "Pending", "containerStatuses": [job]})))
}

fn waits(reason: &str, message: &str) -> Verdict {
    container(&json!({"waiting": {"reason": reason, "message": message}}))
}

#[track_caller]
fn assert_failed(verdict: &Verdict, code: u8, text: &str) {
    let Verdict::Failed(Refusal { code: got, message, hint }) = verdict else { panic!("{verdict:?}") };
    assert_eq!(*got, code, "{message}");
    assert!(message.contains(text), "{message:?} lacks {text:?}");
    assert!(!message.contains('\n') && hint.as_deref() != Some(""), "{message:?}");
}

#[test]
fn the_good_path() {
    assert_eq!(judge(&Pod::default()), Verdict::wait("waiting for the kubelet"));
    assert_eq!(judge(&pod(&json!({"phase": "Pending"}))), Verdict::wait("waiting for the kubelet"));
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(container(&creating), Verdict::wait("making the sandbox"));
    let status = json!({
        "phase": "Pending",
        "conditions": [{"type": "PodReadyToStartContainers", "status": "True"}],
        "containerStatuses": [
            {"name": "job", "image": REF, "imageID": "", "ready": false, "restartCount": 0, "state": creating},
        ],
    });
    assert_eq!(judge(&pod(&status)), Verdict::wait("pulling the image or making the container"));
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    assert_eq!(container(&running), Verdict::Running);
}

#[test]
fn a_sites_sidecar_is_not_taken_for_the_job() {
    let of = |name: &str, id: &str, state: Value| json!({"name": name, "image": REF, "imageID": id, "ready": false, "restartCount": 0, "state": state});
    let gone = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let statuses = [of("istio-proxy", "other@sha256:b", gone), of("job", "tool@sha256:a", running)];
    let pod = pod(&json!({"phase": "Running", "containerStatuses": statuses}));
    assert_eq!((judge(&pod), image_id(&pod)), (Verdict::Running, Some("tool@sha256:a")));
}

/// As containerd 1.6 and 2.x and CRI-O write them.
#[test]
fn pulls_that_no_later_try_mends() {
    for (message, text) in [
        (
            r#"rpc error: code = NotFound desc = failed to pull and unpack image "nas-hub.local:5407/tool:1": failed to resolve reference "nas-hub.local:5407/tool:1": nas-hub.local:5407/tool:1: not found"#,
            "does not exist in its registry",
        ),
        (
            r#"Back-off pulling image "nas-hub.local:5407/tool:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "nas-hub.local:5407/tool:1": failed to resolve image: nas-hub.local:5407/tool:1: not found"#,
            "does not exist in its registry",
        ),
        (
            "rpc error: code = Unknown desc = reading manifest 1 in nas-hub.local:5407/tool: manifest unknown",
            "does not exist in its registry",
        ),
        (
            r#"failed to pull and unpack image "docker.io/library/tool:1": failed to resolve reference "docker.io/library/tool:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"#,
            "wants a login: pull access denied",
        ),
        (
            r#"rpc error: code = Unknown desc = failed to pull and unpack image "nas-hub.local:5407/tool:1": failed to resolve reference "nas-hub.local:5407/tool:1": unexpected status from HEAD request to https://nas-hub.local:5407/v2/tool/manifests/1: 401 Unauthorized"#,
            "wants a login: unexpected status from HEAD",
        ),
        (
            r#"rpc error: code = Unknown desc = failed to pull and unpack image "x": failed to resolve reference "x": failed to do request: Head "https://nas-hub.local:5407/v2/tool/manifests/1": http: server gave HTTP response to HTTPS client"#,
            "speaks plain http",
        ),
        (
            r#"rpc error: code = Unknown desc = failed to pull and unpack image "x": failed to resolve reference "x": failed to do request: Head "https://nas-hub.local:5407/v2/tool/manifests/1": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
            "does not trust its registry",
        ),
        (
            r#"rpc error: code = Unknown desc = failed to pull and unpack image "x": failed to resolve reference "x": failed to do request: Head "https://nas-hub.local:5407/v2/tool/manifests/1": dial tcp: lookup nas-hub.local on 10.0.0.2:53: no such host"#,
            "name is unknown",
        ),
        (
            r#"rpc error: code = NotFound desc = failed to pull and unpack image "x": no match for platform in manifest: not found"#,
            "architecture",
        ),
    ] {
        assert_failed(&waits("ErrImagePull", message), IMAGE, text);
        assert_failed(&waits("ImagePullBackOff", message), IMAGE, text);
    }
}

#[test]
fn pulls_that_may_succeed_later() {
    let refused = r#"failed to do request: Head "https://nas-hub.local:5407/v2/tool/manifests/1": dial tcp 10.89.0.3:5407: connect: connection refused"#;
    let plain = refused.trim_start_matches("failed to do request: ");
    let unpack = format!(r#"failed to pull and unpack image "{REF}": failed to resolve reference "{REF}": {refused}"#);
    let expected = Verdict::PullRetry { message: format!("the image {REF} cannot be pulled: {plain}") };
    let error = format!("rpc error: code = Unknown desc = {unpack}");
    assert_eq!(waits("ErrImagePull", &error), expected);
    // The same text in the back-off: the user is told once.
    let back_off = format!(r#"Back-off pulling image "{REF}": ErrImagePull: {error}"#);
    assert_eq!(waits("ImagePullBackOff", &back_off), expected);
    for message in [
        r#"rpc error: code = DeadlineExceeded desc = failed to pull and unpack image "x": failed to copy: httpReadSeeker: failed open: context deadline exceeded"#,
        r#"failed to pull and unpack image "x": failed to resolve reference "x": unexpected status from HEAD request to https://r/v2/t/manifests/1: 503 Service Unavailable"#,
        r#"failed to pull and unpack image "x": failed to resolve reference "x": failed to do request: Head "https://r/v2/": dial tcp 10.89.0.3:5407: i/o timeout"#,
        r#"failed to pull and unpack image "x": failed to copy: read tcp 10.89.0.11:41244->10.89.0.3:5407: read: connection reset by peer"#,
        r#"Back-off pulling image "nas-hub.local:5407/tool:1""#,
        "toomanyrequests: You have reached your pull rate limit",
        "",
    ] {
        assert!(matches!(waits("ErrImagePull", message), Verdict::PullRetry { .. }), "{message}");
    }
}

#[test]
fn images_that_the_kubelet_refuses() {
    for (reason, message, text) in [
        (
            "InvalidImageName",
            r#"Failed to apply default image tag "a:b:c": couldn't parse image name "a:b:c": invalid reference format"#,
            "does not accept",
        ),
        (
            "ErrImageNeverPull",
            r#"Container image "nas-hub.local:5407/tool:1" is not present with pull policy of Never"#,
            "is not on this node",
        ),
        ("SignatureValidationFailed", "no valid signature", "is not signed"),
    ] {
        assert_failed(&waits(reason, message), IMAGE, text);
    }
}

#[test]
fn containers_that_cannot_be_made() {
    let config = r#"container has runAsNonRoot and image will run as root (pod: "p", container: job)"#;
    assert_failed(&waits("CreateContainerConfigError", config), NOT_STARTED, "runAsNonRoot");
    let create = r#"failed to generate container "4f" spec: failed to apply OCI options: bad"#;
    assert_failed(&waits("CreateContainerError", create), NOT_STARTED, "failed to generate");
    for again in [
        "context deadline exceeded",
        r#"failed to reserve container name "job_p_ns_0": name "job_p_ns_0" is reserved for "4f2a""#,
    ] {
        assert_eq!(waits("CreateContainerError", again), Verdict::wait(again));
    }
}

#[test]
fn containers_that_do_not_start() {
    let create = "failed to create containerd task: failed to create shim task: OCI runtime create failed: ";
    let wrapper = "/usr/libexec/slurm-k8s/slurm-k8s-runtime";
    let retrieve = "unable to retrieve OCI runtime error (open /run/containerd/io.containerd.runtime.v2.task/k8s.io/4f/log.json: no such file or directory): ";
    for (message, code, text) in [
        (
            format!(
                "{create}{wrapper} did not terminate successfully: exit status 1: no grant for this Pod on this node: unknown"
            ),
            NOT_STARTED,
            "no grant for this Pod: exit status 1: no grant for this Pod on this node",
        ),
        (
            format!("{create}{retrieve}{wrapper} did not terminate successfully: exit status 1: no grant: unknown"),
            NOT_STARTED,
            "exit status 1: no grant",
        ),
        (
            format!("{create}{retrieve}fork/exec {wrapper}: no such file or directory: unknown"),
            SITE,
            "the OCI runtime wrapper cannot be used",
        ),
        (
            format!(
                r#"{create}runc create failed: unable to start container process: exec: "/.slurm-k8s/agent": stat /.slurm-k8s/agent: no such file or directory: unknown"#
            ),
            SITE,
            "the agent did not get into the container",
        ),
        (
            format!(
                "{create}runc create failed: unable to start container process: error during container init: error mounting \"/scratch\": permission denied: unknown"
            ),
            NOT_STARTED,
            "could not start the container: runc create failed: unable",
        ),
    ] {
        assert_failed(&waits("RunContainerError", &message), code, text);
        let ended = json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}});
        assert_failed(&container(&ended), code, text);
    }
}

#[test]
fn pods_that_the_kubelet_refuses_or_ends() {
    for (reason, message) in [
        (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 1010, capacity: 2000",
        ),
        ("Evicted", "The node was low on resource: memory."),
        ("UnexpectedAdmissionError", "Pod was rejected: Allocate failed due to no healthy devices present"),
        ("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed"),
    ] {
        let status = json!({"phase": "Failed", "reason": reason, "message": message});
        assert_failed(&judge(&pod(&status)), NOT_STARTED, &format!("refused the Pod: {reason}: {message}"));
    }
    let ended = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
    let job = json!({"name": "job", "image": REF, "imageID": "", "ready": false, "restartCount": 0, "state": ended});
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "low\non memory", "containerStatuses": [job]});
    assert_failed(&judge(&pod(&evicted)), LOST, "ended the Pod: Evicted: low on memory");
    assert_failed(&judge(&pod(&json!({"phase": "Failed"}))), NOT_STARTED, "no reason given");
}

#[test]
fn containers_that_ended_without_the_agent() {
    let oom = container(&json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
    assert_failed(&oom, LOST, "out of memory: the kernel killed the Pod's processes (limit: 1073741824 bytes)");
    // Also a 0, which is the agent's and not the command's.
    for (code, reason) in [(3, "Error"), (0, "Completed"), (137, "ContainerStatusUnknown")] {
        let ended = json!({"terminated": {"exitCode": code, "reason": reason}});
        assert_failed(&container(&ended), LOST, &format!("ended (exit code {code}) without reporting"));
    }
}

#[test]
fn who_ends_the_pod_is_told() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let job = json!({"name": "job", "image": REF, "imageID": "", "ready": true, "restartCount": 0, "state": running});
    let mut leaving = pod(&json!({"phase": "Running", "containerStatuses": [job]}));
    leaving.metadata.name = Some("slurm-job-7".into());
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let message = "the Pod slurm-job-7 was deleted in Kubernetes".to_owned();
    assert_eq!(judge(&leaving), Verdict::Leaving { message });
    let condition = json!([{
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"
    }]);
    leaving.status.as_mut().unwrap().conditions = serde_json::from_value(condition).unwrap();
    let message =
        "the Pod slurm-job-7 was evicted in Kubernetes: EvictionByEvictionAPI: Eviction API: evicting".to_owned();
    assert_eq!(judge(&leaving), Verdict::Leaving { message });
}

/// The container is gone, and the phase is still that of a Pod that runs.
#[test]
fn the_kubelets_own_eviction_is_told_before_the_phase_says_it() {
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    let job = json!({"name": "job", "image": REF, "imageID": "", "ready": false, "restartCount": 0, "state": ended});
    let message = "The node was low on resource: memory.";
    let condition =
        json!({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message});
    let mut evicted = pod(&json!({"phase": "Running", "containerStatuses": [job], "conditions": [condition]}));
    evicted.metadata.name = Some("slurm-job-7".into());
    let message = format!("the Pod slurm-job-7 was evicted in Kubernetes: TerminationByKubelet: {message}");
    assert_eq!(judge(&evicted), Verdict::Leaving { message });
}

#[test]
fn a_broken_image_is_not_tried_again_but_a_full_disk_is() {
    let message = r#"failed to pull and unpack image "nas-hub.local:5407/tool:1": failed to extract layer sha256:1: archive/tar: invalid tar header: unknown"#;
    assert_failed(&waits("ErrImagePull", message), IMAGE, "is broken: failed to extract layer sha256:1");
    let message = "failed to extract layer sha256:1: write /x: no space left on device: unknown";
    assert!(matches!(waits("ErrImagePull", message), Verdict::PullRetry { .. }));
}
