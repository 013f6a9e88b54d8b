//! The API server, as the node's identity finds it.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use slurm_k8s_core::choice::{Network, Pull, Way};
use slurm_k8s_core::config::Config;
use slurm_k8s_core::diagnosis;
use slurm_k8s_core::pod::{PodRequest, WayIn, build};

use super::Finding;
use crate::cluster::{Cluster, ClusterError};
use crate::report::chain;
use crate::site::{EVERYWHERE, namespaces};

/// Who the nodes' identities are (deploy/node-role.yaml).
const GROUP: &str = "slurm-k8s:nodes";
/// What the engine does there.
const NEEDED: &[(&str, &str)] =
    &[("create", "pods"), ("get", "pods"), ("list", "pods"), ("watch", "pods"), ("delete", "pods"), ("list", "events")];
/// What root on one node should not be able to do: verb, resource, namespace.
const UNWANTED: &[(&str, &str, &str)] = &[
    ("create", "pods", "kube-system"),
    ("get", "secrets", "kube-system"),
    ("create", "clusterrolebindings", ""),
    ("list", "secrets", ""),
];
/// Differences up to this are nobody's trouble; HTTP tells whole seconds.
const SKEW: i64 = 5;
/// An image that no registry has: nothing of the probes is ever run.
const IMAGE: &str = "doctor.invalid/probe:1";
/// A node that no cluster has.
const ELSEWHERE: &str = "slurm-k8s-doctor.invalid";

/// Asks as the node; nothing is made.
pub async fn check(config: &Config, name: &str) -> Vec<Finding> {
    let kubeconfig = &config.kubernetes.kubeconfig;
    // Said already, with the reason.
    let Ok(cluster) = Cluster::connect(Some(kubeconfig), Path::new(""), String::new()).await else { return Vec::new() };
    let begin = Timestamp::now();
    let clock = match cluster.clock().await {
        Ok(clock) => clock,
        Err(error) => return vec![Finding::new(diagnosis::API, chain(&error))],
    };
    let node = config.kubernetes.node_name.as_deref().unwrap_or(name);
    let mut found = Vec::new();
    found.extend(clock.and_then(|clock| skew(clock, begin, Timestamp::now())));
    match identity(&cluster, node).await {
        Ok(finding) => found.extend(finding),
        Err(error) => return vec![Finding::new(diagnosis::API, chain(&error))],
    }
    for namespace in namespaces(config).iter().filter(|namespace| *namespace != EVERYWHERE) {
        found.extend(rights(&cluster, namespace).await);
    }
    for (verb, resource, namespace) in UNWANTED {
        if matches!(may(&cluster, verb, resource, namespace).await, Ok(true)) {
            let place = if namespace.is_empty() { "anywhere".to_owned() } else { format!("in {namespace}") };
            found.push(Finding::new(diagnosis::TOO_MUCH, format!("it may {verb} {resource} {place}")));
        }
    }
    found.extend(probe(&cluster, config, node).await);
    found
}

/// The API server's second lies between two of ours, or does not.
fn skew(theirs: Timestamp, before: Timestamp, after: Timestamp) -> Option<Finding> {
    let behind = before.as_second() - theirs.as_second();
    let ahead = theirs.as_second() - after.as_second();
    let cause = match () {
        () if behind > SKEW => format!("this clock is {behind} s ahead of the API server's"),
        () if ahead > SKEW => format!("this clock is {ahead} s behind the API server's"),
        () => return None,
    };
    Some(Finding::new(diagnosis::CLOCK, cause))
}

async fn identity(cluster: &Cluster, node: &str) -> Result<Option<Finding>, ClusterError> {
    let review: SelfSubjectReview = match cluster.create(None, &SelfSubjectReview::default(), false).await {
        Ok(review) => review,
        Err(ClusterError::Status { code: 401, message }) => {
            return Ok(Some(Finding::new(diagnosis::IDENTITY, message)));
        }
        Err(error) => return Err(error),
    };
    let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
    let (name, groups) = (user.username.unwrap_or_default(), user.groups.unwrap_or_default());
    let expected = format!("slurm-k8s:node:{node}");
    let right = name == expected && groups.iter().any(|group| group == GROUP);
    Ok((!right).then(|| {
        let cause = format!("it is {name} of {}, and not {expected} of {GROUP}", groups.join(", "));
        Finding::new(diagnosis::IDENTITY, cause)
    }))
}

async fn rights(cluster: &Cluster, namespace: &str) -> Option<Finding> {
    let mut missing = Vec::new();
    for (verb, resource) in NEEDED {
        if !matches!(may(cluster, verb, resource, namespace).await, Ok(true)) {
            missing.push(format!("{verb} {resource}"));
        }
    }
    let cause = || format!("in {namespace} it may not {}", missing.join(", "));
    (!missing.is_empty()).then(|| Finding::new(diagnosis::RIGHTS, cause()))
}

async fn may(cluster: &Cluster, verb: &str, resource: &str, namespace: &str) -> Result<bool, ClusterError> {
    let group = if resource.starts_with("clusterrole") { "rbac.authorization.k8s.io" } else { "" };
    let attributes = ResourceAttributes {
        verb: Some(verb.into()),
        resource: Some(resource.into()),
        group: Some(group.into()),
        namespace: Some(namespace.into()).filter(|name: &String| !name.is_empty()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = cluster.create(None, &review, false).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// A Pod for this node, which should be taken, and one for another, which should not.
async fn probe(cluster: &Cluster, config: &Config, node: &str) -> Option<Finding> {
    // Pods by hostPath are their namespace's own matter.
    if config.kubernetes.way != Way::Runtime || config.kubernetes.namespace_per_user {
        return None;
    }
    let namespace = &config.kubernetes.namespace;
    let pod = |node: &str| Some(build(&request(config, node)?));
    if let Err(error) = cluster.create(Some(namespace), &pod(node)?, true).await {
        return Some(Finding::new(diagnosis::REFUSED, chain(&error)));
    }
    let taken = cluster.create(Some(namespace), &pod(ELSEWHERE)?, true).await.is_ok();
    taken.then(|| Finding::new(diagnosis::POLICY, format!("a Pod of {namespace} for another node was not refused")))
}

fn request(config: &Config, node: &str) -> Option<PodRequest> {
    const NOBODY: u32 = 65534;
    let kubernetes = &config.kubernetes;
    Some(PodRequest {
        namespace: kubernetes.namespace.clone(),
        name: "slurm-k8s-doctor".into(),
        nonce: "none".into(),
        node: node.to_owned(),
        image: IMAGE.parse().ok()?,
        pull: Pull::Missing,
        job_id: 0,
        step_id: 0,
        node_index: 0,
        launch: None,
        array: None,
        user: "nobody".into(),
        uid: NOBODY,
        gid: NOBODY,
        groups: Vec::new(),
        memory_bytes: None,
        extended: Vec::new(),
        cluster: config.cluster.clone(),
        way: WayIn::Runtime { class: kubernetes.runtime_class.clone() },
        network: Network::Pod,
        priority_class: None,
        readonly: false,
        entrypoint: false,
        keep: false,
        grace: Duration::from_secs(30),
        cpu_request: kubernetes.cpu_request.clone(),
        memory_request: kubernetes.memory_request.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_by_more_than_a_request_takes() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let told = |theirs| skew(at(theirs), at(1000), at(1004)).map(|finding| finding.cause);
        assert_eq!(told(995), None);
        assert_eq!(told(1009), None);
        assert_eq!(told(994).unwrap(), "this clock is 6 s ahead of the API server's");
        assert_eq!(told(1010).unwrap(), "this clock is 6 s behind the API server's");
    }

    #[test]
    fn the_probe_is_a_pod() {
        assert!(request(&Config::default(), "node1").is_some());
    }
}
