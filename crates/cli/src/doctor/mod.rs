//! `slurm-k8s doctor`: what is wrong on this host, and what mends it.

mod api;
mod containerd;
mod folders;
mod identity;
mod nodes;
mod output;
mod plugstack;
mod programs;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;

use slurm_k8s_core::config::{self, Config};
use slurm_k8s_core::diagnosis::{self, Diagnosis};
use slurm_k8s_core::finding::Severity;

use crate::report::chain;
use crate::site;
use settings::Settings;

/// What is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 if nothing is wrong, or only worth a warning, 1 if something is.")]
pub struct Arguments {
    /// This host's name in Slurm [default: its host name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Also hold all nodes of Slurm against Kubernetes', with this identity, an admin's
    #[arg(long, value_name = "KUBECONFIG")]
    cluster: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The site's configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its row in the table.
    pub kind: Diagnosis,
    /// What exactly, with its values.
    pub cause: String,
}

impl Finding {
    /// One of this kind.
    pub fn new(kind: Diagnosis, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into() }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Whether jobs run here.
    pub node: bool,
    /// Whether slurmctld runs here.
    pub controller: bool,
}

impl Host {
    /// In words.
    pub const fn what(self) -> &'static str {
        match (self.node, self.controller) {
            (true, true) => "a compute node and the controller",
            (true, false) => "a compute node",
            (false, true) => "the controller",
            (false, false) => "a login host",
        }
    }
}

/// Runs the subcommand.
pub async fn run(arguments: &Arguments) -> ExitCode {
    let name = arguments.node.clone().unwrap_or_else(host_name);
    let mut found = Vec::new();
    let config = site::read(&arguments.config).unwrap_or_else(|error| {
        found.push(Finding::new(diagnosis::CONFIG, chain(&error)));
        Config::default()
    });
    let settings = Settings::ask(&name).await.unwrap_or_else(|error| {
        found.push(Finding::new(diagnosis::SLURM, chain(&error)));
        Settings::default()
    });
    // Without Slurm's word, by what is installed.
    let node = settings.has_node.unwrap_or_else(|| config.kubernetes.kubeconfig.exists());
    let host = Host { node, controller: settings.is_controller(&name) };
    found.extend(plugstack::check(&settings));
    found.extend(settings.check(host));
    if host.node {
        found.extend(programs::check(&config).await);
        found.extend(containerd::check(&config));
        found.extend(folders::check(&config).await);
        found.extend(identity::check(&config.kubernetes.kubeconfig));
        found.extend(api::check(&config, &name).await);
    }
    if let Some(kubeconfig) = &arguments.cluster {
        found.extend(nodes::check(kubeconfig).await);
    }
    if arguments.json {
        output::json(&name, host, &found);
    } else {
        output::text(&name, host, &found);
    }
    let wrong = found.iter().any(|finding| finding.kind.severity == Severity::Error);
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Up to the first dot, as Slurm has it.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}
