//! The machine that the figures are from.

use std::process::Command;

use e2e::{ALICE, At, ROOT};

use crate::run::output;
use crate::stage::ON_NODE;

/// Its parts, as (what, which).
pub fn describe() -> Vec<[String; 2]> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let memory = kib.map_or_else(|| "?".to_owned(), |kib: u64| format!("{} GiB", kib >> 20));
    let load = read("/proc/loadavg").split(' ').take(2).collect::<Vec<_>>().join(", ");
    let kernel = read("/proc/sys/kernel/osrelease");
    let row = |what: &str, which: String| [what.to_owned(), which.trim().to_owned()];
    vec![
        row("date", local("date", &["--utc", "+%F %R UTC"])),
        row("spank-k8s", local("git", &["describe", "--always", "--dirty"])),
        row("processor", format!("{cores} cores, {}", model.trim_start_matches(['\t', ' ', ':']))),
        row("memory", memory),
        row("kernel", kernel),
        row("load before (1 and 5 minutes)", load),
        row("Slurm", said(ALICE, &["srun", "--version"])),
        row(
            "Kubernetes",
            said(ROOT, &["kubectl", "get", "nodes", "--output=jsonpath={.items[0].status.nodeInfo.kubeletVersion}"]),
        ),
        row("containerd", said(ON_NODE, &["containerd", "--version"])),
        row("runc", said(ON_NODE, &["runc", "--version"])),
    ]
}

fn said(at: At, argv: &[&str]) -> String {
    let text = output(at, argv).unwrap_or_else(|missing| format!("unknown: {missing}"));
    text.lines().next().unwrap_or_default().to_owned()
}

fn local(program: &str, arguments: &[&str]) -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(arguments).current_dir(here).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
