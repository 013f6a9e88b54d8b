//! A namespace for each user, made by the controller, with the site's quota.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, At, Changed, Fault, NODE1, ROOT, Ran, alone, in_image, until};

const CTL: At = At { user: "root", host: "ctl" };
const BOB: At = At { user: "bob", host: "login" };
const CONFIG: &str = "/etc/slurm/k8s.toml";
/// What slurm-k8s reads in these tests.
const CLI_CONFIG: &str = "/tmp/k8s-namespaces.toml";
const IDENTITY: &str = "/tmp/k8s-namespaces.kubeconfig";
const DEPLOY: [&str; 2] =
    [include_str!("../../deploy/per-user/roles.yaml"), include_str!("../../deploy/per-user/policy.yaml")];
const NAMESPACE: &str = "user-1000";

/// The objects of deploy/per-user, and a kubeconfig that acts as `slurm-k8s:namespaces`. They go with the test.
struct PerUser;

impl PerUser {
    fn set_up() -> Self {
        for file in DEPLOY {
            let _ = ROOT.run_with(&["kubectl", "apply", "-f", "-"], file.as_bytes()).ok();
        }
        let admin = CTL.run(&["cat", "/etc/testbed/kubeconfig-root"]).ok().text();
        let identity = admin.replacen("  user:\n", "  user:\n    as: slurm-k8s:namespaces\n", 1);
        let _ =
            CTL.run_with(&["install", "-o", "slurm", "-m", "0600", "/dev/stdin", IDENTITY], identity.as_bytes()).ok();
        until("the policy has its effect", || {
            let ran = as_namespaces(&["create", "--dry-run=server", "namespace", "mine"]);
            ran.errors().contains("namespaces of users only").then_some(()).ok_or_else(|| ran.errors())
        });
        Self
    }
}

impl Drop for PerUser {
    fn drop(&mut self) {
        let _ = ROOT.run(&["kubectl", "delete", "namespace", "--ignore-not-found", "--wait=true", NAMESPACE]);
        for file in DEPLOY {
            let _ = ROOT.run_with(&["kubectl", "delete", "--ignore-not-found", "-f", "-"], file.as_bytes());
        }
        let _ = CTL.run(&["rm", "-f", IDENTITY]);
    }
}

fn as_namespaces(argv: &[&str]) -> Ran {
    ROOT.run(&[&["kubectl", "--as=slurm-k8s:namespaces"], argv].concat())
}

fn ensure(settings: &str, users: &[&str]) -> Ran {
    // The gc of the testbed's cluster is to find its Pods.
    let text = format!("cluster = \"testbed\"\n[kubernetes]\nnamespace_per_user = true\n{settings}");
    let _ = CTL.run_with(&["tee", CLI_CONFIG], text.as_bytes()).ok();
    let options = [&format!("--config={CLI_CONFIG}")[..], &format!("--kubeconfig={IDENTITY}")];
    CTL.run(&[&["slurm-k8s", "namespace", "ensure"], &options[..], users].concat())
}

#[test]
fn a_users_job_runs_in_its_own_namespace_and_within_its_quota() {
    let _alone = alone();
    let _per_user = PerUser::set_up();
    let per_user = |text: String| text + "[kubernetes]\nnamespace_per_user = true\n";
    let changed = Changed::edit(NODE1, CONFIG, per_user);
    let image = in_image("busybox");
    let argv = ["srun", "-Q", "-w", "node1", "--k8s-keep", &image, "sh", "-c", "echo $SLURM_JOB_ID"];
    let ran = ALICE.run(&argv);
    ran.fails(121, "user-1000");
    // A node may not even look where there is no binding for it.
    assert!(ran.errors().contains("hint: "), "{}", ran.errors());

    let _ = ensure("user_quota = ['pods=9', 'requests.cpu=32', 'limits.memory=128Gi']\n", &["alice"]).ok();
    let mut job = String::new();
    until("the job runs in its namespace", || {
        let ran = ALICE.run(&argv);
        job = ran.text();
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    let label = format!("job-id={job}");
    let there = ROOT.run(&["kubectl", "get", "pods", "-n", NAMESPACE, "-l", &label, "-o", "name"]).ok().text();
    assert_eq!(there, format!("pod/slurm-job-{job}-0-0"));
    // What is left there is gc's as everywhere.
    let config = format!("--config={CLI_CONFIG}");
    let gc = ["slurm-k8s", "gc", "--delete", "--finished-after=0s", "--kept-after=0s", &config];
    until("gc has deleted the kept Pod", || {
        let ran = CTL.run(&[&gc[..], &["--kubeconfig=/etc/slurm/k8s-gc.kubeconfig"]].concat());
        let left = ROOT.run(&["kubectl", "get", "pods", "-n", NAMESPACE, "-o", "name"]).ok().text();
        left.is_empty().then_some(()).ok_or_else(|| format!("{left} {} {}", ran.text(), ran.errors()))
    });

    // As Slurm's bookings: two cores are more than one.
    let _ = ensure("user_quota = ['pods=9', 'requests.cpu=1', 'requests.memory=150Mi']\n", &["alice"]).ok();
    drop(changed);
    {
        let _booked = Changed::edit(NODE1, CONFIG, |text| per_user(text) + "requests = 'allocated'\n");
        let job = |cores: &str, memory: &str| {
            let memory = format!("--mem={memory}");
            ALICE.run(&["srun", "-Q", "-w", "node1", "-n1", "-c", cores, &memory, &image, "true"])
        };
        until("the quota holds", || {
            let errors = job("2", "100M").errors();
            errors.contains("exceeded quota").then_some(()).ok_or(errors)
        });
        job("2", "100M").fails(119, "requested: requests.cpu=2");
        job("1", "200M").fails(119, "requested: requests.memory=");
        let _ = job("1", "100M").ok();
    }

    let _changed = Changed::edit(NODE1, CONFIG, per_user);

    // Again, with less: slurmctld names the user.
    let _ = ensure("user_quota = ['requests.cpu=5m']\nuser_network_policy = true\n", &["1000"]).ok();
    let argv = ["srun", "-Q", "-w", "node1", &image, "true"];
    until("the quota holds", || {
        let errors = ALICE.run(&argv).errors();
        errors.contains("exceeded quota").then_some(()).ok_or(errors)
    });
    ALICE.run(&argv).fails(119, "exceeded quota");
    let policy = ROOT.run(&["kubectl", "get", "networkpolicy", "-n", NAMESPACE, "-o", "name"]).ok().text();
    assert_eq!(policy, "networkpolicy.networking.k8s.io/slurm-k8s");
    assert!(ensure("", &["no-such-user"]).ended_with(1).errors().contains("no user no-such-user"));
}

/// slurmctld starts again when this goes: it learns of a prolog of its own no other way.
struct Reconfigure;

impl Drop for Reconfigure {
    fn drop(&mut self) {
        drop(Fault::start("slurmctld"));
        let _ = ROOT.run(&["kubectl", "delete", "namespace", "--ignore-not-found", "--wait=true", "user-1001"]);
    }
}

/// As deploy/README.md has it.
#[test]
fn slurmctld_makes_the_namespace_of_a_new_user_before_the_first_job() {
    let _alone = alone();
    let _per_user = PerUser::set_up();
    let _changed = Changed::edit(NODE1, CONFIG, |text| text + "[kubernetes]\nnamespace_per_user = true\n");
    let _ = ensure("", &["alice"]).ok();
    let prolog = "/tmp/ensure-namespace";
    let text =
        format!("#!/bin/sh\nexec /usr/bin/slurm-k8s namespace ensure --config={CLI_CONFIG} --kubeconfig={IDENTITY}\n");
    let _ = CTL.run_with(&["install", "-m", "0755", "/dev/stdin", prolog], text.as_bytes()).ok();
    let reconfigure = Reconfigure;
    let changed = Changed::edit(CTL, "/etc/slurm/slurm.conf", |text| text + &format!("PrologSlurmctld={prolog}\n"));
    drop(Fault::start("slurmctld"));
    let image = in_image("busybox");
    // A node learns of the new binding a moment later.
    until("bob's job runs in his namespace", || {
        let ran = BOB.run(&["srun", "-Q", "-w", "node1", "--mem=100M", &image, "hostname"]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
    let events =
        ROOT.run(&["kubectl", "get", "resourcequota,rolebinding", "-n", "user-1001", "-o", "name"]).ok().text();
    assert!(events.contains("rolebinding"), "{events}");
    drop((changed, reconfigure));
}

#[test]
fn its_identity_makes_nothing_but_users_namespaces() {
    let _alone = alone();
    let _per_user = PerUser::set_up();
    let refused = |argv: &[&str], why: &str| {
        let ran = as_namespaces(argv);
        assert!(ran.code != Some(0) && ran.errors().contains(why), "{argv:?}: {}", ran.errors());
    };
    refused(&["create", "namespace", "user-1"], "only namespaces that it has made");
    refused(&["create", "namespace", "kube-public-2"], "namespaces of users only");
    refused(&["create", "quota", "q", "--hard=pods=0", "-n", "kube-system"], "namespaces of users only");
    let admin = ["create", "rolebinding", "b", "--clusterrole=cluster-admin", "--user=mallory", "-n", "slurm-jobs"];
    refused(&admin, "attempting to grant");
    let node = ["create", "rolebinding", "b", "--clusterrole=slurm-k8s-node", "--user=mallory", "-n", "slurm-jobs"];
    refused(&node, "slurm-k8s:namespaces may");
    for (verb, what) in
        [("get", "secrets"), ("list", "pods"), ("create", "pods"), ("delete", "namespaces"), ("get", "namespaces")]
    {
        assert_eq!(as_namespaces(&["auth", "can-i", verb, what, "-A"]).text(), "no", "{verb} {what}");
    }
}
