//! `slurm-k8s namespace ensure`: a user's own namespace, with the quota of the site. Run by an admin when the account is
//! made, or by slurmctld before a job starts (`PrologSlurmctld`); no compute node may make namespaces.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use slurm_k8s_core::config;
use slurm_k8s_core::user_namespace::{self, Objects};

use crate::cluster::{Cluster, ClusterError};
use crate::site::{self, SiteError};

/// The identity on the controller.
const KUBECONFIG: &str = "/etc/slurm/k8s-namespaces.kubeconfig";

/// What is asked for.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a user's namespace and bring its quota to what k8s.toml says
    Ensure(Arguments),
}

/// For whom.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Login names or numbers [default: the user of the job, in slurmctld's prolog]
    users: Vec<String>,
    /// The identity for Kubernetes [default: $KUBECONFIG, else /etc/slurm/k8s-namespaces.kubeconfig]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The site's configuration
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
}

/// Why a namespace could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The configuration.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Kubernetes.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// An object.
    #[error("cannot make the {what} of {namespace}")]
    Object {
        /// Which.
        what: &'static str,
        /// The namespace.
        namespace: String,
        /// Why.
        source: ClusterError,
    },
    /// Nobody is named.
    #[error("no user is named, and SLURM_JOB_UID is not set")]
    Nobody,
    /// Not in passwd.
    #[error("there is no user {0}")]
    Unknown(String),
}

impl NamespaceError {
    /// What the admin can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Cluster(error) | Self::Object { source: error, .. } => error.hint(),
            Self::Nobody => Some("slurm-k8s namespace ensure alice bob"),
            Self::Site(_) | Self::Unknown(_) => None,
        }
    }
}

/// Runs the subcommand.
pub async fn run(command: &Command) -> Result<ExitCode, NamespaceError> {
    let Command::Ensure(arguments) = command;
    let config = site::read(&arguments.config)?;
    let users = users(&arguments.users)?;
    let cluster = Cluster::connect(arguments.kubeconfig.as_deref(), Path::new(KUBECONFIG), String::new()).await?;
    for (uid, user) in users {
        apply(&cluster, &user_namespace::objects(&config, uid, &user), &user_namespace::name(uid)).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(cluster: &Cluster, objects: &Objects, namespace: &str) -> Result<(), NamespaceError> {
    let at = |what| {
        let namespace = namespace.to_owned();
        move |source| NamespaceError::Object { what, namespace, source }
    };
    cluster.apply(None, &objects.namespace).await.map_err(at("namespace"))?;
    for binding in &objects.bindings {
        cluster.apply(Some(namespace), binding).await.map_err(at("role binding"))?;
    }
    if let Some(quota) = &objects.quota {
        cluster.apply(Some(namespace), quota).await.map_err(at("quota"))?;
    }
    if let Some(network) = &objects.network {
        cluster.apply(Some(namespace), network).await.map_err(at("network policy"))?;
    }
    Ok(())
}

/// Numbers and names. slurmctld names its job's user in the environment.
fn users(named: &[String]) -> Result<Vec<(u32, String)>, NamespaceError> {
    let of_job = || std::env::var("SLURM_JOB_UID").map_err(|_| NamespaceError::Nobody);
    let named = if named.is_empty() { vec![of_job()?] } else { named.to_vec() };
    named.into_iter().map(user).collect()
}

fn user(named: String) -> Result<(u32, String), NamespaceError> {
    use nix::unistd::{Uid, User};
    let found = match named.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(&named),
    };
    let found = found.ok().flatten().ok_or(NamespaceError::Unknown(named))?;
    Ok((found.uid.as_raw(), found.name))
}
