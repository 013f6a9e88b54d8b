//! Creating the Pod: safe to repeat, also when an answer was lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use slurm_k8s_core::grant::{Grant, NONCE_ANNOTATION};

use crate::api::{ApiError, Pods};
use crate::removal::Target;
use crate::rundir::{RunDir, RunDirError};

/// Why there is no Pod.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The API server refused or did not answer.
    #[error("cannot create the Pod")]
    Api(#[from] ApiError),
    /// The node's run folder failed.
    #[error("cannot prepare the Pod on this node")]
    RunDir(#[from] RunDirError),
    /// Pods of other jobs have all the names.
    #[error("Pods of other jobs have the name {name} and its variants")]
    NameTaken {
        /// The first name tried.
        name: String,
    },
}

impl CreateError {
    /// Whether a later try may succeed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Api(error) if error.retryable())
    }
}

impl CreateError {
    /// Whether the API server does not know the node, or does not let it.
    #[must_use]
    pub fn refused(&self) -> bool {
        matches!(self, Self::Api(error) if matches!(error.status(), Some(401 | 403)))
    }

    /// When the API server wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// A Pod that exists.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version a watch starts from.
    pub version: String,
    /// When it was created, by the API server's clock.
    pub born: Option<Timestamp>,
}

/// How many names are tried: a requeued job's earlier Pod may still be there, and the components of one heterogeneous step
/// (`srun a : b`) have the same job and step.
pub const NAMES: u32 = 8;

/// What is sent, and what must be on the node before.
pub struct Creation {
    /// The Pod, under its first name.
    pub pod: Pod,
    /// The grant, for the same name.
    pub grant: Grant,
    /// Where the grant is written.
    pub run_dir: Arc<Mutex<RunDir>>,
    /// Whether a request may have made a Pod that was never confirmed.
    pub uncertain: Arc<AtomicBool>,
    name: String,
    variant: u32,
}

impl Creation {
    /// A Pod and its grant.
    #[must_use]
    pub fn new(pod: Pod, grant: Grant, run_dir: Arc<Mutex<RunDir>>) -> Self {
        Self { name: grant.pod.clone(), pod, grant, run_dir, uncertain: Arc::default(), variant: 0 }
    }

    /// Sends the Pod once per name. A name that another Pod has is success if the nonce is ours: an earlier
    /// request arrived and only its answer was lost.
    pub async fn attempt(&mut self, pods: &Pods) -> Result<Created, CreateError> {
        while self.variant < NAMES {
            if self.takes_grant()
                && let Ok(mut run_dir) = self.run_dir.lock()
            {
                run_dir.write_grant(&self.grant)?;
            }
            // Until the answer says otherwise: the request may be cut off at any moment.
            let before = self.uncertain.swap(true, Ordering::Relaxed);
            let error = match pods.create(&self.pod).await {
                Ok(pod) => return Ok(self.created(&pod)),
                Err(error) => error,
            };
            self.uncertain.store(before || !error.never_arrived(), Ordering::Relaxed);
            if !error.already_exists() {
                return Err(error.into());
            }
            match pods.get(&self.grant.pod).await? {
                Some(pod) if nonce(&pod) == Some(self.grant.nonce.as_str()) => {
                    return Ok(self.created(&pod));
                }
                _ => self.rename(),
            }
        }
        Err(CreateError::NameTaken { name: self.name.clone() })
    }

    /// The Pod that may be there before one is confirmed.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::Perhaps { name: self.name.clone(), nonce: self.grant.nonce.clone() }
    }

    /// By volumes of the node, nobody takes it.
    fn takes_grant(&self) -> bool {
        self.pod.spec.as_ref().is_some_and(|spec| spec.runtime_class_name.is_some())
    }

    fn rename(&mut self) {
        self.variant += 1;
        let name = slurm_k8s_core::name::variant(&self.name, self.variant);
        self.pod.metadata.name = Some(name.clone());
        self.grant.pod = name;
    }

    fn created(&self, pod: &Pod) -> Created {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !self.takes_grant()
            && let Ok(run_dir) = self.run_dir.lock()
        {
            run_dir.tell_pod(&uid);
        }
        Created {
            name: self.grant.pod.clone(),
            uid,
            version: pod.metadata.resource_version.clone().unwrap_or_default(),
            born: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }
}

/// What ties a Pod to its slurmstepd.
pub fn nonce(pod: &Pod) -> Option<&str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(NONCE_ANNOTATION).map(String::as_str)
}
