//! What is in a user's namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{name, quota_entry};
use crate::config::Config;
use crate::label;

/// The name of every object in such a namespace.
pub const OBJECT: &str = "slurm-k8s";
/// The label by which the cluster's policy knows what is ours.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "spank-k8s");
/// Who may do what there: the cluster role (`deploy/per-user`), and whom it is for.
const ROLES: [(&str, &str, &str); 2] =
    [("slurm-k8s-node", "Group", "slurm-k8s:nodes"), ("slurm-k8s-gc", "User", "slurm-k8s:gc")];

/// All objects of one user.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The namespace.
    pub namespace: Namespace,
    /// What the nodes and `slurm-k8s gc` may do in it.
    pub bindings: Vec<RoleBinding>,
    /// `kubernetes.user_quota`, unless it is empty.
    pub quota: Option<ResourceQuota>,
    /// With `kubernetes.user_network_policy`: only the user's own Pods reach each other.
    pub network: Option<NetworkPolicy>,
}

/// What a user's namespace has.
#[must_use]
pub fn objects(config: &Config, uid: u32, user: &str) -> Objects {
    let settings = &config.kubernetes;
    let metadata = || ObjectMeta {
        name: Some(OBJECT.into()),
        namespace: Some(name(uid)),
        labels: Some(map([PART_OF])),
        ..ObjectMeta::default()
    };
    let user = label::value(user);
    let labels = [PART_OF, ("pod-security.kubernetes.io/enforce", "restricted"), (label::USER, user.as_str())];
    let binding = |(role, kind, who): (&str, &str, &str)| RoleBinding {
        metadata: ObjectMeta { name: Some(role.into()), ..metadata() },
        role_ref: RoleRef { api_group: GROUP.into(), kind: "ClusterRole".into(), name: role.into() },
        subjects: Some(vec![Subject {
            api_group: Some(GROUP.into()),
            kind: kind.into(),
            name: who.into(),
            namespace: None,
        }]),
    };
    let hard: BTreeMap<_, _> = quota(settings.user_quota.as_slice()).collect();
    let quota = ResourceQuotaSpec { hard: Some(hard.clone()), ..ResourceQuotaSpec::default() };
    let own = NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let network = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".into()]),
        ingress: Some(vec![NetworkPolicyIngressRule { from: Some(vec![own]), ports: None }]),
        ..NetworkPolicySpec::default()
    };
    Objects {
        namespace: Namespace {
            metadata: ObjectMeta { name: Some(name(uid)), namespace: None, labels: Some(map(labels)), ..metadata() },
            ..Namespace::default()
        },
        bindings: ROLES.into_iter().map(binding).collect(),
        quota: (!hard.is_empty()).then(|| ResourceQuota {
            metadata: metadata(),
            spec: Some(quota),
            ..ResourceQuota::default()
        }),
        network: settings.user_network_policy.then(|| NetworkPolicy { metadata: metadata(), spec: Some(network) }),
    }
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn map<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn quota(list: &[String]) -> impl Iterator<Item = (String, Quantity)> {
    list.iter()
        .filter_map(|text| quota_entry(text))
        .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_namespace_has_what_the_config_says() {
        let plain = objects(&Config::default(), 1000, "alice@ad.example");
        assert_eq!(plain.namespace.metadata.name.as_deref(), Some("user-1000"));
        let labels = plain.namespace.metadata.labels.unwrap();
        assert_eq!(labels.get("user").map(String::as_str), Some("alice_ad.example"));
        assert_eq!(labels.get("pod-security.kubernetes.io/enforce").map(String::as_str), Some("restricted"));
        assert!(plain.quota.is_none() && plain.network.is_none());
        let text =
            "[kubernetes]\nuser_quota = ['requests.cpu=32', 'requests.nvidia.com/gpu=4']\nuser_network_policy = true";
        let all = objects(&Config::parse(text).unwrap(), 7, "bob");
        let hard = all.quota.unwrap().spec.unwrap().hard.unwrap();
        assert_eq!(hard.get("requests.nvidia.com/gpu"), Some(&Quantity("4".into())));
        assert_eq!(all.network.unwrap().metadata.namespace.as_deref(), Some("user-7"));
    }
}
