//! Whom Slurm's signals go to on this site.

use std::path::Path;

use slurm_k8s_agent::link::message::Scope;

/// Reads `ProctrackType` from slurm.conf. `proctrack/cgroup` signals a step's task processes only; the others signal
/// every process below them (slurm.conf(5), cgroup.conf(5) `SignalChildrenProcesses`).
#[must_use]
pub fn scope(slurm_conf: &Path) -> Scope {
    std::fs::read_to_string(slurm_conf).map_or(Scope::Task, |text| scope_of(&text))
}

fn scope_of(slurm_conf: &str) -> Scope {
    let value = slurm_conf
        .lines()
        .filter_map(|line| line.split('#').next()?.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("ProctrackType"))
        .map(|(_, value)| value.trim().to_ascii_lowercase());
    match value.as_deref() {
        Some("proctrack/linuxproc" | "proctrack/pgid") => Scope::Tree,
        _ => Scope::Task,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linuxproc_and_pgid_signal_the_tree() {
        assert_eq!(scope_of("ClusterName=a\n"), Scope::Task);
        assert_eq!(scope_of("ProctrackType=proctrack/cgroup"), Scope::Task);
        assert_eq!(scope_of(" proctracktype = proctrack/linuxproc # x"), Scope::Tree);
        assert_eq!(scope_of("#ProctrackType=proctrack/pgid\n"), Scope::Task);
    }
}
