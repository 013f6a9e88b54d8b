//! Every way to an option: command line, environment, a job's own; and none of them is lost on the way to the node,
//! where the job would run on the bare host.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, image, in_image, scratch};

/// Succeeds in a Pod only.
const IN_POD: &str = "test -e /.slurm-k8s/agent";

#[test]
fn the_environment_gives_options() {
    let variable = format!("SLURM_K8S_IMAGE={}", image("busybox"));
    for more in [&["--export=ALL"][..], &["--export=NONE"], &["--export=HOME"]] {
        let argv = [&["env", &variable, "srun"], more, &["sh", "-c", IN_POD]].concat();
        let _ = ALICE.run(&argv).ok();
    }
    let _ = ALICE.run(&["env", &variable, "srun", "--k8s-image=none", "sh", "-c", &format!("! {IN_POD}")]).ok();
    let _ = ALICE.run(&["env", "SLURM_K8S_IO=wrong", "srun", "true"]).ok();
}

#[test]
fn no_export_loses_an_option_of_sbatch() {
    let folder = scratch("export");
    let file = format!("{folder}/environment");
    let _ = ALICE.run_with(&["tee", &file], b"A=1\0B=2\0").ok();
    let export_file = format!("--export-file={file}");
    let image = in_image("busybox");
    let check = &|export: &str| {
        let argv = ["sbatch", "--output=/dev/null", "--mem=100M", &image, export];
        let _ = ALICE.batch(&[&argv[..], &["--wrap", IN_POD]].concat(), "").ok();
        // The batch script stays on the host; the step inherits the image, and can do without it.
        let script = format!(
            "! {IN_POD} && /usr/bin/srun sh -c '{IN_POD}' && SLURM_K8S_IMAGE=none /usr/bin/srun /bin/sh -c '! {IN_POD}'"
        );
        let _ = ALICE.batch(&[&argv[..], &["--k8s-batch=host", "--wrap", &script]].concat(), "").ok();
    };
    std::thread::scope(|scope| {
        for export in ["--export=ALL", "--export=NONE", "--export=HOME", "--export=A=1", &export_file] {
            scope.spawn(move || check(export));
        }
    });
}

#[test]
fn steps_of_an_allocation_inherit_its_image() {
    let image = in_image("busybox");
    let _ = ALICE.run(&["salloc", "-Q", &image, "srun", "sh", "-c", IN_POD]).ok();
    let _ = ALICE.run(&["salloc", "-Q", &image, "srun", "--export=NONE", "sh", "-c", IN_POD]).ok();
    let _ = ALICE.run(&["salloc", "-Q", &image, "srun", "--k8s-image=none", "sh", "-c", &format!("! {IN_POD}")]).ok();
    // What runs in salloc's own shell is on the login host.
    let _ = ALICE.run(&["salloc", "-Q", &image, "sh", "-c", &format!("! {IN_POD}")]).ok();
}

#[test]
fn programs_of_multi_prog_run_in_the_pod() {
    let folder = scratch("multi-prog");
    let file = format!("{folder}/programs");
    let programs = format!("# two programs\n0 echo zero %t\n1 sh -c '{IN_POD}; exit 3'\n");
    let _ = ALICE.run_with(&["tee", &file], programs.as_bytes()).ok();
    let ran = ALICE.run(&["srun", "-Q", "-n2", &in_image("busybox"), "--multi-prog", &file]);
    assert_eq!((ran.code, ran.text().as_str()), (Some(3), "zero 0"), "{}", ran.errors());
}

#[test]
fn a_command_is_the_images_in_every_component() {
    // The host has /usr/bin/awk; busybox has it in /bin only.
    let image = in_image("busybox");
    let argv = ["srun", "-Q", "-n1", &image, "awk", "BEGIN{print 6*7}", ":", "-n1", &image, "awk", "BEGIN{print 42}"];
    let ran = ALICE.run(&argv).ok();
    assert_eq!(ran.text(), "42\n42");
}
