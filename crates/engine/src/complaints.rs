//! What the kubelet says about a Pod that gets no sandbox: no status tells it, only events.

use std::cell::Cell;
use std::time::Duration;

use slurm_k8s_core::verdict::{Verdict, event};
use tokio::time::sleep;

use crate::api::Pods;
use crate::create::Created;
use crate::observe::Observed;

/// When the events are read: a Pod has its sandbox long before the first time.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// Reads the Pod's events while `waiting` for its sandbox, and tells each new trouble once. Ends with the waiting, or
/// with a failure that no time mends.
pub async fn read<F: Future<Output = ()>>(
    pods: &Pods,
    created: &Created,
    waiting: &Cell<bool>,
    tell: &impl Fn(Observed) -> F,
) {
    let mut pause = PAUSE.0;
    let mut last = String::new();
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
        if !waiting.get() {
            return;
        }
        let warnings = match pods.warnings(&created.uid).await {
            Ok(warnings) => warnings,
            Err(error) => {
                log::debug!("the Pod's events cannot be read: {error}");
                continue;
            }
        };
        let judged = warnings.iter().filter_map(|(reason, message)| event::judge(reason, message)).next_back();
        match judged {
            Some(Verdict::Failed(refusal)) => return tell(Observed::Failed(refusal)).await,
            Some(Verdict::Trouble { message }) if message != last => {
                last.clone_from(&message);
                tell(Observed::Notice(message)).await;
            }
            _ => {}
        }
    }
}
