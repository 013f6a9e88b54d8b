use super::*;

const NOW: i64 = 10_000;
const LIMITS: Limits = Limits { finished: 30, orphan: 60, kept: None };

/// Created this many seconds ago, for job 12.
fn pod(age: i64) -> Pod {
    let text = |text: &str| text.to_owned();
    let (namespace, name, uid) = (text("slurm-jobs"), text("slurm-job-12"), text("u"));
    Pod { namespace, name, uid, job: Some(12), created: NOW - age, finished: None, kept: false, leaving: false }
}

fn finished(ago: i64) -> Pod {
    Pod { finished: Some(NOW - ago), ..pod(1000) }
}

/// Job 12: its state, when it began and ended, in seconds ago, and its restarts.
fn job(state: State, started: Option<i64>, ended: Option<i64>, restarts: u32) -> Jobs {
    let ago = |seconds: Option<i64>| seconds.map(|seconds| NOW - seconds);
    Jobs::from([(12, Job { state, started: ago(started), ended: ago(ended), restarts })])
}

fn check(pod: &Pod, jobs: Option<&Jobs>, limits: &Limits, delete: bool, why: &str) {
    let verdict = decide(pod, jobs, limits, NOW);
    assert_eq!((verdict.delete, verdict.why.as_str()), (delete, why));
}

#[test]
fn finished_pods_go_whatever_slurm_says() {
    let runs = job(State::Active, Some(1000), None, 0);
    for jobs in [None, Some(&runs), Some(&Jobs::new())] {
        check(&finished(45), jobs, &LIMITS, true, "finished 45 s ago");
        check(&finished(30), jobs, &LIMITS, true, "finished 30 s ago");
        check(&finished(29), jobs, &LIMITS, false, "finished 29 s ago, stays for 1 s more");
        // The node's clock is ahead.
        check(&finished(-5), jobs, &LIMITS, false, "finished 0 s ago, stays for 35 s more");
        check(&Pod { job: None, ..finished(45) }, jobs, &LIMITS, true, "finished 45 s ago");
    }
}

#[test]
fn kept_pods_stay_unless_a_limit_says_otherwise() {
    let kept = Pod { kept: true, ..finished(90_000) };
    check(&kept, None, &LIMITS, false, "finished 25 h ago, kept by its user");
    let limits = Limits { kept: Some(86_400), ..LIMITS };
    check(&kept, None, &limits, true, "finished 25 h ago");
    check(&Pod { kept: true, ..finished(45) }, None, &limits, false, "finished 45 s ago, stays for 23 h more");
    let orphan = Pod { kept: true, ..pod(300) };
    check(&orphan, Some(&Jobs::new()), &LIMITS, false, "Slurm has no job 12, kept by its user");
    let ended = job(State::Ended, Some(200_000), Some(100_000), 0);
    check(&orphan, Some(&ended), &limits, true, "job 12 ended 27 h ago");
}

#[test]
fn unfinished_pods_go_when_their_job_has() {
    let none = Jobs::new();
    let ended = |ago| job(State::Ended, Some(1000), Some(ago), 0);
    check(&pod(61), Some(&none), &LIMITS, true, "Slurm has no job 12");
    check(&pod(59), Some(&none), &LIMITS, false, "Slurm has no job 12, stays for 1 s more");
    check(&pod(500), Some(&ended(60)), &LIMITS, true, "job 12 ended 60 s ago");
    check(&pod(500), Some(&ended(5)), &LIMITS, false, "job 12 ended 5 s ago, stays for 55 s more");
    check(&pod(500), Some(&job(State::Ended, None, None, 0)), &LIMITS, true, "job 12 ended 8 min ago");
}

#[test]
fn unfinished_pods_stay_while_their_job_may_run() {
    check(&pod(9000), Some(&job(State::Active, Some(9001), None, 0)), &LIMITS, false, "job 12 runs");
    check(&pod(9000), Some(&job(State::Pending, None, None, 0)), &LIMITS, false, "job 12 is pending");
    // The end is what the time limit gives: it counts for nothing.
    check(&pod(9000), Some(&job(State::Active, Some(9001), Some(500), 0)), &LIMITS, false, "job 12 runs");
    check(&pod(9000), None, &LIMITS, false, "unfinished; Slurm did not answer");
    check(&pod(59), None, &LIMITS, false, "unfinished, created 59 s ago");
    check(&Pod { kept: true, ..pod(9000) }, None, &LIMITS, false, "unfinished, kept by its user");
    check(&Pod { job: None, ..pod(9000) }, Some(&Jobs::new()), &LIMITS, false, "unfinished, without a job-id");
    check(&Pod { leaving: true, ..pod(9000) }, Some(&Jobs::new()), &LIMITS, false, "is being deleted already");
}

#[test]
fn a_requeued_job_keeps_its_new_pod_only() {
    let again = |started| job(State::Active, Some(started), None, 1);
    check(&pod(100), Some(&again(101)), &LIMITS, false, "job 12 runs");
    // Clocks differ.
    check(&pod(100), Some(&again(41)), &LIMITS, false, "job 12 runs");
    check(&pod(500), Some(&again(101)), &LIMITS, true, "of an earlier run of job 12");
    // Without a restart there was no earlier run: a clock is wrong.
    check(&pod(500), Some(&job(State::Active, Some(101), None, 0)), &LIMITS, false, "job 12 runs");
    check(&pod(500), Some(&job(State::Pending, None, None, 1)), &LIMITS, true, "of an earlier run of job 12");
    let new = "of an earlier run of job 12, stays for 55 s more";
    check(&pod(5), Some(&job(State::Pending, None, None, 1)), &LIMITS, false, new);
}

#[test]
fn slurm_is_asked_only_about_pods_that_may_go() {
    for (pod, asks) in [
        (pod(60), true),
        (pod(59), false),
        (finished(5), false),
        (Pod { job: None, ..pod(60) }, false),
        (Pod { leaving: true, ..pod(60) }, false),
        (Pod { kept: true, ..pod(60) }, false),
    ] {
        assert_eq!(needs_slurm(&pod, &LIMITS, NOW), asks, "{pod:?}");
    }
    let limits = Limits { kept: Some(100), ..LIMITS };
    assert!(needs_slurm(&Pod { kept: true, ..pod(100) }, &limits, NOW));
}

#[test]
fn spans_are_short() {
    for (seconds, text) in [(-3, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")] {
        assert_eq!(span(seconds), text);
    }
}
