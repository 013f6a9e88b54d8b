//! The Pods as the watches tell them.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Pod as KubernetesPod;
use kube::runtime::watcher::Event;

use super::pod::Pod;
use crate::site::EVERYWHERE;

/// The Pods of all namespaces by uid.
#[derive(Debug, Default)]
pub struct Store {
    present: HashMap<String, Pod>,
    /// The uids of a list that is not complete yet, by namespace.
    listed: HashMap<String, Vec<String>>,
}

impl Store {
    /// Takes what a namespace's watch says.
    pub fn apply(&mut self, namespace: &str, event: Event<KubernetesPod>) {
        match event {
            Event::Apply(pod) => self.insert(pod),
            Event::Delete(pod) => {
                self.present.remove(&pod.metadata.uid.unwrap_or_default());
            }
            Event::Init => {
                self.listed.insert(namespace.to_owned(), Vec::new());
            }
            Event::InitApply(pod) => {
                if let (Some(listed), Some(uid)) = (self.listed.get_mut(namespace), &pod.metadata.uid) {
                    listed.push(uid.clone());
                }
                self.insert(pod);
            }
            Event::InitDone => {
                let Some(mut listed) = self.listed.remove(namespace) else { return };
                listed.sort_unstable();
                // What the list does not have went away while nobody watched.
                self.present.retain(|uid, pod| {
                    !(namespace == EVERYWHERE || pod.namespace == namespace) || listed.binary_search(uid).is_ok()
                });
            }
        }
    }

    fn insert(&mut self, pod: KubernetesPod) {
        if let Some(pod) = Pod::of(pod) {
            self.present.insert(pod.uid.clone(), pod);
        }
    }

    /// All of them.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.present.values()
    }

    /// A DELETE for it has succeeded; the watch will tell the same.
    pub fn deleted(&mut self, uid: &str) {
        if let Some(pod) = self.present.get_mut(uid) {
            pod.leaving = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, uid: &str) -> KubernetesPod {
        let metadata = serde_json::json!({ "metadata": { "namespace": namespace, "name": "p", "uid": uid,
            "creationTimestamp": "1970-01-01T00:01:40Z" } });
        serde_json::from_value(metadata).unwrap()
    }

    fn uids(store: &Store) -> String {
        let mut uids: Vec<_> = store.pods().map(|pod| pod.uid.as_str()).collect();
        uids.sort_unstable();
        uids.concat()
    }

    #[test]
    fn a_new_list_drops_what_it_does_not_have() {
        let mut store = Store::default();
        for (namespace, uid) in [("one", "a"), ("one", "b"), ("two", "c")] {
            store.apply(namespace, Event::Apply(pod(namespace, uid)));
        }
        store.apply("one", Event::Init);
        store.apply("one", Event::InitApply(pod("one", "b")));
        store.apply("one", Event::InitApply(pod("one", "d")));
        assert_eq!(uids(&store), "abcd");
        store.apply("one", Event::InitDone);
        assert_eq!(uids(&store), "bcd");
        store.apply("one", Event::Delete(pod("one", "d")));
        assert_eq!(uids(&store), "bc");
        store.deleted("c");
        assert!(store.pods().any(|pod| pod.leaving));
    }
}
