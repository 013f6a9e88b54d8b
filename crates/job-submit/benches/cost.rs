//! What a submission costs in slurmctld: `cargo bench -p slurm-k8s-job-submit`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use job_submit_k8s::site::Site;
use job_submit_k8s::submit::submit;
use slurm_k8s_slurm_sys::fake::Fake;
use slurm_k8s_slurm_sys::layout;

/// What a script without directives may cost; one of 4 MiB has an end that must be found.
const PLAIN: Duration = Duration::from_micros(100);
const LONG: Duration = Duration::from_micros(500);

/// A site that uses what the plugin can judge: lists to search, a profile with limits, things to ask for.
const CONFIG: &str = "
[pod]
mounts = ['/home', '/mnt/nas']
[policy]
images = ['nas-hub.local:5407/*', 'ghcr.io/site/*', 'docker.io/library/python']
mounts = ['/scratch', '/data/public']
namespaces = ['team-a', 'team-b', 'team-c']
[submit]
require = ['mem', 'time', 'cpus-per-task']
[results]
folder = '/mnt/nas/results'
[profiles.small]
image = 'nas-hub.local:5407/team/tool:1'
max_cpus = 8
max_memory = '16Gi'
max_gpus = 0
[profiles.large]
image = 'nas-hub.local:5407/team/tool:1'
max_cpus = 64
max_memory = '256Gi'
max_gpus = 4
";

/// The median of many submissions, each of a job of its own.
fn cost(script: &str, site: &Site) -> Duration {
    const TIMES: usize = 501;
    let layout = layout::of(0x16_05_08).unwrap();
    let mut times: Vec<_> = (0..TIMES)
        .map(|_| {
            let mut job = Fake::new(layout);
            job.script(script).user(1000);
            job.set(layout.time_limit, 60_u32).set(layout.pn_min_memory, 1024_u64).set(layout.cpus_per_task, 2_u16);
            // As many as a login shell has.
            for n in 0..80 {
                job.variable(&format!("VARIABLE_{n}={}", "x".repeat(60)));
            }
            let begin = Instant::now();
            black_box(submit(&mut job.job(), site)).unwrap();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(TIMES / 2).copied().unwrap()
}

fn main() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(CONFIG.as_bytes()).unwrap();
    let site = Site::at(file.path().to_str().unwrap().to_owned().leak());
    let head = "#!/bin/bash\n#SBATCH --time=60\n#SBATCH --mem=1G\n#SBATCH --cpus-per-task=2\n\n";
    let image = head.replace("\n\n", "\n#K8S_IMAGE=nas-hub.local:5407/team/tool:1\n\n");
    let many = head.replace(
        "\n\n",
        "\n#K8S_PROFILE=small\n#K8S_WORKDIR=/data\n#K8S_MOUNTS=/scratch:/scratch,/data/public:/data:ro\n\
         #K8S_NAMESPACE=team-b\n#K8S_IO=direct\n\n",
    );
    let long = |head: &str| format!("{head}{}", "echo line of a script\n".repeat((4 << 20) / 22));
    let comments = format!("{head}{}", "# a comment that nobody reads\n".repeat((4 << 20) / 30));
    let rows = [
        ("a script without directives", format!("{head}echo hi\n"), Some(PLAIN)),
        ("the same with 4 MiB behind its head", long(head), Some(LONG)),
        ("an image", format!("{image}echo hi\n"), None),
        ("a profile with limits, and four directives more", format!("{many}echo hi\n"), None),
        ("an image and 4 MiB, which is copied with its mark", long(&image), None),
        ("4 MiB of comments", comments, None),
    ];
    for (what, script, most) in rows {
        let cost = cost(&script, &site);
        println!("{what}: {:.1} us", cost.as_secs_f64() * 1e6);
        assert!(most.is_none_or(|most| cost <= most), "{what}: {cost:?}");
    }
}
