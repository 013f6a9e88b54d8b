//! What slurmctld makes of a job, by the site's config and without a plugin on the login host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::{IN_POD, judged, output, refused, sbatch, script};
use e2e::{ALICE, At, Away, CTL, Changed, NODE1, ROOT, accounting, alone, image, in_image, scratch, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const PLUGIN: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";

/// A config of slurmctld's that refuses what its own takes, for as long as it lives.
struct OtherConfig(Option<Changed>);

impl OtherConfig {
    fn set(change: impl FnOnce(String) -> String) -> Self {
        let this = Self(Some(Changed::edit(CTL, CONFIG, change)));
        until("slurmctld has read the config", || if takes() { Err("a job was taken".into()) } else { Ok(()) });
        this
    }
}

impl Drop for OtherConfig {
    /// slurmctld looks once a second: until then it would refuse the next test's jobs.
    fn drop(&mut self) {
        self.0 = None;
        if !std::thread::panicking() {
            until("slurmctld has its own config", || if takes() { Ok(()) } else { Err("a job was refused".into()) });
        }
    }
}

fn takes() -> bool {
    let ran = sbatch(ALICE, &["--hold"], &script(""));
    let taken = ran.code == Some(0);
    if taken {
        let _ = ALICE.run(&["scancel", &ran.text()]).ok();
    }
    taken
}

#[test]
fn the_command_line_and_the_environment_are_judged_without_a_plugin_on_the_login_host() {
    let _alone = alone();
    let _away = Away::take(ROOT, PLUGIN);
    let image = format!("SLURM_K8S_IMAGE={}", image("userland"));
    let host = ["env", &image, "SLURM_K8S_NETWORK=host", "sbatch", "--parsable", "--wrap", "true"];
    refused(
        &ALICE.run(&host),
        "sbatch",
        "SLURM_K8S_NETWORK: this site does not allow the node's network",
        "leave SLURM_K8S_NETWORK=host out, or ask the site's admin for policy.host_network",
    );
    assert_eq!(output(&[], &script("")), "in a Pod");
    assert_eq!(output(&["--export=NONE"], &script("")), "in a Pod");
}

#[test]
fn the_site_asks_for_what_a_job_must_have() {
    let _alone = alone();
    let require = |text: String| text + "[submit]\nrequire = ['time', 'mem']\n";
    let _other = OtherConfig::set(require);
    let hint = "write #SBATCH --time=01:00:00 into the script, or --time=01:00:00 on the command line";
    let cause = "the job has no --time, which this site asks for";
    refused(&sbatch(ALICE, &[], &script("")), "sbatch", cause, hint);
    assert_eq!(output(&["--time=1"], &script("")), "in a Pod");
    let srun = ALICE.run(&["srun", "--time=1", &in_image("busybox"), "true"]);
    let hint = "write #SBATCH --mem=4G into the script, or --mem=4G on the command line";
    refused(&srun, "srun", "the job has no --mem, which this site asks for", hint);
    // Not for those who ask for no Pod.
    let _ = ALICE.run(&["srun", "true"]).ok();
}

#[test]
fn a_broken_config_on_the_controller_refuses_pods_and_nothing_else() {
    let _alone = alone();
    let _other = OtherConfig::set(|text| text + "[kubernetes]\nnamespce = 'x'\n");
    let ran = sbatch(ALICE, &[], &script(""));
    assert!(ran.errors().contains("spank-k8s: /etc/slurm/k8s.toml on slurmctld's host: line"), "{}", ran.errors());
    assert!(ran.errors().contains("did you mean kubernetes.namespace?"), "{}", ran.errors());
    let _ = ALICE.run(&["srun", "true"]).ok();
    let _ = ALICE.batch(&["sbatch", "--output=/dev/null", "--wrap", "true"], "").ok();
}

#[test]
fn an_update_gives_no_more_than_the_profile() {
    let _alone = alone();
    let profile = format!("[profiles.small]\nimage = '{}'\nmax_cpus = 1\nmax_memory = '300M'\n", image("userland"));
    let profiles = |text: String| text + &profile;
    let _there = [CTL, NODE1, ROOT].map(|at| Changed::edit(at, CONFIG, profiles));
    let job = format!("#!/bin/bash\n#K8S_PROFILE=small\n{IN_POD}\n");
    until("slurmctld has read the config", || {
        let ran = sbatch(ALICE, &["-c2", "-w", "node1"], &job);
        let known = ran.errors().contains("small allows at most 1 cpu on a node, and this is a job with 2 cpus");
        if known { Ok(()) } else { Err(ran.errors()) }
    });
    let file = format!("{}/out", scratch("submit"));
    let to = format!("--output={file}");
    let fits = ["--hold", "-c1", "--mem=200M", "-w", "node1", "--no-requeue", &to];
    let id = sbatch(ALICE, &fits, &job).ok().text();
    // Slurm lets its user ask for more; the node knows what it then is.
    let _ = ALICE.run(&["scontrol", "update", &format!("JobId={id}"), "MinMemoryNode=400"]).ok();
    let _ = ALICE.run(&["scontrol", "release", &id]).ok();
    assert!(accounting(&id).starts_with(&format!("{id}|FAILED|124:0")), "{}", accounting(&id));
    let text = ALICE.run(&["cat", &file]).ok().text();
    let cause = "small allows at most 300M of memory on a node, and this is a job with 400M of memory";
    assert!(text.contains(cause) && !text.contains("in a Pod"), "{text}");
}

#[test]
fn both_sides_judge_alike() {
    let _alone = alone();
    let _away = Away::take(ROOT, PLUGIN);
    let image = image("userland");
    let profile = format!("[profiles.small]\nimage = '{image}'\nmax_memory = '100M'\n");
    let cases = [
        ("[policy]\nimages = ['other/*']\n", "IO", "tee"),
        ("[policy]\ndigest_only = true\n", "IO", "tee"),
        ("", "MOUNTS", "/etc:/x"),
        ("", "NAMESPACE", "kube-system"),
        ("", "PRIORITY_CLASS", "high"),
        ("", "NETWORK", "host"),
        (profile.as_str(), "PROFILE", "small"),
        ("", "PROFILE", "big"),
    ];
    for (strict, option, value) in cases {
        // One side has a config that allows everything.
        let free = |_: String| {
            "cluster = 'testbed'\n[pod]\nmounts = ['/home', '/mnt/nas', '/etc']\n[policy]\nnamespaces = ['kube-system']\n\
             priority_classes = ['high']\nhost_network = true\n[profiles.small]\n[profiles.big]\n"
                .to_owned()
        };
        let verdict = |strict_at: At, free_at: At| {
            let _strict = Changed::edit(strict_at, CONFIG, |text| text + strict);
            let _free = Changed::edit(free_at, CONFIG, free);
            let file = format!("{}/out", scratch("alike"));
            let variables = [format!("SLURM_K8S_IMAGE={image}"), format!("SLURM_K8S_{option}={value}")];
            let to = format!("--output={file}");
            let argv = ["sbatch", "-w", "node1", "--mem=200M", &to, "--wrap", "true"];
            let mut said = String::new();
            until("the strict side speaks", || {
                let env = ["env", &variables[0], &variables[1]];
                let ran = ALICE.batch(&[&env[..], &argv].concat(), "");
                said = if strict_at.host == CTL.host { ran.errors() } else { ALICE.run(&["cat", &file]).text() };
                let ours = said.lines().find_map(|line| line.split_once("spank-k8s: ").map(|(_, text)| text));
                match ours.and_then(|line| line.split_once(": ")) {
                    Some((_, cause)) => {
                        said = cause.to_owned();
                        Ok(())
                    }
                    None => Err(format!("{:?} {} {said}", ran.code, ran.errors())),
                }
            });
            said
        };
        assert_eq!(verdict(CTL, NODE1), verdict(NODE1, CTL), "{option}={value} {strict}");
    }
    until("slurmctld has its own config", || judged().map(|_| ()).ok_or_else(String::new));
}
