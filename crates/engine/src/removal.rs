//! The Pod goes when its step has ended: also one whose creation was never confirmed, also with credentials that have
//! changed meanwhile.

use std::time::Duration;

use serde_json::Value;
use slurm_k8s_core::verdict::image_id;
use tokio::time::Instant;

use crate::api::{ApiError, Pods};
use crate::create::{Created, NAMES, nonce};
use crate::journal::Journal;
use crate::pause::Pause;

/// How long one request may take: nobody waits for the step's tasks any more.
const REQUEST: Duration = Duration::from_secs(5);
/// How long it is tried. What is left then is `slurm-k8s gc`'s.
const LIMIT: Duration = Duration::from_secs(9);
/// How often it is tried against a refusal: an API server that has just started refuses everybody for a moment.
const REFUSALS: u32 = 4;

/// Which Pod.
pub enum Target {
    /// One that was confirmed.
    Known(Created),
    /// One that may be there: a request was sent, and its answer never came.
    Perhaps {
        /// The first name that was tried.
        name: String,
        /// What makes it ours.
        nonce: String,
    },
}

/// Deletes the Pod, if there is one.
pub async fn remove(pods: &Pods, target: Target, journal: &Journal) {
    let pods = pods.patient(REQUEST);
    let deadline = Instant::now() + LIMIT;
    let mut pause = Pause::new();
    let mut refusals = 0;
    loop {
        let error = match delete(&pods, &target, journal).await {
            Ok(true) => return journal.write("deleted", &[]),
            Ok(false) => return,
            Err(error) => error,
        };
        journal.write("delete_failed", &[("error", Value::from(error.to_string()))]);
        let refused = matches!(error.status(), Some(401 | 403));
        refusals += u32::from(refused);
        let again = error.retryable() || (refused && refusals < REFUSALS);
        let length = pause.length(error.retry_after());
        if !again || Instant::now() + length >= deadline {
            return log::error!("the Pod could not be deleted ({error}); `slurm-k8s gc` removes it");
        }
        pause.wait(error.retry_after()).await;
    }
}

/// False if there is no Pod of ours.
async fn delete(pods: &Pods, target: &Target, journal: &Journal) -> Result<bool, ApiError> {
    match target {
        Target::Known(created) => delete_named(pods, &created.name, Some(&created.uid), journal).await,
        Target::Perhaps { name, nonce: ours } => {
            for variant in 0..NAMES {
                let name = if variant == 0 { name.clone() } else { slurm_k8s_core::name::variant(name, variant) };
                let Some(pod) = pods.get(&name).await? else { continue };
                if nonce(&pod) == Some(ours) {
                    return delete_named(pods, &name, pod.metadata.uid.as_deref(), journal).await;
                }
            }
            Ok(false)
        }
    }
}

async fn delete_named(pods: &Pods, name: &str, uid: Option<&str>, journal: &Journal) -> Result<bool, ApiError> {
    let pod = pods.delete(name, uid).await?;
    if let Some(id) = pod.as_ref().and_then(image_id) {
        journal.record.image_id(id);
    }
    Ok(true)
}
