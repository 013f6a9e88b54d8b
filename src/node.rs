//! In slurmd: look once whether this node can run Pods, and log what is wrong. Never an error: a failing `required`
//! plugin would stop slurmd on every node.

use slurm_k8s_core::config::{Config, PATH};
use slurm_k8s_core::message::{Refusal, refuse};

/// Reads the config.
pub fn config() -> Result<Config, Refusal> {
    let unusable = |cause: String, hint: Option<String>| {
        let mend = hint.as_deref().unwrap_or("no job runs in a Pod with it");
        refuse::config(cause).hinted(Some(&format!("{mend}; ask the site's admin to mend it on this node")))
    };
    let text = std::fs::read_to_string(PATH)
        .map_err(|error| unusable(format!("cannot read {PATH}: {}", plain(&error)), None))?;
    Config::parse(&text).map_err(|error| unusable(format!("{PATH}: {error}"), error.hint()))
}

/// An error in the kernel's words, without Rust's number behind them.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
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
        Err(Refusal { message, .. }) => log::error!("{message}; jobs with --k8s-image will fail on this node"),
    }
}
