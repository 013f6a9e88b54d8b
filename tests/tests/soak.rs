//! Many jobs: none is lost, nothing piles up. Small counts here; `make soak` has the full ones and prints its figures.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss)]
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use e2e::{ALICE, At, NODE1, NODE2, alone, in_image, nodes_are_up, pods, scratch, until};

/// How many: what `make soak` sets, or a few.
fn count(variable: &str, few: usize) -> usize {
    std::env::var(variable).map_or(few, |text| text.parse().expect("a number"))
}

/// Submits so many jobs at once and waits until Slurm has cleared them all up; the seconds that took. Each job writes its
/// id into the folder's log, and when that was.
fn run(jobs: usize, folder: &str, options: &[&str]) -> f64 {
    let script = format!(
        "begin=$EPOCHREALTIME; for ((i = 0; i < {jobs}; i++)); do \
         sbatch --parsable --output=/dev/null \"$@\" --wrap='echo $SLURM_JOB_ID $(date +%s%N) >> {folder}/log' || exit; done > {folder}/jobs; \
         echo $begin > {folder}/begin"
    );
    let _ = ALICE.run(&[&["bash", "-c", &script, "bash"], options].concat()).ok();
    let patience = Duration::from_secs(60 + 6 * jobs as u64);
    let deadline = std::time::Instant::now() + patience;
    let left = || ALICE.run(&["squeue", "-h", "--me", "-t", "PD,R,CF,CG,S"]).ok().text();
    while !left().is_empty() {
        assert!(std::time::Instant::now() < deadline, "not within {patience:?}: {}", left());
        std::thread::sleep(Duration::from_millis(200));
    }
    let argv = ["bash", "-c", "echo $(($(date +%s%N) / 1000)) - ${0/./}", &text(&format!("{folder}/begin"))];
    let times = ALICE.run(&argv).ok().text();
    let (end, begin) = times.split_once(" - ").unwrap();
    (end.parse::<f64>().unwrap() - begin.parse::<f64>().unwrap()) / 1e6
}

fn text(path: &str) -> String {
    ALICE.run(&["cat", path]).ok().text()
}

fn first(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// The middle one, and the largest.
fn middle_and_most(mut seconds: Vec<f64>) -> (f64, f64) {
    seconds.sort_by(f64::total_cmp);
    (seconds[seconds.len() / 2], seconds[seconds.len() - 1])
}

/// From what one job does to what the next does: all that is between them is nobody's work.
fn gaps(folder: &str) -> (f64, f64) {
    let log = text(&format!("{folder}/log"));
    let mut times: Vec<u64> = log.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    times.sort_unstable();
    middle_and_most(times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect())
}

/// From a step's begin in slurmstepd to its command's, by the engine's log.
fn pod_starts(folder: &str) -> (f64, f64) {
    let jobs = text(&format!("{folder}/jobs"));
    let log = NODE2.run(&["bash", "-c", "cat /var/log/slurm-k8s/engine.log*"]).ok().text();
    let of_jobs = |line: &&str| jobs.lines().any(|job| line.contains(&format!("\"{}.batch\"", job.trim())));
    let started = log.lines().filter(|line| line.contains("\"phase\":\"started\"")).filter(of_jobs);
    let ms = |line: &str| line.split("\"ms\":").nth(1)?.split(',').next()?.parse::<f64>().ok();
    middle_and_most(started.map(|line| ms(line).unwrap() / 1e3).collect())
}

/// Every job ran once and is COMPLETED.
fn complete(jobs: usize, folder: &str) {
    let lines = |name: &str| {
        let mut lines: Vec<u32> =
            text(&format!("{folder}/{name}")).lines().map(|line| first(line).parse().unwrap()).collect();
        lines.sort_unstable();
        lines
    };
    let submitted = lines("jobs");
    assert_eq!(submitted.len(), jobs);
    assert_eq!(lines("log"), submitted);
    let ids = submitted.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    until("sacct has all jobs as COMPLETED", || {
        let states = ALICE.run(&["sacct", "-n", "-P", "-X", "-j", &ids, "--format=State,ExitCode"]).ok().text();
        let good = states.lines().filter(|line| *line == "COMPLETED|0:0").count();
        if good == jobs { Ok(()) } else { Err(states) }
    });
}

/// What a node has of our jobs: processes, run folders, mounts, cgroups of containers.
fn of_jobs(node: At) -> String {
    let line = "pgrep -c slurm-k8s-agent; ls /run/slurm-k8s/pods | wc -l; find /run/slurm-k8s/grants -type f | wc -l; \
                grep -c /run/slurm-k8s/mounts/ /proc/self/mounts";
    node.run(&["bash", "-c", line]).text().replace('\n', " ")
}

fn nothing_is_left() {
    until("no Pod is left", || if pods().is_empty() { Ok(()) } else { Err(pods()) });
    for node in [NODE1, NODE2] {
        until("nothing is left on the node", || {
            let left = of_jobs(node);
            if left == "0 0 0 0" { Ok(()) } else { Err(left) }
        });
    }
    nodes_are_up();
}

#[test]
fn jobs_back_to_back_each_take_the_whole_node() {
    // slurmctld looks once a second: what ends a little later may wait for its next look.
    const LOOK: f64 = 1.0;
    let _alone = alone();
    let jobs = count("SOAK_BACK_TO_BACK", 6);
    let options = ["--exclusive", "-w", "node2"];
    let (plain, pod) = (scratch("soak"), scratch("soak"));
    let without = run(jobs, &plain, &options);
    let image = in_image("userland");
    let with = run(jobs, &pod, &[&options[..], &[&image]].concat());
    complete(jobs, &plain);
    complete(jobs, &pod);
    nothing_is_left();
    println!("{jobs} jobs, each on all of one node: {with:.1} s in Pods, {without:.1} s plain");
    let ((own, own_most), (gap, gap_most), (start, start_most)) = (gaps(&plain), gaps(&pod), pod_starts(&pod));
    println!("between two: {gap:.2} s in Pods (most {gap_most:.2}), {own:.2} s plain (most {own_most:.2})");
    println!("start of a Pod: {start:.2} s (most {start_most:.2})");
    // Slurm's own gap, a Pod's start, and no more than that once again for its end.
    assert!(gap < own + 2.0 * start + LOOK, "{gap:.2} s in Pods, {own:.2} s plain, {start:.2} s for a Pod's start");
    // Slurm's own pace, and a Pod's start and end for each.
    assert!(with < 3.0 * without, "{with:.1} s in Pods, {without:.1} s plain");
}

#[test]
fn jobs_queued_at_once_on_two_nodes() {
    let _alone = alone();
    let jobs = count("SOAK_QUEUED", 16);
    let folder = scratch("soak");
    let image = in_image("userland");
    let took = run(jobs, &folder, &["--mem=200M", &image]);
    complete(jobs, &folder);
    nothing_is_left();
    println!("{jobs} jobs queued at once on two nodes of two cores: {took:.1} s in Pods");
}
