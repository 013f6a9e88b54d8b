//! Killed at every step, and once more at every step of the next life: a file becomes one job, and nothing is left behind.

use super::slurm::{FakeSlurm, Mood};
use super::*;

/// Each file has exactly one job, and is where it belongs.
fn complete(site: &Site, slurm: &FakeSlurm, names: &[&str], when: &str) {
    let jobs = slurm.jobs.borrow();
    assert_eq!(jobs.len(), names.len(), "{when}: {jobs:?}");
    for job in jobs.iter() {
        assert!(job.comment.starts_with("mine submit-folder:"), "{when}: {}", job.comment);
        assert_eq!(job.script, SCRIPT.as_bytes());
    }
    let processed = site.names("processed");
    for name in names {
        let ending = format!("-{name}");
        assert_eq!(processed.iter().filter(|there| there.ends_with(&ending)).count(), 1, "{when}: {processed:?}");
    }
    assert_eq!(processed.len(), 2 * names.len(), "{when}: {processed:?}");
    for folder in ["submit", "failed"] {
        assert_eq!(site.names(folder), Vec::<String>::new(), "{when}: {folder}");
    }
    nothing_taken(site, when);
}

/// One that was killed before it could say who it is leaves an empty folder, until its lease ends.
fn nothing_taken(site: &Site, when: &str) {
    for watcher in site.names("processing") {
        let names = site.names(&format!("processing/{watcher}"));
        assert!(names.iter().all(|name| name == ".watcher.json.new"), "{when}: {names:?}");
    }
}

/// The steps of a life without any trouble.
async fn steps(text: &str, slurm: &FakeSlurm) -> usize {
    let site = Site::new();
    site.put("job.sh", text);
    let steps = Steps::default();
    Life::begin(&site, slurm, &steps).unwrap().live().await.unwrap();
    steps.done.get()
}

/// A life that is killed after so many steps; whether it came to its end.
async fn life(site: &Site, slurm: &FakeSlurm, steps: usize) -> bool {
    let ended = match Life::begin(site, slurm, &Steps::stop_after(steps)) {
        Ok(life) => life.live().await.is_ok(),
        Err(_) => false,
    };
    // Root enters every folder; the watcher's user only what it may.
    for folder in site.folders() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
        assert_eq!(mode & 0o700, 0o700, "{} after {steps} steps", folder.display());
    }
    ended
}

#[tokio::test]
async fn killed_at_every_step_a_file_is_submitted_once() {
    let all = steps(SCRIPT, &FakeSlurm::default()).await;
    assert!(all > 40, "{all}");
    for stop in 0..=all {
        let (site, slurm) = (Site::new(), FakeSlurm::default());
        site.put("job.sh", SCRIPT);
        assert_eq!(life(&site, &slurm, stop).await, stop == all, "{stop}");
        live(&site, &slurm).await;
        complete(&site, &slurm, &["job.sh"], &format!("killed after step {stop}"));
    }
}

#[tokio::test]
async fn killed_twice_at_every_pair_of_steps() {
    let all = steps(SCRIPT, &FakeSlurm::default()).await;
    // Every first step that matters, and each one of the second life.
    for first in (0..all).step_by(5) {
        for second in 0..all + 20 {
            let (site, slurm) = (Site::new(), FakeSlurm::default());
            site.put("job.sh", SCRIPT);
            life(&site, &slurm, first).await;
            let ended = life(&site, &slurm, second).await;
            if !ended {
                live(&site, &slurm).await;
            }
            complete(&site, &slurm, &["job.sh"], &format!("killed after steps {first} and {second}"));
            if ended {
                break;
            }
        }
    }
}

#[tokio::test]
async fn killed_at_every_step_while_many_files_flow() {
    let names: Vec<_> = (0..5).map(|n| format!("job{n}.sh")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for stop in (0..400).step_by(13) {
        let (site, slurm) = (Site::new(), FakeSlurm::default());
        names.iter().for_each(|name| site.put(name, SCRIPT));
        // Each life is a little longer, or none would get over the first few steps.
        let mut steps = stop;
        while !life(&site, &slurm, steps).await {
            steps += 17;
            assert!(steps < 2000, "it does not come to an end");
        }
        complete(&site, &slurm, &names, &format!("first killed after {stop} steps"));
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for() {
    let (site, slurm) = (Site::new(), FakeSlurm::in_mood(Mood::Deaf));
    site.put("job.sh", SCRIPT);
    live(&site, &slurm).await;
    complete(&site, &slurm, &["job.sh"], "an answer was lost");
    assert_eq!(slurm.calls.get(), 1);
}

#[tokio::test]
async fn a_refusal_survives_every_step() {
    let slurm = FakeSlurm::in_mood(Mood::Refusing);
    let all = steps(SCRIPT, &slurm).await;
    for stop in 0..=all {
        let (site, slurm) = (Site::new(), FakeSlurm::in_mood(Mood::Refusing));
        site.put("job.sh", SCRIPT);
        life(&site, &slurm, stop).await;
        live(&site, &slurm).await;
        assert_eq!(site.names("failed"), ["job.sh", "job.sh.reason.txt"], "{stop}");
        assert_eq!(site.names("submit"), Vec::<String>::new(), "{stop}");
        nothing_taken(&site, &stop.to_string());
        let reason = std::fs::read_to_string(site.path("failed/job.sh.reason.txt")).unwrap();
        assert!(
            reason.starts_with("job.sh: not submitted: sbatch refused it: Invalid partition name specified\n"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn without_slurm_a_file_waits_and_is_submitted_once() {
    let (site, slurm) = (Site::new(), FakeSlurm::in_mood(Mood::Down));
    site.put("job.sh", SCRIPT);
    for _ in 0..5 {
        assert!(!life(&site, &slurm, usize::MAX).await);
    }
    assert!(slurm.jobs.borrow().is_empty() && site.names("failed").is_empty());
    slurm.mood.set(Mood::Well);
    live(&site, &slurm).await;
    complete(&site, &slurm, &["job.sh"], "Slurm was away");
}

#[tokio::test]
async fn what_cannot_be_known_is_neither_doubled_nor_lost() {
    let (site, slurm) = (Site::new(), FakeSlurm::in_mood(Mood::Deaf));
    site.put("job.sh", SCRIPT);
    slurm.accounting.set(false);
    slurm.forgetful.set(true);
    live(&site, &slurm).await;
    assert_eq!(slurm.jobs.borrow().len(), 1);
    assert_eq!(site.names("failed"), ["job.sh", "job.sh.reason.txt"]);
    let reason = std::fs::read_to_string(site.path("failed/job.sh.reason.txt")).unwrap();
    assert!(reason.starts_with("job.sh: perhaps submitted: it cannot be known whether it was submitted: "), "{reason}");
}

#[tokio::test]
async fn an_sbatch_that_makes_no_job_is_told() {
    for (mood, calls, text) in [
        (Mood::Hanging, 3, "sbatch did not come to an end within 60 s, 3 times"),
        (Mood::Idle, 1, "sbatch made no job of it"),
    ] {
        let (site, slurm) = (Site::new(), FakeSlurm::in_mood(mood));
        site.put("job.sh", SCRIPT);
        live(&site, &slurm).await;
        let reason = std::fs::read_to_string(site.path("failed/job.sh.reason.txt")).unwrap();
        assert!(reason.contains(text), "{reason}");
        assert_eq!(slurm.calls.get(), calls, "{mood:?}");
    }
}

/// Each step fails once, as on a disk that is full for a moment, and the same watcher goes on.
#[tokio::test]
async fn a_step_that_fails_is_done_again() {
    let all = steps(SCRIPT, &FakeSlurm::default()).await;
    for bad in 0..all {
        let (site, slurm) = (Site::new(), FakeSlurm::default());
        site.put("job.sh", SCRIPT);
        let steps = Steps::stop_after(bad);
        let Ok(first) = Life::begin(&site, &slurm, &steps) else { continue };
        let ended = first.live().await.is_ok();
        steps.left.set(None);
        if !ended {
            // What it has is in its own folder; what it has not is still in `submit`.
            for id in first.work.instance.claims(&first.work.disk).unwrap() {
                let mut claim = Claim::resume(&first.work.disk, &first.work.instance, id).unwrap().unwrap();
                while !matches!(first.work.go_on(&mut claim).await.unwrap(), Outcome::Done(_)) {}
            }
            live(&site, &slurm).await;
        }
        complete(&site, &slurm, &["job.sh"], &format!("step {bad} failed"));
    }
}
