//! The built plugin: which hooks Slurm finds in it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::process::Command;

fn exported(so: &str) -> Vec<String> {
    let path = format!("{}/../target/release/{so}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("nm").args(["-D", "--defined-only", &path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

#[test]
fn the_plugin_exports_only_the_hooks_it_uses() {
    let mut hooks: Vec<_> =
        exported("libspank_k8s.so").into_iter().filter(|name| name.starts_with("slurm_spank_")).collect();
    hooks.sort();
    assert_eq!(
        hooks,
        [
            "slurm_spank_exit",
            "slurm_spank_init",
            "slurm_spank_init_failure_mode",
            "slurm_spank_init_post_opt",
            "slurm_spank_local_user_init",
            "slurm_spank_task_init",
        ]
    );
}

#[test]
fn slurm_finds_the_plugins_name_type_and_version() {
    let names = exported("libspank_k8s.so");
    for name in ["plugin_name", "plugin_type", "plugin_version"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing");
    }
}

#[test]
fn the_plugin_of_slurmctld_exports_what_slurmctld_looks_for_and_no_more() {
    let mut names = exported("libjob_submit_k8s.so");
    names.sort();
    let expected =
        ["fini", "init", "job_modify", "job_submit", "plugin_name", "plugin_type", "plugin_version"].map(str::to_owned);
    assert_eq!(names, expected);
}
