//! On a real file system, as whoever runs the tests.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use slurm_k8s_core::collect::job::Job;

use super::life::Life;
use super::*;

fn gathered(order: &Order) -> Result<Summary, PlaceError> {
    gather(order, &Life::default()).map(|(summary, _)| summary)
}

struct Results(tempfile::TempDir);

impl Results {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("7/outputs/deep")).unwrap();
        std::fs::create_dir(folder.path().join("7/.steps")).unwrap();
        Self(folder)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn order(&self) -> Order {
        let job = Job { id: "7".into(), state: "COMPLETED".into(), started: Some(1), ..Job::default() };
        Order { folder: self.0.path().join("7"), job, copy: 1000, threads: 3, now: 100 }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join("7").join(name)).unwrap()
    }

    fn verifies(&self) -> bool {
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", "--status", CHECKSUMS]).current_dir(self.0.path().join("7"));
        check.status().unwrap().success()
    }
}

#[test]
fn sha256sum_verifies_all_files_whatever_their_names() {
    let results = Results::new();
    for name in ["stdout.log", "outputs/a b", "outputs/deep/back\\slash", "outputs/line\nbreak", "outputs/empty"] {
        results.put(&format!("7/{name}"), name);
    }
    symlink("/etc/shadow", results.0.path().join("7/outputs/link")).unwrap();
    let record = Record { step: "batch".into(), image: "a".into(), ..Record::default() };
    results.put("7/.steps/0.7.batch.0.json", &serde_json::to_string(&record).unwrap());
    let summary = gathered(&results.order()).unwrap();
    assert_eq!((summary.files.count, summary.steps.len()), (5, 1));
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    assert_eq!(results.read(CHECKSUMS).lines().count(), 7);
    assert!(results.verifies() && !results.read(CHECKSUMS).contains("link"));
    assert!(!results.0.path().join("7/.steps").exists());
    // Once more: nothing is lost, and our own files are no results.
    assert_eq!(gathered(&results.order()).unwrap(), summary);
    results.put("7/outputs/a b", "other");
    assert!(!results.verifies());
}

#[test]
fn output_files_of_the_users_own_are_copied_up_to_a_size() {
    let results = Results::new();
    results.put("out", "both");
    let [out, big] = ["out", "big"].map(|name| results.0.path().join(name));
    let mut order = results.order();
    order.job.started = None;
    order.job.stdout = Some(out.clone());
    order.job.stderr = Some(out);
    assert!(gathered(&order).unwrap().warnings.is_empty());
    assert_eq!(results.read("stdout.log"), "both");
    assert!(!results.0.path().join("7/stderr.log").exists());
    results.put("big", &"x".repeat(1001));
    order.job.stderr = Some(big);
    order.job.stdout = Some("/dev/null".into());
    let warnings = gathered(&order).unwrap().warnings;
    assert!(matches!(&warnings[..], [one] if one.ends_with("/big has 1001 bytes and was not copied")), "{warnings:?}");
    order.job.stdout = Some("/not/there".into());
    assert!(gathered(&order).unwrap().warnings[0].starts_with("/not/there was not copied: "));
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_there() {
    let results = Results::new();
    results.put("7/outputs/x", "x");
    let fifo = results.0.path().join("7/outputs/deep/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    results.put("7/.steps/0.7.1.0.json", "{");
    let summary = gathered(&results.order()).unwrap();
    assert_eq!(summary.files.count, 1);
    assert_eq!(summary.warnings.len(), 1, "only that no step has told: {:?}", summary.warnings);
    if !rustix::process::geteuid().is_root() {
        let closed = results.0.path().join("7/outputs/deep");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
        assert!(gathered(&results.order()).unwrap().warnings.iter().any(|text| text.contains("cannot be read")));
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_folder_that_is_away_or_full_is_an_error() {
    let results = Results::new();
    let mut order = results.order();
    order.folder = results.0.path().join("8");
    assert!(!gathered(&order).unwrap_err().is_for_ever());
    std::fs::create_dir(results.0.path().join(".collect")).unwrap();
    assert!(gathered(&order).unwrap_err().is_for_ever());
    // A folder in the summary's place stands for a file system that cannot be written.
    std::fs::create_dir(results.0.path().join("7/job_summary.json")).unwrap();
    let error = gathered(&results.order()).unwrap_err();
    assert!(!error.is_for_ever() && error.to_string().contains("job_summary.json"), "{error}");
    let names = std::fs::read_dir(results.0.path().join("7")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".draft")));
}
