//! slurmctld keeps nothing of the jobs that it was asked about. A small count here; `make soak` has the full one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)]

use std::thread;

use e2e::{ALICE, CTL, alone, image, scratch};

/// At once: slurmctld has a thread for each, and from 23.11 on judges several jobs at a time.
const SUBMITTERS: usize = 4;
const ROUNDS: usize = 5;
/// As many more, until the last ones show no growth.
const MOST_ROUNDS: usize = 20;
const LAST: usize = 3;
/// What slurmctld may grow for each submission, in bytes.
const MOST: f64 = 512.0;

/// What slurmctld has in memory of its own, in bytes. Its threads may have other names.
fn memory_of_slurmctld() -> f64 {
    let line = "for pid in $(pgrep -f '^slurmctld '); do grep RssAnon /proc/$pid/status; done";
    let text = CTL.run(&["bash", "-c", line]).ok().text();
    let sizes = text.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    f64::from(sizes.max().expect("slurmctld runs")) * 1024.0
}

/// Each submitter's jobs, one taken and one refused in turn. Neither makes a job: Slurm only says when it would run, or
/// the plugin refuses it.
fn submit(folder: &str, each: usize) {
    let line = "cd \"$0\"; for ((i = 0; i < $1; i++)); do \
                sbatch --test-only taken 2> /dev/null || exit 1; sbatch refused 2> /dev/null && exit 2; done; exit 0";
    thread::scope(|scope| {
        for _ in 0..SUBMITTERS {
            scope.spawn(|| {
                // No command of a test may take minutes.
                for begin in (0..each).step_by(100) {
                    let some = 100.min(each - begin).to_string();
                    let _ = ALICE.run(&["bash", "-c", line, folder, &some]).ok();
                }
            });
        }
    });
}

#[test]
fn many_submissions_leave_nothing_in_slurmctld() {
    let _alone = alone();
    let jobs = std::env::var("SOAK_SUBMISSIONS").map_or(300, |text| text.parse().expect("a number"));
    let each = jobs / ROUNDS / SUBMITTERS;
    let folder = scratch("submissions");
    let head = format!("#!/bin/bash\n#K8S_IMAGE={}\n", image("userland"));
    for (name, line) in [("taken", ""), ("refused", "#K8S_NETWORK=host\n")] {
        let script = format!("{head}{line}echo a line of a script that is not run\n");
        let _ = ALICE.run_with(&["tee", &format!("{folder}/{name}")], script.as_bytes()).ok();
    }
    // The allocator's arenas for its threads are made, and what is read once is read.
    submit(&folder, 15);
    let submissions = f64::from(u32::try_from(2 * each * SUBMITTERS).unwrap());
    let mut sizes = vec![memory_of_slurmctld()];
    // Its arenas fill up at first, the more the more threads it has. What is kept each time shows in all rounds.
    let growths = loop {
        submit(&folder, each);
        sizes.push(memory_of_slurmctld());
        let growths: Vec<_> = sizes.windows(2).map(|pair| (pair[1] - pair[0]) / submissions).collect();
        let last = growths.iter().rev().take(LAST).sum::<f64>() / LAST as f64;
        if growths.len() >= ROUNDS && (last < MOST || growths.len() >= MOST_ROUNDS) {
            break growths;
        }
    };
    println!("rounds of {submissions} submissions: slurmctld grew by {growths:.0?} bytes for each");
    let last = growths.iter().rev().take(LAST).sum::<f64>() / LAST as f64;
    assert!(last < MOST, "bytes for each submission: {growths:.0?}");
}
