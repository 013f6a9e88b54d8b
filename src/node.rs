//! In slurmd: look once whether this node can run Pods, and log what is wrong. Never an error: a failing `required`
//! plugin would stop slurmd on every node.

use std::path::Path;

use slurm_k8s_core::config::Config;

/// Where the site's config is.
pub const CONFIG: &str = "/etc/slurm/k8s.toml";

/// Reads the config.
pub fn config() -> Result<Config, String> {
    let path = Path::new(CONFIG);
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Config::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Logs what keeps this node from running Pods.
pub fn check() {
    match config() {
        Ok(config) => {
            let kubeconfig = &config.kubernetes.kubeconfig;
            if let Err(error) = std::fs::File::open(kubeconfig) {
                log::error!("cannot read the kubeconfig {}: {error}", kubeconfig.display());
            }
        }
        Err(error) => log::error!("{error}; jobs with --k8s-image will fail on this node"),
    }
}
