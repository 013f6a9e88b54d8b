//! The site's policy holds on the node, whatever the submitting side was made to say.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::Unasked;
use e2e::{ALICE, At, Away, Changed, NODE1, ROOT, alone, image, in_image, no_pod_of, registry, scratch, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const PLUGIN: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";

/// In each of the forms in which Slurm carries an option to the node, and in ours.
fn by_hand(name: &str, value: &str) -> [String; 3] {
    let spank = name.replace('-', "_");
    [
        format!("_SLURM_SPANK_OPTION_k8s_{spank}={value}"),
        format!("SLURM_SPANK__SLURM_SPANK_OPTION_k8s_{spank}={value}"),
        format!("SLURM_{}={value}", spank.to_uppercase()),
    ]
}

/// Runs `true` on node1 from a login host without the plugin, with options that only the environment has.
fn without_the_plugin(at: At, options: &[(&str, &str)], command: &[&str]) -> e2e::Ran {
    let variables: Vec<_> = options.iter().flat_map(|(name, value)| by_hand(name, value)).collect();
    let mut argv = vec!["env"];
    argv.extend(variables.iter().map(String::as_str));
    argv.extend(["srun", "-Q", "-w", "node1"]);
    at.run(&[&argv[..], command].concat())
}

#[test]
fn each_rule_holds_without_a_plugin_on_the_login_host() {
    let _alone = alone();
    let image = image("busybox");
    let _unasked = Unasked::start();
    let _away = Away::take(ROOT, PLUGIN);
    // The node hears of the image this way: what follows is not refused for want of one.
    let in_pod = ["/bin/sh", "-c", "test -e /.slurm-k8s/agent && echo in a Pod"];
    assert_eq!(without_the_plugin(ALICE, &[("k8s-image", &image)], &in_pod).ok().text(), "in a Pod");
    for (option, value) in [
        ("k8s-network", "host"),
        ("k8s-namespace", "kube-system"),
        ("k8s-priority-class", "system-node-critical"),
        ("k8s-mounts", "/etc:/x"),
        ("k8s-mounts", "/home/../etc:/x"),
    ] {
        let ran = without_the_plugin(ALICE, &[("k8s-image", &image), (option, value)], &["/bin/true"]);
        ran.fails(124, &option.replace("k8s-", ""));
    }
    without_the_plugin(ROOT, &[("k8s-image", &image)], &["/bin/true"]).fails(124, "root");
    {
        let only = |text: String| text + "[policy]\nimages = ['nas-hub.local:5407/user*']\n";
        let _changed = Changed::edit(NODE1, CONFIG, only);
        for other in [image.clone(), "busybox".into(), "evil.example/user/tool:1".into()] {
            without_the_plugin(ALICE, &[("k8s-image", &other)], &["/bin/true"]).fails(124, "not among the images");
        }
    }
    let digest = |text: String| text + "[policy]\ndigest_only = true\n";
    let _changed = Changed::edit(NODE1, CONFIG, digest);
    without_the_plugin(ALICE, &[("k8s-image", &image)], &["/bin/true"]).fails(124, "digest");
}

/// The site allows it: on the login host and on node1.
fn allow(policy: &'static str) -> [Changed; 2] {
    [ROOT, NODE1].map(|host| Changed::edit(host, CONFIG, |text| text + "[policy]\n" + policy + "\n"))
}

#[test]
fn a_priority_class_that_is_allowed_is_the_pods() {
    const CLASS: &str = "testbed-high";
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = ROOT.run(&["kubectl", "delete", "priorityclass", CLASS, "--ignore-not-found"]);
        }
    }
    let _alone = alone();
    let _unasked = Unasked::start();
    let _gone = Gone;
    let _ = ROOT.run(&["kubectl", "create", "priorityclass", CLASS, "--value=1000"]).ok();
    let _allowed = allow("priority_classes = ['testbed-high']");
    let option = format!("--k8s-priority-class={CLASS}");
    let argv = ["sbatch", "--parsable", "-w", "node1", "--mem=100M", "-o", "/dev/null", &in_image("busybox"), &option];
    let job = ALICE.run_with(&argv, b"#!/bin/sh\nsleep 100\n").ok().text();
    let path = "jsonpath={.spec.priorityClassName} {.spec.priority} {.status.phase}";
    until("the Pod runs with its class", || {
        let seen = ROOT.run(&["kubectl", "get", "pod", &format!("slurm-job-{job}"), "-o", path]).text();
        (seen == format!("{CLASS} 1000 Running")).then_some(()).ok_or(seen)
    });
    let _ = ALICE.run(&["scancel", &job]).ok();
    no_pod_of(&job);
}

#[test]
fn root_has_pods_where_the_site_allows_it() {
    let _alone = alone();
    let _unasked = Unasked::start();
    let srun = ["srun", "-Q", "-w", "node1", "--mem=100M", &in_image("busybox"), "sh", "-c"];
    let line = "id -u; grep CapEff /proc/self/status; test -e /.slurm-k8s/agent && echo in a Pod";
    let run = || ROOT.run(&[&srun[..], &[line]].concat());
    assert_ne!(run().code, Some(0));
    let _allowed = allow("root = true");
    // Pod Security "restricted" of the namespace forbids it, too.
    let level = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        let _ = ROOT.run(&["kubectl", "label", "--overwrite", "namespace", "slurm-jobs", &label]).ok();
    };
    run().fails(121, "runAsNonRoot");
    level("baseline");
    let ran = run();
    level("restricted");
    assert_eq!(ran.ok().text(), "0\nCapEff:\t0000000000000000\nin a Pod");
}

#[test]
fn an_image_with_its_digest_runs_where_digests_are_asked_for() {
    let _alone = alone();
    let _unasked = Unasked::start();
    let _allowed = allow("digest_only = true");
    let image = image("busybox");
    let (name, tag) = image.rsplit_once(':').unwrap();
    let repository = name.split_once('/').unwrap().1;
    let digest = registry::digest(&registry::get(&format!("{repository}/manifests/{tag}")));
    let srun = |image: &str| {
        ALICE.run(&["srun", "-Q", "-w", "node1", &format!("--k8s-image={image}"), "sh", "-c", "ls -d /.slurm-k8s"])
    };
    srun(&image).fails(1, "digest");
    assert_eq!(srun(&format!("{name}@{digest}")).ok().text(), "/.slurm-k8s");
    assert_eq!(srun(&format!("{image}@{digest}")).ok().text(), "/.slurm-k8s");
    // What the registry does not have under that name is not run.
    let other = format!("{name}@sha256:{}", "0".repeat(64));
    srun(&other).fails(122, &other);
}

#[test]
fn each_rule_holds_for_a_batch_script_and_its_steps() {
    let _alone = alone();
    let folder = scratch("bypass");
    let image = image("busybox");
    // The job was submitted in order; its script then says something else to the step.
    let variables = by_hand("k8s-namespace", "kube-system").join(" ");
    let script = format!("env {variables} srun -Q true; echo ended $?");
    let output = format!("--output={folder}/out");
    let image_option = format!("--k8s-image={image}");
    let argv = ["sbatch", "-w", "node1", "--k8s-batch=host", &output, &image_option, "--wrap", &script];
    let _ = ALICE.batch(&argv, "").ok();
    let text = ALICE.run(&["cat", &format!("{folder}/out")]).ok().text();
    assert!(text.contains("kube-system is not among the namespaces"), "{text}");
    assert!(!text.contains("ended 0"), "{text}");
}

#[test]
fn odd_values_are_values_or_refused() {
    let _alone = alone();
    for (option, named) in [
        ("--k8s-image=busybox\"; touch /tmp/x; \"", "--k8s-image"),
        ("--k8s-image=busybox\nkind: Pod", "--k8s-image"),
        ("--k8s-image=$(reboot)", "--k8s-image"),
        ("--k8s-namespace=slurm-jobs\n---\nkind: Pod", "--k8s-namespace"),
        ("--k8s-priority-class={}", "--k8s-priority-class"),
        ("--k8s-shm-size=1G;id", "--k8s-shm-size"),
        ("--k8s-env=A B=1", "--k8s-env"),
        ("--k8s-env=SLURM_JOB_ID=1", "--k8s-env"),
        ("--k8s-env=A=x\n---\nkind: Pod", "control character"),
        ("--k8s-workdir=relative\n/x", "--k8s-workdir"),
    ] {
        let image = in_image("busybox");
        let image = if option.starts_with("--k8s-image") { "-Q" } else { &image };
        let ran = ALICE.run(&["srun", image, option, "true"]);
        ran.fails(1, named);
        assert!(ran.errors().lines().count() <= 4, "one line and a hint: {}", ran.errors());
    }
    // What no rule forbids arrives as it is, and is nobody's syntax on the way.
    let value = "--- {kind: Pod} $(id) ${HOME} `id` '\" {{.}} \u{fffd}";
    let option = format!("--k8s-env=ODD={value}");
    let name = "$(id); \"x\": {}\n# ,=";
    let argv = [
        "srun",
        "-Q",
        "-J",
        name,
        "-w",
        "node1",
        &in_image("busybox"),
        &option,
        "sh",
        "-c",
        "echo \"$ODD\"; echo \"$SLURM_JOB_NAME\"",
    ];
    let text = ALICE.run(&argv).ok().text();
    assert_eq!(text, format!("{value}\n{name}"));
    let ran = ALICE.run(&["srun", "-w", "node1", &in_image("busybox"), "--k8s-workdir=/no\n\u{1b}[31m: there", "true"]);
    ran.fails(1, "control character");
    assert!(!ran.errors().contains('\u{1b}'), "{}", ran.errors());
    let long = format!("--k8s-env=LONG={}", "x".repeat(100_000));
    let argv = ["srun", "-Q", "-w", "node1", &in_image("busybox"), &long, "sh", "-c", "printf %s \"$LONG\" | wc -c"];
    assert_eq!(ALICE.run(&argv).ok().text(), "100000");
}
