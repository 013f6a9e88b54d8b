//! `slurm-k8s doctor` names each thing that is broken on a host, and nothing where nothing is.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::any::Any;

use e2e::{At, Away, CTL, Changed, Fault, NODE1, NODE2, ROOT, alone, kubelets_follow, until};

const ADMIN: &str = "/etc/testbed/kubeconfig-root";
const CONFIG: &str = "/etc/slurm/k8s.toml";
const LINE: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";
const KUBECONFIG: &str = "/etc/slurm/k8s.kubeconfig";
const CONTAINERD: &str = "/etc/containerd/config.toml";
const POLICY: &[u8] = include_bytes!("../../deploy/node-policy.yaml");
const LIBEXEC: &str = "/usr/libexec/slurm-k8s";

/// The kinds of what is found there, each with its cause, and the exit code.
fn findings(at: At, arguments: &[&str]) -> (Vec<(String, String)>, i32) {
    let ran = at.run(&[&["slurm-k8s", "doctor", "--json"], arguments].concat());
    let document: serde_json::Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.errors()));
    let word = |finding: &serde_json::Value, key: &str| finding.get(key).unwrap().as_str().unwrap().to_owned();
    let findings = document.get("findings").unwrap().as_array().unwrap().iter();
    (findings.map(|one| (word(one, "kind"), word(one, "cause"))).collect(), ran.code.unwrap())
}

/// Waits until this is found, with these words in its cause, and fails unless an error makes the exit code 1.
fn finds(at: At, arguments: &[&str], kind: &str, words: &str) {
    until(&format!("doctor finds {kind} with {words:?}"), || {
        let (found, code) = findings(at, arguments);
        let there = found.iter().any(|(id, cause)| id == kind && cause.contains(words));
        assert!(code == 0 || code == 1, "{code}");
        there.then_some(()).ok_or_else(|| format!("{found:?}"))
    });
}

/// Something that is undone by a command when this goes.
struct Undone(At, String);

impl Undone {
    fn after(at: At, command: &str, undo: &str) -> Box<dyn Any> {
        let this = Self(at, undo.to_owned());
        let _ = at.run(&["sh", "-c", command]).ok();
        Box::new(this)
    }
}

impl Drop for Undone {
    fn drop(&mut self) {
        let _ = self.0.run(&["sh", "-c", &self.1]);
    }
}

fn changed(path: &str, change: impl Fn(String) -> String) -> Box<dyn Any> {
    Box::new(Changed::edit(NODE1, path, change))
}

fn replaced(path: &str, from: &'static str, to: &'static str) -> Box<dyn Any> {
    changed(path, move |text| {
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    })
}

fn with_lines(lines: &'static str) -> Box<dyn Any> {
    changed(CONFIG, move |text| text + lines)
}

/// A machine without the cgroups that Slurm wants is a testbed all the same.
fn nothing_wrong(at: At, arguments: &[&str]) -> Result<(), String> {
    let (mut found, code) = findings(at, arguments);
    found.retain(|(kind, _)| kind != "tracking");
    (found.is_empty() && code == 0).then_some(()).ok_or_else(|| format!("{code}: {found:?}"))
}

#[test]
fn a_host_that_is_right_has_nothing_wrong() {
    let _alone = alone();
    for at in [NODE1, NODE2, CTL] {
        assert_eq!(nothing_wrong(at, &[]), Ok(()), "{}", at.host);
    }
    assert_eq!(nothing_wrong(ROOT, &["--cluster", ADMIN]), Ok(()));
    assert_eq!(ROOT.run(&["slurm-k8s", "doctor"]).ok().text(), "login is a login host\nnothing is wrong");
    for (at, what) in [(NODE1, "node1 is a compute node\n"), (CTL, "ctl is the controller\n")] {
        let text = at.run(&["slurm-k8s", "doctor"]).ok().text();
        assert!(text.starts_with(what), "{text}");
    }
}

#[test]
fn what_is_broken_on_a_node_is_named() {
    type Break = fn() -> Box<dyn Any>;
    let _alone = alone();
    // The first step on a node makes the folders that steps leave things in.
    kubelets_follow();
    let cases: &[(&str, &str, Break)] = &[
        ("config", "nope", || changed(CONFIG, |text| format!("nope = 1\n{text}"))),
        ("plugstack", "names no spank_k8s.so", || Box::new(Away::take(NODE1, LINE))),
        ("optional", LINE, || replaced(LINE, "required /", "optional /")),
        ("plugin", "/none/spank_k8s.so is not there", || {
            replaced(LINE, "/usr/lib/x86_64-linux-gnu/slurm-wlm/spank_k8s.so", "/none/spank_k8s.so")
        }),
        ("program", "slurm-k8s-agent is not there", || {
            Box::new(Away::take(NODE1, &format!("{LIBEXEC}/slurm-k8s-agent")))
        }),
        ("program", "mode 0777", || {
            let file = format!("{LIBEXEC}/slurm-k8s-runtime");
            Undone::after(NODE1, &format!("chmod 777 {file}"), &format!("chmod 755 {file}"))
        }),
        ("version", "slurm-k8s-agent 0.0.0, not slurm-k8s-agent", || {
            let file = format!("{LIBEXEC}/slurm-k8s-agent");
            let other = format!(
                "mv {file} {file}.good; printf '#!/bin/sh\\necho slurm-k8s-agent 0.0.0\\n' > {file}; chmod 755 {file}"
            );
            Undone::after(NODE1, &other, &format!("mv {file}.good {file}"))
        }),
        ("next-runtime", "there is no no-such-runtime", || {
            let file = "/etc/slurm/k8s-next-runtime";
            Undone::after(NODE1, &format!("echo no-such-runtime > {file}"), &format!("rm {file}"))
        }),
        ("handler", "slurm-k8s-runtime", || replaced(CONTAINERD, "slurm-k8s-runtime\"", "other-runtime\"")),
        ("annotations", "slurm-k8s", || replaced(CONTAINERD, "spank-k8s.io/*", "example.com/*")),
        ("run-folder", "mode 0755", || Undone::after(NODE1, "chmod 755 /run/slurm-k8s", "chmod 711 /run/slurm-k8s")),
        ("run-folder", "there is no /none", || with_lines("[paths]\nrun = \"/none\"\n")),
        ("run-full", "/run/slurm-k8s", || Box::new(Fault::start("disk@node1"))),
        ("mount", "there is no folder /none", || replaced(CONFIG, "\"/home\"", "\"/none\"")),
        ("template", "/none.yaml", || with_lines("[profiles.bad]\nimage = \"a\"\ntemplate = \"/none.yaml\"\n")),
        ("leftover", "pods/slurm-job-4000000000", || {
            let folder = "/run/slurm-k8s/pods/slurm-job-4000000000";
            Undone::after(NODE1, &format!("mkdir {folder} && touch -d -1hour {folder}"), &format!("rmdir {folder}"))
        }),
        ("kubeconfig", KUBECONFIG, || changed(KUBECONFIG, |_| "users: 7\n".to_owned())),
        ("kubeconfig", "No such file", || Box::new(Away::take(NODE1, KUBECONFIG))),
        ("readable", "mode 0644", || {
            Undone::after(NODE1, &format!("chmod 644 {KUBECONFIG}"), &format!("chmod 600 {KUBECONFIG}"))
        }),
        ("certificate", "the certificate ends at", || Box::new(Fault::start("credentials@node1"))),
        ("api", "cannot speak with the Kubernetes API server", || replaced(KUBECONFIG, ":6443", ":1")),
        ("identity", "it is slurm-k8s:node:node1 of", || with_lines("[kubernetes]\nnode_name = \"other\"\n")),
        ("rights", "in default it may not create pods", || with_lines("[kubernetes]\nnamespace = \"default\"\n")),
        ("refused", "absent", || with_lines("[kubernetes]\nruntime_class = \"absent\"\n")),
        ("too-much", "it may list secrets anywhere", || {
            let make = "kubectl create clusterrole doctor --verb=list --resource=secrets && \
                        kubectl create clusterrolebinding doctor --clusterrole=doctor --group=slurm-k8s:nodes";
            Undone::after(ROOT, make, "kubectl delete clusterrolebinding,clusterrole doctor")
        }),
        ("policy", "was not refused", || {
            let _ = ROOT.run_with(&["tee", "/root/policy.yaml"], POLICY).ok();
            let delete = "kubectl delete validatingadmissionpolicybinding slurm-k8s-node slurm-k8s-runtime-class";
            Undone::after(ROOT, delete, "kubectl apply -f /root/policy.yaml; rm /root/policy.yaml")
        }),
    ];
    for (kind, words, broken) in cases {
        let broken = broken();
        finds(NODE1, &[], kind, words);
        drop(broken);
    }
    until("all is mended", || nothing_wrong(NODE1, &[]));
}

#[test]
fn a_run_folder_among_other_things_is_worth_a_warning() {
    let _alone = alone();
    let folder = "/var/lib/elsewhere";
    let _folder = Undone::after(NODE1, &format!("mkdir -m 711 {folder}"), &format!("rmdir {folder}"));
    let _changed = with_lines("[paths]\nrun = \"/var/lib/elsewhere\"\n");
    // A machine whose disk is nearly full has more to say.
    let (found, _) = findings(NODE1, &[]);
    let shared = ("run-shared".to_owned(), format!("{folder} is on a file system with other things"));
    assert!(found.contains(&shared), "{found:?}");
}

#[test]
fn what_slurm_lacks_is_named_and_slurm_itself() {
    let _alone = alone();
    {
        let _away = Away::take(CTL, "/usr/lib/x86_64-linux-gnu/slurm-wlm/job_submit_k8s.so");
        finds(CTL, &[], "job-submit", "there is no job_submit_k8s.so in PluginDir");
    }
    let ran = NODE1.run(&["env", "SLURM_CONF=/dev/null", "slurm-k8s", "doctor"]).ended_with(1);
    assert!(ran.text().contains("error: scontrol ") && ran.text().contains("[slurm]"), "{}", ran.text());
    // By what is installed there.
    assert!(ran.text().starts_with("node1 is a compute node\n"), "{}", ran.text());
}

#[test]
fn a_taint_that_drives_jobs_away_is_named() {
    let _alone = alone();
    let taint = "kubectl taint node node2 example.com/away=:NoExecute";
    let _tainted = Undone::after(ROOT, taint, &format!("{taint}-"));
    finds(ROOT, &["--cluster", ADMIN], "node-taint", "node2: example.com/away");
}
