//! The site's policy holds on the node, whatever the submitting side was made to say.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::Unasked;
use e2e::{ALICE, At, Away, Changed, NODE1, ROOT, alone, image, in_image, scratch};

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
