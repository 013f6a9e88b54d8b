//! One line for each Pod on standard output.

use std::io::Write as _;

use serde_json::json;

use super::pod::Pod;

/// How it is printed.
pub struct Output {
    /// As JSON.
    pub json: bool,
    /// The namespace that goes without saying.
    pub home: String,
}

impl Output {
    /// How people call a Pod.
    pub fn name(&self, pod: &Pod) -> String {
        if pod.namespace == self.home { pod.name.clone() } else { format!("{}/{}", pod.namespace, pod.name) }
    }

    /// Prints what happens to a Pod: `keep`, `delete` (nothing was done) or `deleted`. A reader who has gone must not
    /// end the work.
    pub fn line(&self, pod: &Pod, width: usize, action: &str, why: &str) {
        let text = if self.json {
            let Pod { namespace, name, uid, job, .. } = pod;
            json!({ "namespace": namespace, "pod": name, "uid": uid, "job": job, "action": action, "why": why })
                .to_string()
        } else {
            format!("{:width$}  {action}  {why}", self.name(pod))
        };
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
