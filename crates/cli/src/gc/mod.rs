//! `slurm-k8s gc`: Pods that nobody else deletes. A step deletes its own; here go those whose slurmstepd was killed or
//! whose node was lost.

mod decision;
mod once;
mod output;
mod pod;
mod service;
mod store;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use slurm_k8s_core::{config, duration, label};

use crate::cluster::{Cluster, ClusterError};
use crate::site::{self, SiteError};
use crate::slurm::SlurmError;
use decision::Limits;
use output::Output;

/// The identity of the service.
const KUBECONFIG: &str = "/etc/slurm/k8s-gc.kubeconfig";

/// What is asked for. Times are as in k8s.toml: 45s, 10m, 48h.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Delete them; without it, this command only says what it would do
    #[arg(long)]
    delete: bool,
    /// Delete them as they come, until a SIGTERM: the service on the controller
    #[arg(long)]
    watch: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Finished Pods go after this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    finished_after: Duration,
    /// Unfinished Pods go this time after their job's end, or their creation if Slurm does not know the job
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    orphan_after: Duration,
    /// Pods of jobs with --k8s-keep go after this time [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    kept_after: Option<Duration>,
    /// With --watch: how often Slurm is asked, at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    slurm_every: Duration,
    /// With --watch: a file of metrics for the textfile collector of Prometheus, replaced by rename
    #[arg(long, value_name = "FILE", requires = "watch")]
    metrics: Option<PathBuf>,
    /// The identity for Kubernetes [default: $KUBECONFIG, else /etc/slurm/k8s-gc.kubeconfig]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The site's configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// Why nothing could be done.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The configuration.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Kubernetes.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// SIGTERM cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

impl GcError {
    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Site(SiteError::Read { .. }) => {
                Some("this command needs the site's k8s.toml; --config names another")
            }
            Self::Cluster(error) => error.hint(),
            Self::Site(SiteError::Config { .. }) | Self::Signals(_) => None,
        }
    }
}

/// What a run works with.
struct Work {
    namespaces: Vec<String>,
    selector: String,
    kubeconfig: Option<PathBuf>,
    limits: Limits,
    slurm_every: Duration,
    metrics: Option<PathBuf>,
    output: Output,
}

impl Work {
    async fn connect(&self) -> Result<Cluster, ClusterError> {
        Cluster::connect(self.kubeconfig.as_deref(), Path::new(KUBECONFIG), self.selector.clone()).await
    }
}

/// Runs the subcommand.
pub async fn run(arguments: &Arguments) -> Result<ExitCode, GcError> {
    let config = site::read(&arguments.config)?;
    let work = Work {
        namespaces: site::namespaces(&config),
        // Two Slurm clusters may share a namespace: the Pods of another one are none of ours.
        selector: format!("{}={},{}={}", label::APP, label::APP_VALUE, label::CLUSTER, config.cluster),
        kubeconfig: arguments.kubeconfig.clone(),
        limits: Limits {
            finished: seconds(arguments.finished_after),
            orphan: seconds(arguments.orphan_after),
            kept: arguments.kept_after.map(seconds),
        },
        slurm_every: arguments.slurm_every.max(Duration::from_secs(1)),
        metrics: arguments.metrics.clone(),
        output: Output { json: arguments.json, home: config.kubernetes.namespace },
    };
    if arguments.watch { service::run(&work).await } else { once::run(&work, arguments.delete).await }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, seconds)
}

/// What helps when Slurm does not answer.
fn slurm_hint(error: &SlurmError) -> Option<&'static str> {
    match error {
        SlurmError::Private { .. } => Some("run it as root or as SlurmUser"),
        SlurmError::Absent { .. } => Some("Slurm's commands must be in PATH"),
        _ => None,
    }
}
