//! What the site allows: the same check in the submitting command, in slurmctld and on the node.

use std::path::{Path, PathBuf};

use crate::choice::{Network, Way};
use crate::config::{Config, Policy};
use crate::image::ImageRef;
use crate::option::{ENTRYPOINT, Given, IMAGE, JobOptions, MOUNTS, NAMESPACE, NETWORK, PRIORITY_CLASS};

/// An option that the site does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// An image that no pattern fits.
    #[error("{given}: {image} is not among the images that this site allows")]
    Image {
        /// The option.
        given: Given,
        /// The image.
        image: String,
        /// The patterns.
        allowed: Vec<String>,
    },
    /// A tag where a digest is needed.
    #[error("{given}: {image} has no digest, and this site allows only images that have one")]
    Digest {
        /// The option.
        given: Given,
        /// The image.
        image: String,
    },
    /// A source that is in no allowed folder.
    #[error("{given}: {} is not in a folder that this site lets users mount", source_path.display())]
    Mount {
        /// The option.
        given: Given,
        /// The source.
        source_path: PathBuf,
        /// The folders.
        allowed: Vec<PathBuf>,
    },
    /// A namespace.
    #[error("{given}: {namespace} is not among the namespaces that this site allows")]
    Namespace {
        /// The option.
        given: Given,
        /// The namespace.
        namespace: String,
        /// The allowed ones.
        allowed: Vec<String>,
    },
    /// A priority class.
    #[error("{given}: {class} is not among the classes that this site allows")]
    PriorityClass {
        /// The option.
        given: Given,
        /// The class.
        class: String,
        /// The allowed ones.
        allowed: Vec<String>,
    },
    /// The node's network.
    #[error("{given}: this site does not allow the node's network")]
    HostNetwork {
        /// The option.
        given: Given,
    },
    /// The image's entrypoint, without the runtime that finds it.
    #[error("{given}: this site's Pods cannot start by the image's entrypoint")]
    Entrypoint {
        /// The option.
        given: Given,
    },
    /// root.
    #[error("root's jobs may not run in Pods here")]
    Root,
}

impl PolicyError {
    /// The option where it was given; none if the job itself is not allowed.
    #[must_use]
    pub fn given(&self) -> Option<Given> {
        match self {
            Self::Image { given, .. }
            | Self::Digest { given, .. }
            | Self::Mount { given, .. }
            | Self::Namespace { given, .. }
            | Self::PriorityClass { given, .. }
            | Self::HostNetwork { given }
            | Self::Entrypoint { given } => Some(*given),
            Self::Root => None,
        }
    }

    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> String {
        let those = |what: &str, names: String| {
            if names.is_empty() { format!("leave it out: no {what} is allowed") } else { format!("allowed: {names}") }
        };
        match self {
            Self::Image { allowed, .. } => those("image", allowed.join(", ")),
            Self::Digest { image, .. } => format!("write {image}@sha256:…; `skopeo inspect` and the registry show it"),
            Self::Mount { allowed, .. } => {
                let names: Vec<_> = allowed.iter().map(|path| path.display().to_string()).collect();
                those("folder of the node", names.join(", "))
            }
            Self::Namespace { allowed, .. } => those("other namespace", allowed.join(", ")),
            Self::PriorityClass { allowed, .. } => those("class", allowed.join(", ")),
            Self::HostNetwork { given } => {
                format!("leave {given}=host out, or ask the site's admin for policy.host_network")
            }
            Self::Entrypoint { .. } => {
                "write the entrypoint's words before the command; it needs kubernetes.way = \"runtime\"".into()
            }
            Self::Root => "submit as an ordinary user, or have the admin set policy.root".into(),
        }
    }
}

/// Checks the options that a user has given against the site's policy. What the admin has configured as default, or in a
/// profile, needs no permission.
pub fn check(config: &Config, options: &JobOptions, uid: u32) -> Result<(), PolicyError> {
    violations(config, options, uid).into_iter().next().map_or(Ok(()), Err)
}

/// All that [`check`] could name, in its order.
#[must_use]
pub fn violations(config: &Config, options: &JobOptions, uid: u32) -> Vec<PolicyError> {
    let policy = &config.policy;
    let mut found = Vec::new();
    if uid == 0 && !policy.root {
        found.push(PolicyError::Root);
    }
    if let (Some(image), Some(given)) = (options.image(), options.given(IMAGE)) {
        found.extend(check_image(policy, given, image));
    }
    if let Some(given) = options.given(MOUNTS) {
        let folders: Vec<_> = config.pod.mounts.iter().chain(&policy.mounts).cloned().collect();
        let inside = |source: &Path| folders.iter().any(|folder| source.starts_with(folder));
        let outside = options.mounts().iter().filter(|mount| !inside(&mount.source));
        found.extend(outside.map(|mount| PolicyError::Mount {
            given,
            source_path: mount.source.clone(),
            allowed: folders.clone(),
        }));
    }
    if let (Some(name), Some(given)) = (options.namespace(), options.given(NAMESPACE))
        && name != config.namespace_of(uid)
        && !policy.namespaces.iter().any(|allowed| allowed == name)
    {
        found.push(PolicyError::Namespace { given, namespace: name.into(), allowed: policy.namespaces.clone() });
    }
    if let (Some(class), Some(given)) = (options.priority_class(), options.given(PRIORITY_CLASS))
        && !policy.priority_classes.iter().any(|allowed| allowed == class)
    {
        found.push(PolicyError::PriorityClass { given, class: class.into(), allowed: policy.priority_classes.clone() });
    }
    if let (Some(true), Some(given)) = (options.entrypoint(), options.given(ENTRYPOINT))
        && config.kubernetes.way == Way::HostPath
    {
        found.push(PolicyError::Entrypoint { given });
    }
    if let (Some(Network::Host), Some(given)) = (options.network(), options.given(NETWORK))
        && config.pod.network != Network::Host
        && !policy.host_network
    {
        found.push(PolicyError::HostNetwork { given });
    }
    found
}

fn check_image(policy: &Policy, given: Given, image: &ImageRef) -> Option<PolicyError> {
    if policy.digest_only && image.digest().is_none() {
        return Some(PolicyError::Digest { given, image: image.to_string() });
    }
    let fits = |pattern: &String| fits(pattern.as_bytes(), image.repository().as_bytes());
    let allowed = policy.images.is_empty() || policy.images.iter().any(fits);
    (!allowed).then(|| PolicyError::Image { given, image: image.to_string(), allowed: policy.images.clone() })
}

/// Whether a pattern fits all of a text; `*` is any bytes, also none and slashes.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.windows(part.len().max(1)).position(|window| window.starts_with(part)) else {
            return part.is_empty();
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::Origin;

    fn checked(config: &str, given: &[(&str, &str)], uid: u32) -> Result<(), PolicyError> {
        let mut options = JobOptions::default();
        for (name, value) in [("k8s-image", "nas-hub.local:5407/team/tool:1")].iter().chain(given) {
            options.set(Origin::Environment, name, Some(value.as_bytes())).unwrap();
        }
        check(&Config::parse(config).unwrap(), &options, uid)
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "anything/at/all", true),
            ("a/*", "a/b/c", true),
            ("a/*", "b/a/c", false),
            ("*/tool", "x/y/tool", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a**c", "ac", true),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn images_are_held_to_the_patterns() {
        assert_eq!(checked("", &[], 1000), Ok(()));
        assert_eq!(checked("policy.images = ['nas-hub.local:5407/*']", &[], 1000), Ok(()));
        let error = checked("policy.images = ['docker.io/library/*']", &[], 1000).unwrap_err();
        assert_eq!(error.hint(), "allowed: docker.io/library/*");
        let bare = [("k8s-image", "nas-hub.local:5407/team/tool:1")];
        assert!(matches!(checked("policy.digest_only = true", &bare, 1), Err(PolicyError::Digest { .. })));
    }

    #[test]
    fn a_bare_name_is_docker_hubs() {
        let config = Config::parse("policy.images = ['docker.io/library/*']").unwrap();
        let mut options = JobOptions::default();
        options.set(Origin::CommandLine, IMAGE, Some(b"busybox")).unwrap();
        assert_eq!(check(&config, &options, 1000), Ok(()));
    }

    #[test]
    fn mounts_are_held_to_the_folders() {
        let config = "pod.mounts = ['/home']\npolicy.mounts = ['/scratch']";
        assert_eq!(checked(config, &[("k8s-mounts", "/home/a:/x,/scratch:/y")], 1000), Ok(()));
        let error = checked(config, &[("k8s-mounts", "/scratchy:/x")], 1000).unwrap_err();
        assert_eq!(error.to_string(), "SLURM_K8S_MOUNTS: /scratchy is not in a folder that this site lets users mount");
        assert_eq!(error.hint(), "allowed: /home, /scratch");
        assert_eq!(
            checked("", &[("k8s-mounts", "/etc:/x")], 1).unwrap_err().hint(),
            "leave it out: no folder of the node is allowed"
        );
    }

    #[test]
    fn all_that_is_not_allowed_is_told_at_once() {
        let mut options = JobOptions::default();
        for (name, value) in [
            ("k8s-image", "a/b"),
            ("k8s-mounts", "/etc:/x,/opt:/y"),
            ("k8s-namespace", "team"),
            ("k8s-priority-class", "high"),
            ("k8s-network", "host"),
        ] {
            options.set(Origin::CommandLine, name, Some(value.as_bytes())).unwrap();
        }
        let config = Config::parse("policy.images = ['c']").unwrap();
        let found = violations(&config, &options, 0);
        let named: Vec<_> = found.iter().map(|error| error.given().map(|given| given.option.name)).collect();
        let expected =
            [None, Some(IMAGE), Some(MOUNTS), Some(MOUNTS), Some(NAMESPACE), Some(PRIORITY_CLASS), Some(NETWORK)];
        assert_eq!(named, expected);
    }

    #[test]
    fn what_widens_rights_needs_permission() {
        for (given, permission) in [
            (("k8s-namespace", "team"), "policy.namespaces = ['team']"),
            (("k8s-priority-class", "high"), "policy.priority_classes = ['high']"),
            (("k8s-network", "host"), "policy.host_network = true"),
            (("k8s-network", "host"), "pod.network = 'host'"),
        ] {
            assert!(checked("", &[given], 1000).is_err(), "{given:?}");
            assert_eq!(checked(permission, &[given], 1000), Ok(()), "{given:?}");
        }
        assert_eq!(checked("", &[("k8s-namespace", "slurm-jobs")], 1000), Ok(()));
        let entrypoint = ("k8s-entrypoint", "yes");
        assert_eq!(checked("", &[entrypoint], 1000), Ok(()));
        let refused = checked("kubernetes.way = 'host-path'", &[entrypoint], 1000).unwrap_err();
        assert!(matches!(refused, PolicyError::Entrypoint { .. }), "{refused}");
        let own = "kubernetes.namespace_per_user = true";
        assert_eq!(checked(own, &[("k8s-namespace", "user-1000")], 1000), Ok(()));
        assert!(checked(own, &[("k8s-namespace", "user-1001")], 1000).is_err());
        assert!(checked(own, &[("k8s-namespace", "slurm-jobs")], 1000).is_err());
        assert_eq!(checked("", &[], 0), Err(PolicyError::Root));
        assert_eq!(checked("policy.root = true", &[], 0), Ok(()));
    }
}
