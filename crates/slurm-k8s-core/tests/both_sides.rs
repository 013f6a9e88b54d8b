//! The submitting command takes options one by one and then checks policy and profile (`src/submit.rs`); slurmctld and
//! `slurm-k8s validate` judge a script. What one of them refuses, the other refuses for the same reason.

#![allow(clippy::unwrap_used)]

use slurm_k8s_core::config::Config;
use slurm_k8s_core::judge::{Submission, judge};
use slurm_k8s_core::option::{JobOptions, Kind, OPTIONS, Origin};
use slurm_k8s_core::script::sbatch;
use slurm_k8s_core::{policy, profile};

const UID: u32 = 1000;
const SITE: &str = "pod.mounts = ['/home', '/mnt/nas']\nkubernetes.namespace_per_user = true\n[policy]\n\
                    images = ['nas:5407/*', 'docker.io/library/*']\nmounts = ['/scratch']\nnamespaces = ['team']\n\
                    priority_classes = ['high']\n[profiles.gpu1]\nimage = 'nas:5407/gpu'\n[profiles.std]\npull = 'always'\n";

/// Options, and whether they are taken.
const CASES: &[(&[(&str, &str)], bool)] = &[
    (&[], true),
    (&[("k8s-image", "nas:5407/a:1")], true),
    (&[("k8s-image", "busybox")], true),
    (&[("k8s-image", "none"), ("k8s-io", "tee")], true),
    (&[("k8s-image", "a:b:c")], false),
    (&[("k8s-image", "docker://ubuntu")], false),
    (&[("k8s-image", "nas:5407/Upper")], false),
    (&[("k8s-image", "other.example/a")], false),
    (&[("k8s-image", "busybox"), ("k8s-workdir", "data")], false),
    (&[("k8s-image", "busybox"), ("k8s-workdir", "/data")], true),
    (&[("k8s-image", "busybox"), ("k8s-mounts", "/scratch/x:/x,/home/y:/y:ro")], true),
    (&[("k8s-image", "busybox"), ("k8s-mounts", "/etc:/x")], false),
    (&[("k8s-image", "busybox"), ("k8s-mounts", "/scratchy:/x")], false),
    (&[("k8s-image", "busybox"), ("k8s-mounts", "/scratch/../etc:/x")], false),
    (&[("k8s-image", "busybox"), ("k8s-namespace", "team")], true),
    (&[("k8s-image", "busybox"), ("k8s-namespace", "user-1000")], true),
    (&[("k8s-image", "busybox"), ("k8s-namespace", "user-1001")], false),
    (&[("k8s-image", "busybox"), ("k8s-namespace", "Team")], false),
    (&[("k8s-image", "busybox"), ("k8s-priority-class", "high")], true),
    (&[("k8s-image", "busybox"), ("k8s-priority-class", "system-node-critical")], false),
    (&[("k8s-image", "busybox"), ("k8s-network", "host")], false),
    (&[("k8s-image", "busybox"), ("k8s-network", "moon")], false),
    (&[("k8s-image", "busybox"), ("k8s-shm-size", "8G")], true),
    (&[("k8s-image", "busybox"), ("k8s-shm-size", "8GB")], false),
    (&[("k8s-image", "busybox"), ("k8s-env", "A=1,SLURM_X=2")], false),
    (&[("k8s-image", "busybox"), ("k8s-keep", "yes"), ("k8s-readonly", "yes")], true),
    (&[("k8s-image", "busybox"), ("k8s-io", "tee"), ("k8s-io", "tee")], true),
    (&[("k8s-profile", "gpu1")], true),
    (&[("k8s-profile", "gpu")], false),
    (&[("k8s-profile", "std")], false),
    (&[("k8s-profile", "std"), ("k8s-image", "busybox")], true),
    (&[("k8s-io", "tee")], false),
    (&[("k8s-mounts", "/etc:/x")], false),
];

fn config() -> Config {
    Config::parse(SITE).unwrap()
}

/// As `src/options.rs` and `src/submit.rs` do it.
fn by_the_command(given: &[(&str, &str)]) -> Result<JobOptions, String> {
    let mut options = JobOptions::default();
    for (name, value) in given {
        options.set(Origin::CommandLine, name, Some(value.as_bytes())).map_err(|error| error.to_string())?;
    }
    let options = JobOptions::layered(&options, JobOptions::default(), |_| None).map_err(|error| error.to_string())?;
    if options.wants_pod() {
        policy::check(&config(), &options, UID).map_err(|error| error.to_string())?;
        profile::resolve(&config(), &options).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

fn by_judgement(script: &str) -> Result<JobOptions, String> {
    let (given, faults) = sbatch::options(&sbatch::arguments(script.as_bytes(), 0).0);
    if let Some((_, fault)) = faults.first() {
        return Err(fault.to_string());
    }
    let config = config();
    let script = script.as_bytes();
    let judgement = judge(&Submission {
        script,
        component: 0,
        given: &given,
        variable: &|_| None,
        config: Some(&config),
        uid: UID,
    });
    match judgement.refusal() {
        Some(finding) => Err(finding.cause.clone()),
        None => Ok(judgement.options),
    }
}

/// `#K8S_SHM_SIZE` as `--k8s-shm-size`.
fn as_option(cause: &str) -> String {
    OPTIONS.iter().fold(cause.to_owned(), |text, spec| {
        text.replace(&format!("#{}:", spec.directive()), &format!("--{}:", spec.name))
            .replace(&format!("#{}=", spec.directive()), &format!("--{}=", spec.name))
            .replace(&format!("#{} ", spec.directive()), &format!("--{} ", spec.name))
    })
}

#[test]
fn lines_in_the_script_are_judged_as_options_are() {
    for (given, taken) in CASES {
        let spec = |name: &str| OPTIONS.iter().find(|spec| spec.name == name).unwrap();
        let lines = given.iter().map(|(name, value)| format!("#{}={value}\n", spec(name).directive()));
        let script = format!("#!/bin/sh\n{}echo\n", lines.collect::<String>());
        let command = by_the_command(given);
        assert_eq!(command.is_ok(), *taken, "{given:?}: {command:?}");
        // The last word of a message may be the option itself.
        let judged = by_judgement(&script).map_err(|cause| as_option(&(cause + " ")).trim_end().to_owned());
        assert_eq!(judged, command, "{given:?}");
    }
}

#[test]
fn options_in_sbatch_lines_are_judged_as_those_of_the_command_line_are() {
    for (given, _) in CASES {
        let word = |(name, value): &(&str, &str)| match OPTIONS.iter().find(|spec| spec.name == *name).unwrap().kind {
            Kind::Switch => format!("#SBATCH --{name}\n"),
            _ => format!("#SBATCH --{name}={value}\n"),
        };
        let script = format!("#!/bin/sh\n{}echo\n", given.iter().map(word).collect::<String>());
        assert_eq!(by_judgement(&script), by_the_command(given), "{given:?}");
    }
}
