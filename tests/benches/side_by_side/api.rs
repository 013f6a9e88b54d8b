//! How many requests one job makes to the API server.

use std::collections::BTreeSet;

use e2e::{At, ROOT};
use serde_json::Value;

use crate::book::{Book, Contestant};
use crate::page::Section;
use crate::run::{Missing, figures, output};
use crate::stage::{NAME, NODE, Stage, script};

pub const OURS: &str = "`srun --k8s-image`, requests";
const RUN: &str = "`srun kubectl run --rm --attach`, requests";
const SEED: &str = "the site's guide, requests";

/// Where the testbed's API server logs what the nodes' Slurm identities ask.
const AUDIT: &str = "/var/log/kubernetes/audit.log";

/// Counts for these jobs, which are over, and for one job of each peer. Gives the verbs of one of our jobs.
pub fn measure(book: &mut Book, stage: &Stage, jobs: &[String]) -> Vec<String> {
    let mut verbs = Vec::new();
    for job in jobs {
        let audited = audited(job);
        if let Ok(asked) = &audited {
            verbs.clone_from(asked);
        }
        book.note(&[OURS], audited.map(|asked| vec![count(asked.len())]));
    }
    let peers = vec![
        Contestant::new(&[RUN], || logged(&script("kubectl_run.sh"), &stage.busybox)),
        Contestant::new(&[SEED], || logged(&script("seed.sh"), &stage.busybox)),
    ];
    book.take_turns("API requests", 1, peers);
    verbs
}

pub fn section(verbs: &[String]) -> Section {
    Section {
        title: "Requests to the API server",
        how: format!(
            "For one job. Ours: what the API server's audit log has about the job's Pod ({}). Peers: the responses that \
             `kubectl -v=6` logs, with its cache of the API's description warm. What the kubelet asks is not counted: it \
             is the same for all.",
            verbs.join(", ")
        ),
        unit: "",
        ratio: Some(("÷ ours", OURS)),
        labels: vec![OURS, RUN, SEED],
    }
}

/// The verbs of the requests that the audit log has about this job's Pod.
fn audited(job: &str) -> Result<Vec<String>, Missing> {
    let ctl = At { user: "root", host: "ctl" };
    let name = format!("\"name\":\"slurm-job-{job}-0-0\"");
    let text = output(ctl, &["grep", "--fixed-strings", &name, AUDIT])?;
    // A watch has one line when it starts and one when it ends.
    let mut seen = BTreeSet::new();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let first = lines.filter(|line| seen.insert(line.get("auditID").cloned().unwrap_or_default().to_string()));
    Ok(first.filter_map(|line| line.get("verb")?.as_str().map(str::to_owned)).collect())
}

/// How many responses kubectl logged in one run of this script.
fn logged(script: &str, image: &str) -> Result<Vec<f64>, Missing> {
    let counted = "srun --job-name=$0 --chdir=/tmp -w $1 $2 $3 2>&1 | grep --count '\"Response\" verb='";
    let argv = ["env", "KUBECTL=kubectl -v=6", "bash", "-c", counted, NAME, NODE, script, image];
    let [count] = figures(&output(ROOT, &argv)?)?;
    Ok(vec![count])
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
