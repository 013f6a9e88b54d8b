use super::*;
use crate::collect::job::Job;
use crate::collect::step::{Refusal, Usage};

fn step(restart: u32) -> Record {
    let times = Times { begun: Some(100.0), created: Some(100.04), container: Some(102.5), ..Times::default() };
    let usage = Usage { cpu_us: Some(1_500_000), memory_kills: 1, ..Usage::default() };
    let requests = [("POST", 1), ("watch", 2), ("failed", 1), ("PATCH", 1)];
    let requests = requests.map(|(verb, times)| (verb.to_owned(), times)).into();
    Record { step: "batch".into(), restart, times, usage, requests, ..Record::default() }
}

fn job(state: &str, restarts: u32) -> Job {
    let (submitted, started, ended) = (Some(60), Some(100), Some(160));
    Job { state: state.into(), restarts, submitted, started, ended, ..Job::default() }
}

fn shown(summaries: &[Summary]) -> String {
    let mut figures = Figures::default();
    summaries.iter().for_each(|summary| figures.job(summary));
    render(&figures)
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == format!("slurm_k8s_{line}")), "{line}\n{text}");
}

#[test]
fn a_job_is_counted_with_its_steps() {
    let mut summary = Summary::new(job("COMPLETED", 0), Vec::new(), vec![step(0)], 163);
    summary.files = Files { count: 3, bytes: 4096 };
    let text = shown(&[summary]);
    has(&text, "collect_collected_total 1");
    has(&text, "collect_hashed_bytes_total 4096");
    has(&text, "collect_hashed_files_total 3");
    has(&text, "jobs_total{state=\"COMPLETED\"} 1");
    has(&text, "steps_total 1");
    has(&text, "phase_seconds_count{phase=\"queue\"} 1");
    has(&text, "phase_seconds_sum{phase=\"queue\"} 40");
    has(&text, "phase_seconds_sum{phase=\"collect\"} 3");
    has(&text, "phase_seconds_bucket{phase=\"create\",le=\"0.05\"} 1");
    has(&text, "phase_seconds_count{phase=\"run\"} 0");
    has(&text, "api_requests_total{verb=\"WATCH\"} 2");
    has(&text, "api_requests_total{verb=\"OTHER\"} 1");
    has(&text, "api_failed_requests_total 1");
    has(&text, "cpu_seconds_total 1.500000");
    has(&text, "memory_kills_total 1");
}

#[test]
fn the_steps_of_earlier_runs_are_not_counted_again() {
    let first = Summary::new(job("NODE_FAIL", 0), Vec::new(), vec![step(0)], 163);
    let second = Summary::new(job("COMPLETED", 1), first.steps.clone(), vec![step(1)], 163);
    assert_eq!(second.steps.len(), 2);
    has(&shown(&[first, second.brief(&[step(1)])]), "steps_total 2");
    // The last run had no step in a Pod.
    has(&shown(&[second.brief(&[])]), "steps_total 0");
}

#[test]
fn every_state_and_reason_has_a_line_and_unknown_ones_share_one() {
    let refused = |code| {
        let refusal = Some(Refusal { code, message: "\"} 7\n".into() });
        Summary::new(job("\"}", 0), Vec::new(), vec![Record { refusal, ..step(0) }], 0)
    };
    let text = shown(&[refused(exit_code::IMAGE), refused(77)]);
    has(&text, "jobs_total{state=\"OTHER\"} 2");
    has(&text, "refusals_total{reason=\"image\"} 1");
    has(&text, "refusals_total{reason=\"other\"} 1");
    has(&text, "refusals_total{reason=\"lost\"} 0");
    for state in ENDS {
        has(&text, &format!("jobs_total{{state=\"{state}\"}} 0"));
    }
}

#[test]
fn a_forged_record_does_not_spoil_the_sums() {
    let usage = Usage { cpu_us: Some(u64::MAX), memory_kills: u64::MAX, ..Usage::default() };
    let times = Times { begun: Some(0.0), created: Some(1e300), ..Times::default() };
    let forged = Record { times, usage, ..step(0) };
    let mut summary = Summary::new(job("COMPLETED", 0), Vec::new(), vec![forged], 163);
    summary.files = Files { count: 3, bytes: u64::MAX };
    let text = shown(&[summary]);
    has(&text, "collect_hashed_bytes_total 0");
    has(&text, "cpu_seconds_total 0.000000");
    has(&text, "memory_kills_total 0");
    has(&text, "phase_seconds_count{phase=\"create\"} 0");
}

#[test]
fn hooks_are_counted_by_their_end() {
    let mut figures = Figures::default();
    [Hook::Ok, Hook::Timeout, Hook::Ok].into_iter().for_each(|result| figures.hook(result));
    has(&render(&figures), "collect_hooks_total{result=\"ok\"} 2");
    has(&render(&figures), "collect_hooks_total{result=\"timeout\"} 1");
    has(&render(&figures), "collect_hooks_total{result=\"failed\"} 0");
}
