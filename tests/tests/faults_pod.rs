//! What Kubernetes and its admins do to the Pod of a running job, and images that do not start.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::process::{agent, no_process_of};
use e2e::{ALICE, Changed, Job, NODE1, ROOT, alone, api_log, image, no_pod_of, registry, until};
use serde_json::{Value, json};

#[test]
fn a_deleted_an_evicted_and_a_killed_pod_are_no_failure_of_the_users() {
    let _alone = alone();
    let [deleted, evicted, killed] = ["node1", "node2", "node1"].map(|node| Job::submit(node, &[]));
    let [deleted, evicted, killed] = [deleted, evicted, killed].map(Job::running);
    let pod = |job: &Job| format!("slurm-job-{}", job.id);
    let kubectl = ["kubectl", "-n", "slurm-jobs"];
    let _ = ROOT.run(&[&kubectl[..], &["delete", "pod", "--wait=false", &pod(&deleted)]].concat()).ok();
    let name = pod(&evicted);
    let eviction = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}","namespace":"slurm-jobs"}}}}"#
    );
    let path = format!("/api/v1/namespaces/slurm-jobs/pods/{name}/eviction");
    let _ = ROOT.run_with(&["kubectl", "create", "--raw", &path, "-f", "-"], eviction.as_bytes()).ok();
    agent(&killed.id).kill();
    deleted.failed(125, &format!("the Pod {} was deleted in Kubernetes", pod(&deleted)));
    evicted.failed(125, &format!("the Pod {name} was evicted in Kubernetes: EvictionByEvictionAPI"));
    killed.failed(125, "the Pod's first process ended (exit code 137) without reporting how the command ended");
    [&deleted, &evicted, &killed].into_iter().for_each(|job| no_process_of(&job.id));
}

#[test]
fn a_job_that_ends_well_when_its_pod_is_deleted_keeps_its_own_status() {
    let _alone = alone();
    let script = "#!/bin/bash\ntrap 'echo checkpoint; exit 0' TERM\necho begin\nwhile :; do sleep 0.1; done\n";
    let job = Job::of("node1", &[], script).running();
    let pod = format!("slurm-job-{}", job.id);
    let _ = ROOT.run(&["kubectl", "-n", "slurm-jobs", "delete", "pod", "--wait=false", &pod]).ok();
    job.ended("COMPLETED|0:0");
    assert_eq!(job.output(), b"begin\ncheckpoint\n");
    assert!(job.errors().contains(&format!("spank-k8s: the Pod {pod} was deleted in Kubernetes")), "{}", job.errors());
}

#[test]
fn who_deletes_a_pod_gives_it_the_time_that_slurm_gives_its_jobs() {
    let _alone = alone();
    // A job that nothing but SIGKILL ends.
    let script = "#!/bin/bash\ntrap '' TERM\necho begin\nwhile :; do sleep 0.1; done\n";
    for (line, grace) in [("", "30"), ("KillWait=2", "2")] {
        let other = |text: String| text.replace("KillWait=5", line);
        let _changed = Changed::edit(NODE1, "/etc/slurm/slurm.conf", other);
        let job = Job::of("node1", &[], script).running();
        let pod = format!("slurm-job-{}", job.id);
        let kubectl = ["kubectl", "-n", "slurm-jobs"];
        let field = ["-o", "jsonpath={.spec.terminationGracePeriodSeconds}"];
        assert_eq!(ROOT.run(&[&kubectl[..], &["get", "pod", &pod], &field].concat()).ok().text(), grace);
        if !line.is_empty() {
            let _ = ROOT.run(&[&kubectl[..], &["delete", "pod", "--wait=false", &pod]].concat()).ok();
            job.failed(125, &format!("the Pod {pod} was deleted in Kubernetes"));
        }
    }
}

/// Puts `name` into the testbed's registry: busybox for another architecture only, or with half a layer.
fn push(name: &str, change: &str) {
    let mut manifest: Value = serde_json::from_slice(&registry::get("busybox/manifests/1")).unwrap();
    let blob = |part: &Value| registry::get(&format!("busybox/blobs/{}", part["digest"].as_str().unwrap()));
    let (mut config, mut layer) = (blob(&manifest["config"]), blob(&manifest["layers"][0]));
    if change == "damaged" {
        layer.truncate(layer.len() / 2);
        // Another layer than busybox's, which the node has unpacked already.
        let mut changed: Value = serde_json::from_slice(&config).unwrap();
        changed["rootfs"]["diff_ids"][0] = registry::digest(b"damaged").into();
        config = changed.to_string().into_bytes();
    }
    manifest["config"]["digest"] = registry::put_blob(name, &config).into();
    manifest["config"]["size"] = config.len().into();
    manifest["layers"][0]["digest"] = registry::put_blob(name, &layer).into();
    manifest["layers"][0]["size"] = layer.len().into();
    let text = manifest.to_string();
    if change == "arm64" {
        let digest = registry::digest(text.as_bytes());
        registry::put_manifest(name, &digest, registry::MANIFEST, &text);
        let only = json!({
            "mediaType": registry::MANIFEST, "digest": digest, "size": text.len(),
            "platform": {"architecture": "arm64", "os": "linux"},
        });
        let index = json!({"schemaVersion": 2, "manifests": [only]});
        registry::put_manifest(name, "1", registry::INDEX, &index.to_string());
    } else {
        registry::put_manifest(name, "1", registry::MANIFEST, &text);
    }
}

#[test]
fn an_image_that_cannot_run_here_is_named() {
    let _alone = alone();
    for (change, text) in
        [("arm64", "has no variant for this node's architecture"), ("damaged", "is broken: failed to extract layer")]
    {
        let name = format!("faults-{change}");
        push(&name, change);
        let image = format!("--k8s-image={}", image("busybox").replace("busybox", &name));
        ALICE.run(&["srun", "-w", "node1", &image, "true"]).fails(122, text);
    }
}

#[test]
fn a_good_job_costs_three_requests() {
    let _alone = alone();
    let begin = api_log::audit_end();
    let job = Job::of("node1", &["--wait"], "#!/bin/bash\necho whole\n");
    job.ended("COMPLETED|0:0");
    no_pod_of(&job.id);
    let mut verbs = Vec::new();
    until("the audit log has the deletion", || {
        // Lists and events have no Pod's name in them.
        let log = api_log::audited(begin);
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines = lines.filter(|line| line["user"]["username"] == "slurm-k8s:node:node1");
        // A watch has one line when it starts and one when it ends.
        let mut seen = std::collections::BTreeSet::new();
        let first = lines.filter(|line| seen.insert(line["auditID"].to_string()));
        verbs = first.map(|line| line["verb"].as_str().unwrap_or_default().to_owned()).collect();
        if verbs.iter().any(|verb| verb == "delete") { Ok(()) } else { Err(log) }
    });
    assert_eq!(verbs, ["create", "watch", "delete"]);
    let log = NODE1.run(&["grep", &format!("\"job\":\"{}.batch\"", job.id), "/var/log/slurm-k8s/engine.log"]).text();
    assert!(log.contains("\"phase\":\"deleted\""), "{log}");
}
