//! `slurm-k8s gc`: what a killed slurmstepd leaves goes, everything else stays.
//!
//! The testbed's service (5 s, 10 s, Slurm asked every 5 s) watches cluster `testbed`; what must not meet it has another
//! cluster's label and is judged by a `slurm-k8s gc` of the test's own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use e2e::{ALICE, At, Fault, NODE1, ROOT, Ran, alone, image, in_image, no_pod_of, nodes_are_up, together, until};

/// The admin on the controller.
const CTL: At = At { user: "root", host: "ctl" };
/// The identity of the service.
const IDENTITY: &str = "--kubeconfig=/etc/slurm/k8s-gc.kubeconfig";
/// A job that Slurm never had.
const NO_JOB: &str = "4000000000";

fn submit(options: &[&str], command: &str) -> String {
    let mut argv = vec!["sbatch", "--parsable", "--output=/dev/null", "--no-requeue", "--nodelist=node1"];
    argv.extend(options);
    argv.extend(["--wrap", command]);
    ALICE.run(&argv).ok().text()
}

/// The phase of a Pod; empty if there is none.
fn phase(pod: &str) -> String {
    let argv = ["kubectl", "get", "pod", "--ignore-not-found", "-o", "jsonpath={.status.phase}", pod];
    ROOT.run(&[&argv[..], &["-n", "slurm-jobs"]].concat()).ok().text()
}

fn await_phase(pod: &str, wanted: &str) {
    until(&format!("{pod} is {wanted:?}"), || {
        let phase = phase(pod);
        (phase == wanted).then_some(()).ok_or(phase)
    });
}

/// One of the service's metrics.
fn figure(name: &str) -> u64 {
    let text = CTL.run(&["cat", "/var/lib/node-exporter/gc.prom"]).ok().text();
    let start = format!("slurm_k8s_gc_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// A Pod with our labels that Slurm did not make.
fn make_pod(name: &str, cluster: &str, job: &str, command: &str) {
    let image = image("busybox");
    let pod = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"slurm-jobs",
        "labels":{{"app":"slurm-job","cluster":"{cluster}","job-id":"{job}"}}}},
        "spec":{{"nodeName":"node1","restartPolicy":"Never","terminationGracePeriodSeconds":1,
        "securityContext":{{"runAsUser":1000,"runAsNonRoot":true,"seccompProfile":{{"type":"RuntimeDefault"}}}},
        "containers":[{{"name":"job","image":"{image}","command":["sh","-c","{command}"],
        "securityContext":{{"allowPrivilegeEscalation":false,"capabilities":{{"drop":["ALL"]}}}}}}]}}}}"#
    );
    let _ = ROOT.run_with(&["kubectl", "create", "-f", "-"], pod.as_bytes()).ok();
}

/// A cluster of this test's own: its label, and the config that names it.
struct Cluster {
    name: String,
    config: String,
}

impl Cluster {
    fn new(test: &str) -> Self {
        let name = format!("{test}-{}", std::process::id());
        let path = format!("/tmp/{name}.toml");
        let _ = CTL.run_with(&["tee", &path], format!("cluster = \"{name}\"\n").as_bytes()).ok();
        Self { name, config: format!("--config={path}") }
    }

    fn gc(&self, options: &[&str]) -> Ran {
        CTL.run(&[&["slurm-k8s", "gc", IDENTITY, &self.config], options].concat())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let label = format!("cluster={}", self.name);
        let _ = ROOT.run(&["kubectl", "delete", "pod", "-n", "slurm-jobs", "--wait=false", "-l", &label]);
    }
}

#[test]
fn the_pod_of_a_killed_slurmstepd_goes_and_that_of_a_running_job_stays() {
    let _alone = alone();
    let bystander = submit(&[&in_image("userland"), "--mem=100"], "sleep 300");
    let job = submit(&[&in_image("userland"), "--mem=100"], "sleep 4243");
    let [pod, other] = [&job, &bystander].map(|job| format!("slurm-job-{job}"));
    await_phase(&pod, "Running");
    await_phase(&other, "Running");
    let _ = NODE1.run(&["pkill", "-KILL", "-f", &format!("^slurmstepd: \\[{job}\\.")]).ok();
    no_pod_of(&job);
    let log = std::fs::read_to_string("/var/lib/spank-k8s-testbed/log/ctl/slurm-k8s-gc.log").unwrap();
    assert!(log.lines().any(|line| line.starts_with(&format!("{pod}  deleted  finished "))), "{log}");
    assert_eq!(phase(&other), "Running");
    let _ = ROOT.run(&["scancel", &job, &bystander]);
    no_pod_of(&bystander);
    nodes_are_up();
}

#[test]
fn kept_and_foreign_pods_stay() {
    let _alone = alone();
    let job = submit(&[&in_image("busybox"), "--k8s-keep"], "true");
    let kept = format!("slurm-job-{job}");
    await_phase(&kept, "Succeeded");
    make_pod("gc-foreign", "elsewhere", NO_JOB, "true");
    let deleted = [r#"deleted_total{why="finished"}"#, r#"deleted_total{why="no_job"}"#];
    let before = deleted.map(figure);
    // Two that are ours: when the service has deleted them, it has had its chance with the others.
    make_pod("gc-finished", "testbed", NO_JOB, "exit 3");
    make_pod("gc-orphan", "testbed", NO_JOB, "sleep 300");
    await_phase("gc-foreign", "Succeeded");
    await_phase("gc-finished", "");
    await_phase("gc-orphan", "");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((phase(&kept).as_str(), phase("gc-foreign").as_str()), ("Succeeded", "Succeeded"));
    until("the metrics tell", || {
        let now = deleted.map(figure);
        let (pods, orphans) = (figure("pods"), figure("orphans"));
        let all = now.iter().zip(before).all(|(now, before)| *now > before) && pods > 0 && orphans == 0;
        all.then_some(()).ok_or_else(|| format!("{before:?} {now:?}, {pods} Pods, {orphans} orphans"))
    });
    let _ = ROOT.run(&["kubectl", "delete", "pod", "-n", "slurm-jobs", "--wait=false", &kept, "gc-foreign"]).ok();
}

#[test]
fn a_dry_run_says_what_would_go_and_deletes_nothing() {
    let _alone = alone();
    let cluster = Cluster::new("gc-dry");
    let running = submit(&[], "sleep 300");
    let [finished, orphan, alive] = ["finished", "orphan", "alive"].map(|what| format!("gc-dry-{what}"));
    make_pod(&finished, &cluster.name, NO_JOB, "true");
    make_pod(&orphan, &cluster.name, NO_JOB, "sleep 300");
    make_pod(&alive, &cluster.name, &running, "sleep 300");
    await_phase(&finished, "Succeeded");
    await_phase(&orphan, "Running");
    await_phase(&alive, "Running");
    let times = ["--finished-after=0s", "--orphan-after=1s"];
    let ran = cluster.gc(&times).ok();
    let text = ran.text();
    let says = |name: &str, action: &str, why: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line.contains(&format!("  {action}  ")) && line.contains(why), "{text}");
    };
    says(&finished, "delete", "finished ");
    says(&orphan, "delete", &format!("Slurm has no job {NO_JOB}"));
    says(&alive, "keep", &format!("job {running} runs"));
    assert!(ran.errors().contains("nothing was deleted: --delete does it"), "{}", ran.errors());
    // With the usual times both are too young.
    let text = cluster.gc(&["--json"]).ok().text();
    assert_eq!(text.matches(r#""action":"keep""#).count(), 3, "{text}");
    assert_eq!((phase(&finished).as_str(), phase(&orphan).as_str()), ("Succeeded", "Running"));

    let text = cluster.gc(&[&["--delete"], &times[..]].concat()).ok().text();
    assert_eq!(text.matches("  deleted  ").count(), 2, "{text}");
    await_phase(&finished, "");
    await_phase(&orphan, "");
    assert_eq!(phase(&alive), "Running");
    let _ = ROOT.run(&["scancel", &running]).ok();
    until("the job's end is known", || {
        let text = cluster.gc(&times).ok().text();
        text.contains(&format!("job {running} ended ")).then_some(()).ok_or(text)
    });
    assert_eq!(phase(&alive), "Running");
}

#[test]
fn without_slurm_only_finished_pods_go() {
    let _alone = alone();
    let cluster = Cluster::new("gc-blind");
    make_pod("gc-blind-orphan", &cluster.name, NO_JOB, "sleep 300");
    make_pod("gc-blind-finished", &cluster.name, NO_JOB, "true");
    await_phase("gc-blind-orphan", "Running");
    await_phase("gc-blind-finished", "Succeeded");
    let argv = ["--delete", "--finished-after=0s", "--orphan-after=0s"];
    {
        let _fault = Fault::start("slurmctld");
        let ran = cluster.gc(&argv).ended_with(1);
        assert!(ran.errors().starts_with("slurm-k8s: squeue failed: "), "{}", ran.errors());
        assert!(ran.text().contains("unfinished; Slurm did not answer"), "{}", ran.text());
    }
    await_phase("gc-blind-finished", "");
    assert_eq!(phase("gc-blind-orphan"), "Running");
    let _ = cluster.gc(&argv).ok();
    await_phase("gc-blind-orphan", "");
}

#[test]
fn its_identity_makes_no_pods_and_deletes_slurms_only() {
    let _together = together();
    let as_gc = |verb: &[&str]| ROOT.run(&[&["kubectl", "--as=slurm-k8s:gc", "-n", "slurm-jobs"], verb].concat());
    for (verb, may) in [("delete", 0), ("list", 0), ("watch", 0), ("create", 1), ("patch", 1), ("get", 1)] {
        let ran = as_gc(&["auth", "can-i", verb, "pods"]);
        assert_eq!(ran.code, Some(may), "{verb}: {}", ran.text());
    }
    make_pod("gc-not-slurms", "elsewhere", NO_JOB, "true");
    let delete = ["delete", "--raw", "/api/v1/namespaces/slurm-jobs/pods/gc-not-slurms"];
    let _ = ROOT.run(&["kubectl", "label", "-n", "slurm-jobs", "pod", "gc-not-slurms", "app-"]).ok();
    let ran = as_gc(&delete).ended_with(1);
    assert!(ran.errors().contains("may delete Pods of Slurm's jobs only"), "{}", ran.errors());
    let _ = ROOT.run(&["kubectl", "delete", "-n", "slurm-jobs", "--wait=false", "pod", "gc-not-slurms"]).ok();
}

#[test]
fn what_is_missing_is_named() {
    let _together = together();
    let ran = CTL.run(&["slurm-k8s", "gc", "--config=/no/k8s.toml"]).ended_with(1);
    assert!(ran.errors().starts_with("slurm-k8s: cannot read /no/k8s.toml: "), "{}", ran.errors());
    assert!(ran.errors().lines().nth(1).is_some_and(|line| line.starts_with("hint: ")), "{}", ran.errors());
    let ran = CTL.run(&["slurm-k8s", "gc", "--kubeconfig=/no/kubeconfig"]).ended_with(1);
    assert!(ran.errors().contains("cannot use the kubeconfig /no/kubeconfig"), "{}", ran.errors());
    let ran = CTL.run(&["slurm-k8s", "gc", "--finished-after=5"]).ended_with(2);
    assert!(ran.errors().contains("not a duration; write for example"), "{}", ran.errors());
}
