use slurm_k8s_slurm_sys::fake::Fake;
use slurm_k8s_slurm_sys::layout::{self, LAYOUTS, Layout};

use super::*;

const SITE: &str = "paths.libexec = '/opt/k8s'\npod.mounts = ['/home']\n[policy]\nnamespaces = ['team']\n\
                    images = ['nas:5407/*', 'docker.io/*']\n\
                    [submit]\nrequire = ['time', 'mem']\n\
                    [profiles.small]\nimage = 'nas:5407/tool'\nmax_cpus = 4\nmax_memory = '8G'\nmax_gpus = 1\n";

/// A site whose config has this text.
struct At {
    site: Site,
    _file: tempfile::NamedTempFile,
}

fn at(text: &str) -> At {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    At { site: Site::at(file.path().to_str().unwrap().to_owned().leak()), _file: file }
}

fn layout() -> &'static Layout {
    layout::of(0x16_05_08).unwrap()
}

/// A job with what [`SITE`] asks for.
fn job(script: &str) -> Fake {
    let mut job = Fake::new(layout());
    job.script(script).user(1000).set(layout().time_limit, 5_u32).set(layout().pn_min_memory, 1024_u64);
    job.variable("PATH=/bin").variable("HOME=/home/alice");
    job
}

fn submitted(job: &mut Fake, text: &str) -> Result<String, String> {
    submit(&mut job.job(), &at(text).site).map_err(|refusal| refusal.to_string())
}

fn environment(job: &mut Fake) -> Vec<String> {
    job.job().environment().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

fn script(job: &mut Fake) -> String {
    String::from_utf8_lossy(job.job().script().unwrap()).into_owned()
}

#[test]
fn a_job_without_a_word_for_us_is_not_touched() {
    for script_ in ["#!/bin/sh\ntrue\n", "#!/bin/sh\n#K8S_IMAGE=none\ntrue\n", "#!/bin/sh\ntrue\n#K8S_IMAGE=a\n"] {
        for config in [SITE, "", "wrong ="] {
            let mut job = Fake::new(layout());
            job.script(script_).variable("A=1").variable("SLURM_K8S_IO=fast").user(0);
            assert_eq!(submitted(&mut job, config), Ok(String::new()), "{script_} {config}");
            assert_eq!(environment(&mut job), ["A=1", "SLURM_K8S_IO=fast"]);
            assert_eq!(script(&mut job), script_);
            assert_eq!(job.job().spank_environment().count(), 0);
        }
    }
}

#[test]
fn a_directive_reaches_node_and_script_in_every_layout() {
    let site = at("");
    for layout in LAYOUTS {
        let mut job = Fake::new(layout);
        job.script("#!/bin/bash -l\n#SBATCH -n1\n#K8S_IMAGE=nas:5407/tool\n#K8S_KEEP=no\necho\n")
            .variable("A=1")
            .user(1000);
        assert_eq!(submit(&mut job.job(), &site.site), Ok(String::new()));
        assert_eq!(
            environment(&mut job),
            [
                "A=1",
                "_SLURM_SPANK_OPTION_k8s_k8s_image=nas:5407/tool",
                "SLURM_SPANK__SLURM_SPANK_OPTION_k8s_k8s_image=nas:5407/tool",
                "SLURM_K8S_IMAGE=nas:5407/tool",
                "_SLURM_SPANK_OPTION_k8s_no_k8s_keep=no",
                "SLURM_SPANK__SLURM_SPANK_OPTION_k8s_no_k8s_keep=no",
                "SLURM_K8S_KEEP=no",
            ]
        );
        let first = script(&mut job).lines().next().unwrap().to_owned();
        assert_eq!(first, "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/bash -l");
        let spank: Vec<_> = job.job().spank_environment().map(<[u8]>::to_vec).collect();
        assert_eq!(spank[0], b"_SLURM_SPANK_OPTION_k8s_k8s_image=nas:5407/tool");
    }
}

#[test]
fn command_line_beats_environment_beats_script() {
    let image = |options: &[&str], environment_: &[&str]| {
        let mut job = job("#!/bin/sh\n#K8S_IMAGE=from/script\ntrue\n");
        for entry in options {
            job.spank_variable(&format!("_SLURM_SPANK_OPTION_k8s_k8s_image={entry}"));
        }
        for entry in environment_ {
            job.variable(&format!("SLURM_K8S_IMAGE={entry}"));
        }
        assert_eq!(submitted(&mut job, ""), Ok(String::new()));
        let found = environment(&mut job);
        found.iter().find_map(|entry| entry.strip_prefix("SLURM_K8S_IMAGE=")).unwrap_or("not set").to_owned()
    };
    assert_eq!(image(&[], &[]), "from/script");
    assert_eq!(image(&[], &["from/environment"]), "from/environment");
    assert_eq!(image(&["from/options"], &["from/environment"]), "from/options");
    assert_eq!(image(&["none"], &[]), "not set");
    assert_eq!(image(&[], &["none"]), "none");
}

#[test]
fn what_the_user_leaves_open_goes_to_the_jobs_own_folder() {
    let config = "pod.mounts = ['/nas']\nresults.folder = '/nas/results'";
    let streams = |script: &str, output: Option<&str>, error: Option<&str>, array: Option<&str>| {
        let mut job = job(script);
        for (at, text) in [(layout().std_out, output), (layout().std_err, error), (layout().array_inx, array)] {
            text.map(|text| job.text(at, text));
        }
        assert_eq!(submitted(&mut job, config), Ok(String::new()));
        let text = |text: Option<&[u8]>| text.map(|text| String::from_utf8(text.to_vec()).unwrap());
        (text(job.job().output()), text(job.job().error()))
    };
    let some = |output: &str, error: &str| (Some(output.to_owned()), Some(error.to_owned()));
    let pod = "#!/bin/sh\n#K8S_IMAGE=a\ntrue\n";
    assert_eq!(streams(pod, None, None, None), some("/nas/results/%j/stdout.log", "/nas/results/%j/stderr.log"));
    assert_eq!(
        streams(pod, None, None, Some("1-3")),
        some("/nas/results/%A_%a/stdout.log", "/nas/results/%A_%a/stderr.log")
    );
    assert_eq!(streams(pod, None, Some("err"), None), some("/nas/results/%j/stdout.log", "err"));
    // Both into one file, as sbatch(1) has it.
    assert_eq!(streams(pod, Some("out"), None, None), (Some("out".into()), None));
    assert_eq!(streams("#!/bin/sh\ntrue\n", None, None, None), (None, None));
}

#[test]
fn a_script_is_marked_once_and_a_mark_without_a_pod_goes() {
    let marked = "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/sh\n#K8S_IMAGE=a\ntrue\n";
    let mut again = job(marked);
    assert_eq!(submitted(&mut again, "paths.libexec = '/opt/k8s'"), Ok(String::new()));
    assert!(script(&mut again).starts_with("#!/opt/k8s/slurm-k8s-agent script /bin/sh\n"));
    let mut plain = job(marked);
    plain.variable("SLURM_K8S_IMAGE=none");
    assert_eq!(submitted(&mut plain, ""), Ok(String::new()));
    assert_eq!(script(&mut plain), "#!/bin/sh\n#K8S_IMAGE=a\ntrue\n");
}

#[test]
fn what_is_wrong_is_refused_with_a_line_and_a_mend_and_the_job_stays_as_it_is() {
    let head = "#!/bin/sh\n#K8S_IMAGE=nas:5407/tool\n";
    let with = |line: &str| job(&format!("{head}{line}\ntrue\n"));
    let mut given = job("#!/bin/sh\ntrue\n");
    given
        .spank_variable("_SLURM_SPANK_OPTION_k8s_k8s_image=a/b")
        .spank_variable("_SLURM_SPANK_OPTION_k8s_k8s_network=host");
    let mut variable = job("#!/bin/sh\n#K8S_IMAGE=a\ntrue\n");
    variable.variable("SLURM_K8S_WORKDIR=data");
    let mut wide = job("#!/bin/sh\n#K8S_PROFILE=small\ntrue\n");
    wide.set(layout().num_tasks, 2_u32).set(layout().cpus_per_task, 3_u16);
    let mut large = job("#!/bin/sh\n#K8S_PROFILE=small\ntrue\n");
    large.set(layout().pn_min_memory, (1_u64 << 63) | (3 << 10)).set(layout().cpus_per_task, 3_u16);
    let mut gpus = job("#!/bin/sh\n#K8S_PROFILE=small\ntrue\n");
    gpus.text(layout().tres_per_node, "gres:gpu:2");
    let mut poor = with("");
    poor.set(layout().pn_min_memory, u64::MAX - 1);
    let mut root = with("");
    root.user(0);
    let mut component = with("#SBATCH hetjob\n#K8S_KEEP=yes");
    component.set(layout().het_job_offset, 0_u32);
    for (mut job, refused, hint) in [
        (with("#K8S_WROKDIR=/x"), "line 3: there is no #K8S_WROKDIR", "did you mean #K8S_WORKDIR?"),
        (
            with("#K8S_NAMESPACE=kube-system"),
            "line 3: #K8S_NAMESPACE: kube-system is not among the namespaces that this site allows",
            "allowed: team",
        ),
        (
            with("#K8S_MOUNTS=/etc:/x"),
            "line 3: #K8S_MOUNTS: /etc is not in a folder that this site lets users mount",
            "allowed: /home",
        ),
        (
            given,
            "--k8s-network: this site does not allow the node's network",
            "leave --k8s-network=host out, or ask the site's admin for policy.host_network",
        ),
        (
            variable,
            "SLURM_K8S_WORKDIR: \"data\" is not an absolute path",
            "write the whole path as the container has it, for example SLURM_K8S_WORKDIR=/data",
        ),
        (
            wide,
            "line 2: #K8S_PROFILE: small allows at most 4 cpus on a node, and this is a job with 6 cpus",
            "ask Slurm for at most 4 cpus, or use another profile",
        ),
        (
            large,
            "line 2: #K8S_PROFILE: small allows at most 8G of memory on a node, and this is a job with 9G of memory",
            "ask Slurm for at most 8G of memory, or use another profile",
        ),
        (
            gpus,
            "line 2: #K8S_PROFILE: small allows at most 1 GPU on a node, and this is a job with 2 GPUs",
            "ask Slurm for at most 1 GPU, or use another profile",
        ),
        (
            poor,
            "the job has no --mem, which this site asks for",
            "write #SBATCH --mem=4G into the script, or --mem=4G on the command line",
        ),
        (root, "root's jobs may not run in Pods here", "submit as an ordinary user, or have the admin set policy.root"),
        (
            component,
            "line 4: #K8S_ lines are for the whole job, not for one component",
            "move it up, before the first #SBATCH hetjob",
        ),
    ] {
        let (before, own) = (environment(&mut job), script(&mut job));
        assert_eq!(submitted(&mut job, SITE), Err(format!("spank-k8s: {refused}\nspank-k8s: hint: {hint}")));
        assert_eq!((environment(&mut job), script(&mut job)), (before, own));
    }
}

/// Every kind of error that can be known in slurmctld; the others are of files, registries and partitions.
#[test]
fn each_kind_of_error_is_refused_with_a_mend() {
    let elsewhere = ["script", "sbatch", "resources", "image-absent", "image-platform"];
    let said = [
        ("line", "#K8S_IMAGE=a\n#K8S_WORKDIR", "#K8S_WORKDIR has no value"),
        ("line", "#K8S_IMAGE='a", "#K8S_IMAGE: the quote"),
        ("value", "#K8S_IMAGE=a:b:c", "#K8S_IMAGE: "),
        ("value", "#K8S_IMAGE=a\n#K8S_WORKDIR=data", "#K8S_WORKDIR: \"data\" is not an absolute path"),
        ("conflict", "#K8S_IMAGE=a\n#K8S_IMAGE=b", "#K8S_IMAGE"),
        ("without-image", "#K8S_IO=tee", "#K8S_IO"),
        ("policy", "#K8S_IMAGE=other.example/a", "#K8S_IMAGE: other.example/a"),
        ("policy", "#K8S_IMAGE=a\n#K8S_NETWORK=host", "#K8S_NETWORK: this site does not allow the node's network"),
        ("policy", "#K8S_IMAGE=a\n#K8S_PRIORITY_CLASS=high", "#K8S_PRIORITY_CLASS: "),
        ("profile", "#K8S_PROFILE=smal", "#K8S_PROFILE: "),
        ("limit", "#K8S_PROFILE=small", "#K8S_PROFILE: small allows at most 4 cpus on a node"),
        ("required", "#K8S_IMAGE=a", "the job has no --mem"),
    ];
    for (kind, lines, cause) in said {
        let mut job = job(&format!("#!/bin/sh\n{lines}\ntrue\n"));
        match kind {
            "limit" => drop(job.set(layout().num_tasks, 5_u32)),
            "required" => drop(job.set(layout().pn_min_memory, u64::MAX - 1)),
            _ => {}
        }
        let refusal = submitted(&mut job, SITE).unwrap_err();
        let (first, hint) = refusal.split_once('\n').unwrap_or((&refusal, ""));
        assert!(first.contains(cause), "{kind}: {refusal}");
        assert!(hint.starts_with("spank-k8s: hint: "), "{kind}: {refusal}");
    }
    let errors = finding::KINDS.iter().filter(|kind| kind.severity == finding::Severity::Error);
    for kind in errors.filter(|kind| !elsewhere.contains(&kind.id)) {
        assert!(said.iter().any(|(id, ..)| *id == kind.id), "{} is in no case", kind.id);
    }
}

#[test]
fn a_broken_config_refuses_jobs_for_pods_only() {
    let mut pod = job("#!/bin/sh\n#K8S_IMAGE=a\ntrue\n");
    let refusal = submitted(&mut pod, "clutser = 'a'").unwrap_err();
    assert!(refusal.contains("line 1: there is no key clutser\nspank-k8s: hint: did you mean cluster?; "), "{refusal}");
    assert_eq!(submitted(&mut job("#!/bin/sh\ntrue\n"), "clutser = 'a'"), Ok(String::new()));
}

#[test]
fn a_comment_that_is_nearly_a_directive_is_noted() {
    let notes = submitted(&mut job("#!/bin/sh\n# K8S_IMAGE=a\ntrue\n"), "").unwrap();
    assert!(notes.starts_with("spank-k8s: line 2: # K8S_IMAGE is a comment"), "{notes}");
    assert!(notes.lines().count() == 2 && !notes.ends_with('\n'), "{notes:?}");
}

#[test]
fn jobs_of_srun_and_salloc_have_options_and_no_script() {
    let mut job = Fake::new(layout());
    job.user(1000).spank_variable("_SLURM_SPANK_OPTION_k8s_k8s_image=a").set(layout().time_limit, 1_u32);
    job.set(layout().pn_min_memory, 0_u64);
    assert_eq!(submitted(&mut job, SITE), Ok(String::new()));
    assert_eq!(environment(&mut job), [""; 0]);
    job.spank_variable("_SLURM_SPANK_OPTION_k8s_k8s_namespace=kube-system");
    assert!(submitted(&mut job, SITE).unwrap_err().contains("--k8s-namespace"));
}

#[test]
fn a_script_is_any_bytes() {
    let mut job = Fake::new(layout());
    let script_ = [&b"#!/bin/sh\n#K8S_IMAGE=a\n#K8S_WORKDIR=/\xff\n"[..], &[0x80; 1000]].concat();
    job.job().set_script(script_, 0);
    job.variable("A=1").user(1000);
    assert_eq!(submitted(&mut job, ""), Ok(String::new()));
    let found = job.job();
    assert!(found.script().unwrap().ends_with(&[0x80; 1000]));
    assert!(found.environment().any(|entry| entry == b"SLURM_K8S_WORKDIR=/\xff"));
}
