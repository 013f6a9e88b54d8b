//! What of slurm.conf no plugin is told.

use std::path::Path;
use std::time::Duration;

use slurm_k8s_agent::link::message::Scope;
use slurm_k8s_core::gres::includes;

/// slurm.conf(5).
const KILL_WAIT: Duration = Duration::from_secs(30);

/// What a site's slurm.conf says; nothing, if it cannot be read.
#[derive(Debug, Default)]
pub struct SlurmConf {
    /// The file, and those that it includes.
    texts: Vec<String>,
}

impl SlurmConf {
    /// Reads it.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let text = read(path);
        // An absolute name stays what it is.
        let included = includes(&text).filter_map(|name| Some(read(&path.parent()?.join(name)))).collect::<Vec<_>>();
        Self { texts: std::iter::once(text).chain(included).collect() }
    }

    /// Whom Slurm's signals go to. `proctrack/cgroup` signals a step's task processes only; the others signal every
    /// process below them (slurm.conf(5), cgroup.conf(5) `SignalChildrenProcesses`).
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.value("ProctrackType").map(str::to_ascii_lowercase).as_deref() {
            Some("proctrack/linuxproc" | "proctrack/pgid") => Scope::Tree,
            _ => Scope::Task,
        }
    }

    /// How long a process has between TERM and KILL.
    #[must_use]
    pub fn kill_wait(&self) -> Duration {
        self.value("KillWait").and_then(|value| value.parse().ok()).map_or(KILL_WAIT, Duration::from_secs)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.texts
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.split('#').next()?.split_once('='))
            .find(|(present, _)| present.trim().eq_ignore_ascii_case(key))
            .map(|(_, value)| value.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(texts: &[&str]) -> SlurmConf {
        SlurmConf { texts: texts.iter().map(|text| (*text).to_owned()).collect() }
    }

    #[test]
    fn only_linuxproc_and_pgid_signal_the_tree() {
        let scope = |text: &str| conf(&[text]).scope();
        assert_eq!(scope("ClusterName=a\n"), Scope::Task);
        assert_eq!(scope("ProctrackType=proctrack/cgroup"), Scope::Task);
        assert_eq!(scope(" proctracktype = proctrack/linuxproc # x"), Scope::Tree);
        assert_eq!(scope("#ProctrackType=proctrack/pgid\n"), Scope::Task);
    }

    #[test]
    fn kill_wait_is_slurms_own_unless_a_file_says_another() {
        assert_eq!(conf(&["ClusterName=a\n#KillWait=7\n"]).kill_wait(), KILL_WAIT);
        assert_eq!(conf(&["killwait = 2 # short\n"]).kill_wait(), Duration::from_secs(2));
        assert_eq!(conf(&["include more.conf\n", "KillWait=120\n"]).kill_wait(), Duration::from_secs(120));
        assert_eq!(conf(&["KillWait=soon\n"]).kill_wait(), KILL_WAIT);
    }

    #[test]
    fn included_files_are_read_beside_it() {
        let folder = std::env::temp_dir().join(format!("slurm-conf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("slurm.conf"), "include more.conf\n").unwrap();
        std::fs::write(folder.join("more.conf"), "KillWait=9\n").unwrap();
        let conf = SlurmConf::read(&folder.join("slurm.conf"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(conf.kill_wait(), Duration::from_secs(9));
        assert_eq!(SlurmConf::read(&folder).kill_wait(), KILL_WAIT);
    }
}
