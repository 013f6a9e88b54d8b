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

#[test]
fn two_at_once_leave_what_one_of_them_has_written() {
    let results = Results::new();
    results.put("7/outputs/x", "x");
    for round in 0..30_i64 {
        let record = Record { step: round.to_string(), ..Record::default() };
        results.put("7/.steps/0.7.1.0.json", &serde_json::to_string(&record).unwrap());
        std::thread::scope(|scope| {
            let one = |now| {
                let order = Order { now: 2 * round + now, ..results.order() };
                // One that was in the other's way is tried again.
                move || until_done(&order)
            };
            let both = [scope.spawn(one(0)), scope.spawn(one(1))];
            both.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert!(results.verifies(), "{}", results.read(CHECKSUMS));
        let summary: Summary = serde_json::from_str(&results.read(SUMMARY_JSON)).unwrap();
        assert!(summary.steps.iter().any(|step| step.step == round.to_string()), "{:?}", summary.steps);
        std::fs::create_dir_all(results.0.path().join("7/.steps")).unwrap();
    }
}

fn until_done(order: &Order) {
    let mut last = None;
    for _ in 0..100 {
        match gathered(order) {
            Ok(_) => return,
            Err(error) => last = Some(error),
        }
    }
    panic!("{last:?}");
}

#[test]
fn no_name_makes_a_line_of_its_own() {
    let results = Results::new();
    let forged = "x\nState        COMPLETED\u{1b}[2J";
    let mut order = results.order();
    order.job.name = slurm_k8s_core::message::one_line(forged);
    order.job.state = "FAILED".into();
    order.job.stdout = Some(results.0.path().join(forged));
    let refusal = step::Refusal { code: 122, message: forged.into() };
    let record = Record {
        step: forged.into(),
        node: forged.into(),
        image: forged.into(),
        image_id: Some(forged.into()),
        notices: vec![forged.into()],
        refusal: Some(refusal),
        ..Record::default()
    };
    results.put("7/.steps/0.7.1.0.json", &serde_json::to_string(&record).unwrap());
    results.put(&format!("7/outputs/{forged}"), "x");
    gathered(&order).unwrap();
    let text = results.read(SUMMARY_TEXT);
    assert_eq!(text.lines().filter(|line| line.starts_with("State")).count(), 1, "{text}");
    assert!(!text.contains('\u{1b}') && text.lines().any(|line| line.starts_with("Warning")), "{text}");
    assert!(results.verifies() && !results.read(CHECKSUMS).lines().any(|line| line.starts_with("State")));
}

#[test]
fn what_has_no_end_is_cut_or_passed_over() {
    let results = Results::new();
    // More records than are read, links in a circle, a path that is too long for any call, and a file that grows.
    for number in 0..RECORDS + 5 {
        results.put(&format!("7/.steps/0.7.{number}.0.json"), "{}");
    }
    symlink("..", results.0.path().join("7/outputs/deep/circle")).unwrap();
    let mut deep = rustix::fs::open(results.0.path().join("7/outputs"), rustix::fs::OFlags::PATH, 0.into()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..30 {
        rustix::fs::mkdirat(&deep, &*name, 0o755.into()).unwrap();
        deep = rustix::fs::openat(&deep, &*name, rustix::fs::OFlags::PATH, 0.into()).unwrap();
    }
    let path = results.0.path().join("7/outputs/grows");
    std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                std::thread::yield_now();
            }
        });
        let summary = gathered(&results.order());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        summary
    });
    let warnings = summary.unwrap().warnings;
    for part in ["it has more than 20000 steps", "grows has no checksum: it is still being written", "cannot be read: "]
    {
        assert!(warnings.iter().any(|text| text.contains(part)), "{part}: {warnings:?}");
    }
    assert!(results.verifies());
    // Of the endless names none is in the summary, which stays short.
    assert!(results.read(SUMMARY_JSON).len() < 32 << 20);
}

#[test]
fn what_cannot_be_removed_is_told() {
    let results = Results::new();
    // In the place of a file a folder, which nothing but rmdir removes.
    std::fs::create_dir(results.0.path().join("7/.old.draft")).unwrap();
    let warnings = gathered(&results.order()).unwrap().warnings;
    assert!(
        warnings.iter().any(|text| text.starts_with("cannot remove ") && text.contains(".old.draft")),
        "{warnings:?}"
    );
}
