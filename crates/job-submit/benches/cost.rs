//! What a submission costs in slurmctld: `cargo bench -p slurm-k8s-job-submit`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use job_submit_k8s::site::Site;
use job_submit_k8s::submit::submit;
use slurm_k8s_slurm_sys::fake::Fake;
use slurm_k8s_slurm_sys::layout;

/// What a script without directives may cost; one of 4 MiB has an end that must be found.
const PLAIN: Duration = Duration::from_micros(100);
const LONG: Duration = Duration::from_micros(500);

static NO_SITE: Site = Site::at("/nonexistent/k8s.toml");

/// The median of many submissions, each of a job of its own.
fn cost(script: &str) -> Duration {
    const TIMES: usize = 501;
    let layout = layout::of(0x16_05_08).unwrap();
    let mut times: Vec<_> = (0..TIMES)
        .map(|_| {
            let mut job = Fake::new(layout);
            job.script(script).user(1000);
            // As many as a login shell has.
            for n in 0..80 {
                job.variable(&format!("VARIABLE_{n}={}", "x".repeat(60)));
            }
            let begin = Instant::now();
            black_box(submit(&mut job.job(), &NO_SITE)).unwrap();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(TIMES / 2).copied().unwrap()
}

fn main() {
    let head = "#!/bin/bash\n#SBATCH --time=1\n#SBATCH --mem=1G\n\n";
    let image = "#!/bin/bash\n#SBATCH --time=1\n#K8S_IMAGE=nas-hub.local:5407/team/tool:1\n\n";
    let long = |head: &str| format!("{head}{}", "echo line of a script\n".repeat((4 << 20) / 22));
    let comments = format!("{head}{}", "# a comment that nobody reads\n".repeat((4 << 20) / 30));
    let rows = [
        ("a script without directives", format!("{head}echo hi\n"), Some(PLAIN)),
        ("the same with 4 MiB behind its head", long(head), Some(LONG)),
        ("an image", format!("{image}echo hi\n"), None),
        ("an image and 4 MiB, which is copied with its mark", long(image), None),
        ("4 MiB of comments", comments, None),
    ];
    for (what, script, most) in rows {
        let cost = cost(&script);
        println!("{what}: {:.1} us", cost.as_secs_f64() * 1e6);
        assert!(most.is_none_or(|most| cost <= most), "{what}: {cost:?}");
    }
}
