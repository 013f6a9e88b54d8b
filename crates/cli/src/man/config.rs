//! `k8s.toml(5)`: what the admin decides.

use clap_mangen::roff::Roff;
use slurm_k8s_core::config::{self, KEYS};
use slurm_k8s_core::{limit, profile};

use super::text::{entry, paragraph};
use super::{head, see_also};

/// The page.
pub fn page() -> Roff {
    let mut page = head("k8s.toml", "5", "the site's configuration of spank-k8s");
    page.control("SH", ["SYNOPSIS"]);
    paragraph(&mut page, &format!("`{}`", config::PATH));
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut page,
        "TOML; one file for every host, mode 0644. A compute node without it refuses jobs that have an image. An unknown key is an error.",
    );
    let mut section = None;
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != Some(of) {
            section = Some(of);
            let title = if of.is_empty() { "AT THE TOP".to_owned() } else { format!("[{of}]") };
            page.control("SH", [title.as_str()]);
        }
        entry(
            &mut page,
            &format!("{name} = {}", key.default.unwrap_or("…")),
            &format!("{} Takes: {}.", key.doc, key.kind),
        );
    }
    page.control("SH", ["[profiles.NAME]"]);
    paragraph(
        &mut page,
        "Options under a name, for `--k8s-profile=NAME`. They hold where the user gives nothing else, and need no permission in `[policy]`. `template` is a file in place of `pod.template`. The others are options of `spank-k8s(7)`, and limits of what a job has that names the profile.",
    );
    for (name, spec) in profile::keys() {
        entry(&mut page, &name, &format!("`--{}`", spec.name));
    }
    for (name, kind, doc) in limit::KEYS {
        entry(&mut page, name, &format!("{doc} Takes: {kind}."));
    }
    page.extend([see_also(&["spank-k8s(7)", "slurm-k8s(1)", "slurm.conf(5)", "plugstack.conf: spank(8)"])]);
    page
}
