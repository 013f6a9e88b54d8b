//! Slurm's settings, by `scontrol show config`.

use std::path::{Path, PathBuf};

use slurm_k8s_core::diagnosis;

use super::{Finding, Host};
use crate::slurm::{self, SlurmError};

/// What Slurm says; nothing, if it cannot be asked.
#[derive(Debug, Default)]
pub struct Settings {
    text: String,
    /// Whether Slurm has a node of this name.
    pub has_node: Option<bool>,
}

impl Settings {
    /// Asks slurmctld.
    pub async fn ask(name: &str) -> Result<Self, SlurmError> {
        let text = slurm::output("scontrol", &["show", "config"]).await?;
        let nodes = slurm::output("scontrol", &["show", "node", "--oneliner"]).await?;
        let wanted = format!("NodeName={name}");
        let has_node = nodes.lines().any(|line| line.split_whitespace().next() == Some(&wanted));
        Ok(Self { text, has_node: Some(has_node) })
    }

    /// A value, unless Slurm shows none.
    pub fn value(&self, key: &str) -> Option<&str> {
        let mut pairs = self.text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
        Some(value.trim()).filter(|value| !matches!(*value, "" | "(null)" | "N/A"))
    }

    /// Whether slurmctld, or its backup, runs on that host.
    pub fn is_controller(&self, name: &str) -> bool {
        let mut pairs = self.text.lines().filter_map(|line| line.split_once('='));
        pairs.any(|(key, value)| {
            let host = value.split(['(', ',']).next().unwrap_or_default().trim();
            key.trim().starts_with("SlurmctldHost[") && host.split('.').next() == Some(name)
        })
    }

    /// The file that names plugins: `PlugStackConfig`, or the one beside slurm.conf.
    pub fn plugstack(&self) -> PathBuf {
        let beside = || {
            let conf = self.value("SLURM_CONF").unwrap_or("/etc/slurm/slurm.conf");
            Path::new(conf).with_file_name("plugstack.conf")
        };
        self.value("PlugStackConfig").map_or_else(beside, PathBuf::from)
    }

    /// Where a plugin without a folder is looked for.
    pub fn plugin_folders(&self) -> Vec<PathBuf> {
        self.value("PluginDir").unwrap_or("/usr/lib/slurm").split(':').map(PathBuf::from).collect()
    }

    /// What slurm.conf itself has to say.
    pub fn check(&self, host: Host) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.text.is_empty() {
            return found;
        }
        let (tracking, tasks) = (self.value("ProctrackType"), self.value("TaskPlugin").unwrap_or_default());
        if host.node && (tracking != Some("proctrack/cgroup") || !tasks.contains("cgroup")) {
            let cause = format!("ProctrackType={} TaskPlugin={tasks}", tracking.unwrap_or_default());
            found.push(Finding::new(diagnosis::TRACKING, cause));
        }
        if host.controller {
            let plugins = self.value("JobSubmitPlugins").unwrap_or_default();
            let named = plugins.split(',').any(|name| name.trim().trim_start_matches("job_submit/") == "k8s");
            let file = |folder: &PathBuf| folder.join("job_submit_k8s.so").is_file();
            if !named {
                found.push(Finding::new(diagnosis::JOB_SUBMIT, format!("JobSubmitPlugins={plugins}")));
            } else if !self.plugin_folders().iter().any(file) {
                found.push(Finding::new(diagnosis::JOB_SUBMIT, "there is no job_submit_k8s.so in PluginDir"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Configuration data as of 2026-11-26T14:00:00\nJobSubmitPlugins        = lua,k8s\n\
        PluginDir               = /usr/lib/a:/usr/lib/b\nPlugStackConfig         = (null)\n\
        ProctrackType           = proctrack/linuxproc\nSLURM_CONF              = /etc/slurm/slurm.conf\n\
        TaskPlugin              = task/affinity,task/cgroup\nSlurmctldHost[0]        = ctl(10.0.0.1)\n\
        SlurmctldHost[1]        = backup.site\n";

    fn settings() -> Settings {
        Settings { text: TEXT.to_owned(), has_node: Some(true) }
    }

    #[test]
    fn values_and_what_slurm_shows_where_there_is_none() {
        let settings = settings();
        assert_eq!(settings.value("ProctrackType"), Some("proctrack/linuxproc"));
        assert_eq!(settings.value("PlugStackConfig"), None);
        assert_eq!(settings.plugstack(), Path::new("/etc/slurm/plugstack.conf"));
        assert_eq!(settings.plugin_folders(), [Path::new("/usr/lib/a"), Path::new("/usr/lib/b")]);
        assert_eq!(Settings::default().plugstack(), Path::new("/etc/slurm/plugstack.conf"));
    }

    #[test]
    fn the_controller_and_its_backup_are_known_by_name() {
        let settings = settings();
        assert!(settings.is_controller("ctl") && settings.is_controller("backup"));
        assert!(!settings.is_controller("node1") && !Settings::default().is_controller("ctl"));
    }

    #[test]
    fn tracking_concerns_nodes_and_plugins_the_controller() {
        let ids = |node, controller| -> Vec<_> {
            settings().check(Host { node, controller }).iter().map(|finding| finding.kind.id).collect()
        };
        assert_eq!(ids(true, false), ["tracking"]);
        // It is named, and not there.
        assert_eq!(ids(false, true), ["job-submit"]);
        assert!(ids(false, false).is_empty());
    }
}
