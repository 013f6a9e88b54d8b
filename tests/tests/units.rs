//! The services in `deploy/systemd`: systemd takes them as they are, and they can do little beside their work. The testbed's
//! hosts have no systemd that runs, so systemd only reads them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Tenths of what `systemd-analyze security` calls exposure: to 2 it is "safe", to 4.9 "ok"; without any care it is 96.
/// The two that go on as the jobs' users need setuid for it.
const EXPOSURE: &[(&str, &str)] = &[("slurm-k8s-gc", "15"), ("slurm-k8s-watch", "25"), ("slurm-k8s-collect", "25")];

fn units() -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join("deploy/systemd")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output().expect("systemd-analyze is there");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// The unit with a program that this machine has, and the arguments that it gives to its own.
fn here(unit: &Path, folder: &Path) -> (PathBuf, Vec<String>) {
    let text = fs::read_to_string(unit).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/slurm-k8s ")).expect("it starts us");
    let copy = folder.join(unit.file_name().unwrap());
    fs::write(&copy, text.replace("ExecStart=/usr/bin/slurm-k8s ", "ExecStart=/usr/bin/env ")).unwrap();
    (copy, line.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn systemd_reads_each_unit_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(units().len(), EXPOSURE.len());
    for unit in units() {
        let (copy, arguments) = here(&unit, folder.path());
        assert_eq!(analyze(&["verify", "--man=no"], &copy), (true, String::new()), "{}", unit.display());
        // The program knows what it is started with.
        let program = Path::new(ROOT).join("target/release/slurm-k8s");
        let output = Command::new(program).args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What it does not take it does tell.
    let wrong = folder.path().join("wrong.service");
    fs::write(&wrong, "[Service]\nExecStart=/usr/bin/env\nProtectSytem=strict\n").unwrap();
    assert!(analyze(&["verify", "--man=no"], &wrong).1.contains("ProtectSytem"));
}

#[test]
fn each_unit_can_do_little_beside_its_work() {
    for (name, most) in EXPOSURE {
        let unit = Path::new(ROOT).join(format!("deploy/systemd/{name}.service"));
        let arguments = ["security", "--offline=true", "--no-pager", &format!("--threshold={most}")];
        let (small, text) = analyze(&arguments, &unit);
        assert!(small, "{text}");
    }
}
