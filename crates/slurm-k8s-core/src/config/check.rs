//! Values that have the right type but cannot work.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};
use std::time::Duration;

use super::{Config, Watch};
use crate::grant::CONTAINER_RUN_DIR;
use crate::option::variable;
use crate::shown::quoted;
use crate::{duration, image, label, quantity, user_namespace};

/// A value that cannot work.
pub(super) struct Fault {
    /// The key with its section.
    pub(super) key: &'static str,
    /// The value, quoted.
    pub(super) shown: String,
    /// What is wrong with it.
    pub(super) reason: &'static str,
}

fn fault(key: &'static str, value: &str, reason: &'static str) -> Fault {
    Fault { key, shown: quoted(value.as_bytes()), reason }
}

/// Checks every value.
pub(super) fn check(config: &Config) -> Result<(), Fault> {
    let kubernetes = &config.kubernetes;
    if config.cluster.is_empty() || label::value(&config.cluster) != config.cluster {
        let reason = "is not a label's value: at most 63 letters, digits, '-', '_' and '.'";
        return Err(fault("cluster", &config.cluster, reason));
    }
    if !is_dns_label(&kubernetes.namespace) {
        let reason = "is not a namespace's name: at most 63 of a-z, 0-9 and '-'";
        return Err(fault("kubernetes.namespace", &kubernetes.namespace, reason));
    }
    if let Some(wrong) = kubernetes.user_quota.iter().find(|text| user_namespace::quota_entry(text).is_none()) {
        return Err(fault("kubernetes.user_quota", wrong, "is not NAME=QUANTITY such as requests.cpu=32"));
    }
    name("kubernetes.runtime_class", &kubernetes.runtime_class)?;
    if let Some(node) = &kubernetes.node_name {
        name("kubernetes.node_name", node)?;
    }
    for (key, text) in
        [("kubernetes.cpu_request", &kubernetes.cpu_request), ("kubernetes.memory_request", &kubernetes.memory_request)]
    {
        if quantity::value(text).is_none() {
            return Err(fault(key, text, "is not a quantity such as 10m or 16Mi"));
        }
    }
    durations(config)?;
    paths(config)?;
    watch(&config.watch)?;
    results(config)?;
    gres(config)?;
    if let Some(host) = config.registry.plain_http.iter().find(|host| !image::is_host(host)) {
        return Err(fault("registry.plain_http", host, "is not HOST or HOST:PORT, such as nas-hub.local:5407"));
    }
    if config.log.max_bytes < 4096 {
        return Err(fault("log.max_bytes", &config.log.max_bytes.to_string(), "is less than 4096"));
    }
    Ok(())
}

fn durations(config: &Config) -> Result<(), Fault> {
    let kubernetes = &config.kubernetes;
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(10));
    if !(least..=most).contains(&kubernetes.request_timeout) {
        let shown = duration::format(kubernetes.request_timeout);
        return Err(fault("kubernetes.request_timeout", &shown, "is not between 100ms and 10s"));
    }
    if kubernetes.start_timeout < Duration::from_secs(1) {
        let shown = duration::format(kubernetes.start_timeout);
        return Err(fault("kubernetes.start_timeout", &shown, "is less than 1s"));
    }
    Ok(())
}

fn results(config: &Config) -> Result<(), Fault> {
    let (results, after_job) = (&config.results, &config.after_job);
    if !(Duration::from_millis(100)..=Duration::from_mins(10)).contains(&results.poll) {
        return Err(fault("results.poll", &duration::format(results.poll), "is not between 100ms and 10m"));
    }
    if !(1..=64).contains(&results.parallel) {
        return Err(fault("results.parallel", &results.parallel.to_string(), "is not between 1 and 64"));
    }
    if quantity::value(&results.copy).is_none() {
        return Err(fault("results.copy", &results.copy, "is not a quantity such as 1Gi"));
    }
    if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&after_job.timeout) {
        return Err(fault("after_job.timeout", &duration::format(after_job.timeout), "is not between 1s and 24h"));
    }
    after_job.run.iter().try_for_each(|path| plain("after_job.run", path))?;
    results.metrics.iter().try_for_each(|path| plain("results.metrics", path))
}

fn watch(watch: &Watch) -> Result<(), Fault> {
    let within = |key, value: Duration, least: Duration, most: Duration, reason| {
        if (least..=most).contains(&value) { Ok(()) } else { Err(fault(key, &duration::format(value), reason)) }
    };
    let (tenth, ten) = (Duration::from_millis(100), Duration::from_mins(10));
    within("watch.poll", watch.poll, tenth, Duration::from_mins(5), "is not between 100ms and 5m")?;
    within("watch.settle", watch.settle, tenth, ten, "is not between 100ms and 10m")?;
    within("watch.submit_timeout", watch.submit_timeout, Duration::from_secs(1), ten, "is not between 1s and 10m")?;
    let reason = "is less than twice watch.submit_timeout";
    within("watch.lease", watch.lease, 2 * watch.submit_timeout, Duration::MAX, reason)?;
    if watch.min_uid == 0 {
        return Err(fault("watch.min_uid", "0", "would let root's files be submitted"));
    }
    plain("watch.folder", &watch.folder)?;
    watch.start_in.iter().try_for_each(|path| plain("watch.start_in", path))?;
    watch.metrics.iter().try_for_each(|path| plain("watch.metrics", path))
}

fn paths(config: &Config) -> Result<(), Fault> {
    for (key, path) in [
        ("kubernetes.kubeconfig", &config.kubernetes.kubeconfig),
        ("paths.libexec", &config.paths.libexec),
        ("paths.run", &config.paths.run),
        ("paths.log", &config.paths.log),
    ] {
        plain(key, path)?;
    }
    let templates = config.profiles.values().filter_map(|profile| profile.template.as_ref());
    for path in config.pod.template.iter().chain(templates) {
        plain("pod.template", path)?;
    }
    for path in &config.pod.mounts {
        plain("pod.mounts", path)?;
        let taken = [CONTAINER_RUN_DIR, "/proc", "/sys", "/dev"];
        if path == Path::new("/") || taken.iter().any(|taken| path.starts_with(taken)) {
            let reason = "is the container's own: not /, nor in /proc, /sys, /dev or /.slurm-k8s";
            return Err(fault("pod.mounts", &path.to_string_lossy(), reason));
        }
    }
    if let Some(folder) = &config.results.folder {
        plain("results.folder", folder)?;
        if folder.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b'%' | b'\\')) {
            let reason = "has a '%' or a backslash, which mean something in Slurm's names of output files";
            return Err(fault("results.folder", &folder.to_string_lossy(), reason));
        }
        if !config.pod.mounts.iter().any(|mount| folder.starts_with(mount)) {
            let reason = "is in none of pod.mounts: jobs could not write there";
            return Err(fault("results.folder", &folder.to_string_lossy(), reason));
        }
    }
    Ok(())
}

fn gres(config: &Config) -> Result<(), Fault> {
    let resources = [("gres.gpu", &config.gres.gpu), ("gres.nic", &config.gres.nic)];
    for (key, resource) in resources.into_iter().filter_map(|(key, resource)| Some((key, resource.as_ref()?))) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let parts = resource.split_once('/');
        let valid = parts.is_some_and(|(domain, kind)| {
            domain.split('.').all(is_dns_label) && (1..=63).contains(&kind.len()) && kind.chars().all(plain)
        });
        if !valid || resource.starts_with("kubernetes.io/") {
            return Err(fault(key, resource, "is not an extended resource such as nvidia.com/gpu"));
        }
    }
    if config.gres.nic.is_some() && config.gres.nic == config.gres.gpu {
        return Err(fault("gres.nic", config.gres.nic.as_deref().unwrap_or_default(), "is gres.gpu's, too"));
    }
    match config.gres.variables.iter().find(|name| !variable::is_name(name)) {
        Some(name) => Err(fault("gres.variables", name, "is not a variable's name")),
        None => Ok(()),
    }
}

/// An absolute path without `.`, `..`, doubled or final slashes.
fn plain(key: &'static str, path: &Path) -> Result<(), Fault> {
    let text = path.to_string_lossy();
    let normal = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    // components() passes over `//`, `/./` and a final slash: what it gives back must be the same text.
    let same = path.components().as_path().as_os_str().len() == text.len() && !text.contains("//");
    if path.is_absolute() && normal && same && !text.contains("/./") {
        return Ok(());
    }
    Err(fault(key, &text, "is not an absolute path without '.', '..' and needless slashes"))
}

fn name(key: &'static str, text: &str) -> Result<(), Fault> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        return Ok(());
    }
    Err(fault(key, text, "is not a name in Kubernetes: a-z, 0-9, '-' and '.'"))
}

fn is_dns_label(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || c == '-')
}
