//! The pages in `docs/reference`, made from the tables.

use std::fmt::Write as _;

use crate::collect::metrics as collect;
use crate::config::KEYS;
use crate::diagnosis::DIAGNOSES;
use crate::exit_code::{Blame, EXIT_CODES};
use crate::finding::KINDS;
use crate::label::{Kind, LABELS};
use crate::message::MESSAGES;
use crate::metrics::{Metric, PREFIX, gc, histogram::BOUNDS};
use crate::option::OPTIONS;
use crate::rendezvous::VARIABLES;
use crate::watch::metrics as watch;

const MADE: &str = "<!-- Made from the tables in crates/slurm-k8s-core: UPDATE=1 cargo test -p slurm-k8s-core -->\n";

const JSON: &str = "\n## `--json`\n\nOne document. `line` and `column` count from 1, columns in bytes; both are `null` for what is about the job as a whole. Kinds and fields stay as they are while `version` is 1; more of both may come.\n\n```json\n{\n  \"version\": 1,\n  \"files\": [\n    {\n      \"file\": \"job.sh\",\n      \"images\": [\"nas-hub.local:5407/tool:1\"],\n      \"errors\": 1,\n      \"warnings\": 0,\n      \"findings\": [\n        {\n          \"kind\": \"line\",\n          \"severity\": \"error\",\n          \"line\": 4,\n          \"column\": 1,\n          \"cause\": \"there is no #K8S_WROKDIR\",\n          \"hint\": \"did you mean #K8S_WORKDIR?\"\n        }\n      ]\n    }\n  ]\n}\n```\n";

/// Every page: its file in `docs/reference` and its text.
#[must_use]
pub fn pages() -> [(&'static str, String); 10] {
    [
        ("options.md", options()),
        ("config.md", config()),
        ("k8s.toml", crate::config::sample()),
        ("exit-codes.md", exit_codes()),
        ("messages.md", messages()),
        ("labels.md", labels()),
        ("environment.md", environment()),
        ("findings.md", findings()),
        ("doctor.md", doctor()),
        ("metrics.md", metrics()),
    ]
}

fn options() -> String {
    let mut text = format!(
        "{MADE}# Options of sbatch, srun and salloc\n\nThe command line, with the `#SBATCH` lines, beats the environment, which beats the `#K8S_` lines of the script, which beat a profile (`--k8s-profile`), which beats the site's config. An option of `sbatch` or `salloc` also holds for each `srun` in the job, which finds it in its environment; jobs that the job submits have their own. `#SBATCH` lines may have them too. A wrong value is refused before the job is submitted.\n"
    );
    for spec in OPTIONS {
        let name = spec.name;
        let title =
            spec.value.map_or_else(|| format!("`--{name}`, `--no-{name}`"), |value| format!("`--{name}={value}`"));
        let value = spec.value.unwrap_or("yes|no");
        let _ = write!(
            text,
            "\n## {title}\n\n{}\n\nWithout it: {}. Environment: `{env}={value}`. In a script: `#{}={value}`.\n",
            spec.doc,
            spec.default,
            spec.directive(),
            env = spec.env
        );
    }
    text
}

fn config() -> String {
    let mut text = format!(
        "{MADE}# `/etc/slurm/k8s.toml`\n\nOne file for every host, mode 0644. A compute node without it refuses jobs that have an image. An unknown key is an error. [k8s.toml](k8s.toml) has every key with its default.\n"
    );
    let mut section = None;
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != Some(of) {
            section = Some(of);
            let title = if of.is_empty() { "At the top".to_owned() } else { format!("`[{of}]`") };
            let _ = write!(text, "\n## {title}\n\n| key | takes | default | what |\n|---|---|---|---|\n");
        }
        let default = key.default.map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(text, "| `{name}` | {} | {default} | {} |", key.kind, key.doc);
    }
    text.push_str("\n## `[profiles.NAME]`\n\nOptions under a name, for `--k8s-profile=NAME`. They hold where the user gives nothing else, and need no permission in `[policy]`: whoever may submit may use each of them, also with another image. `template` is a file in place of `pod.template`.\n\n| key | option |\n|---|---|\n| `template` | |\n");
    for (name, spec) in crate::profile::keys() {
        let _ = writeln!(text, "| `{name}` | `--{}` |", spec.name);
    }
    text.push_str("\nA profile may also say how much a job has that names it, in slurmctld as far as the job says it and on the node, where it is known:\n\n| key | takes | what |\n|---|---|---|\n");
    for (name, kind, doc) in crate::limit::KEYS {
        let _ = writeln!(text, "| `{name}` | {kind} | {doc} |");
    }
    text
}

fn exit_codes() -> String {
    let mut text = format!(
        "{MADE}# Exit codes of spank-k8s\n\nA task ends as the user's command ended. These are the codes when it could not run, or when nobody knows how it ended; a line `spank-k8s: …` on the task's stderr says why.\n\n| code | what | when | who can mend it |\n|---|---|---|---|\n"
    );
    for row in EXIT_CODES {
        let who: Vec<_> = row.blame.iter().copied().map(Blame::who).collect();
        let _ = writeln!(text, "| {} | {} | {} | {} |", row.code, row.title, row.meaning, who.join(", "));
    }
    text
}

fn messages() -> String {
    let mut text = format!(
        "{MADE}# Messages of a task\n\nWhat a task prints when it cannot run in its Pod, or when nobody knows how it ended: `spank-k8s: ` and the message, `spank-k8s: hint: ` and how to mend it. What stands in braces is filled in. [exit-codes.md](exit-codes.md) says who can mend what; [errors.md](errors.md) has what the check of options, config and template says.\n"
    );
    let mut code = None;
    for message in MESSAGES {
        if code != Some(message.code) {
            code = Some(message.code);
            let title = crate::exit_code::find(message.code).map_or("", |row| row.title);
            let _ = write!(text, "\n## {}: {title}\n\n| message | hint | when |\n|---|---|---|\n", message.code);
        }
        // The texts have backticks of their own.
        let code = |text: &str| format!("`` {text} ``");
        let hint = message.hint.map_or_else(|| "—".to_owned(), code);
        let _ = writeln!(text, "| {} | {hint} | {} |", code(message.text), message.when.trim());
    }
    text
}

fn labels() -> String {
    let mut text = format!("{MADE}# Labels and annotations of our Pods\n");
    for (kind, title) in [(Kind::Label, "Labels"), (Kind::Annotation, "Annotations")] {
        let _ = write!(text, "\n## {title}\n\n| key | example | what |\n|---|---|---|\n");
        for row in LABELS.iter().filter(|row| row.kind == kind) {
            let _ = writeln!(text, "| `{}` | `{}` | {} |", row.key, row.example, row.doc);
        }
    }
    text
}

fn environment() -> String {
    let mut text = format!(
        "{MADE}# Variables of a task in a Pod\n\nBesides Slurm's own, each task of an `srun` has these, if it has no value for them from the job's environment or `--k8s-env`. They are what PyTorch's `env://` reads. A batch script has none of them, and the tasks of a heterogeneous job or step neither. `pod.rendezvous` in the site's config switches them off.\n\n| name | what |\n|---|---|\n"
    );
    for variable in VARIABLES {
        let _ = writeln!(text, "| `{}` | {} |", variable.name, variable.doc);
    }
    text.push_str("\n# Variables of `after_job.run`\n\nThe site's own programs after a job have a login's variables of whom they run as, and these.\n\n| name | what |\n|---|---|\n");
    for variable in crate::collect::hook::VARIABLES {
        let _ = writeln!(text, "| `{}` | {} |", variable.name, variable.doc);
    }
    text
}

fn doctor() -> String {
    let mut text = format!(
        "{MADE}# What `slurm-k8s doctor` finds\n\nOn the host where root runs it; with `--cluster` and an admin's kubeconfig also of the nodes as Kubernetes has them. The exit code is 1 with an error, else 0. The third column is what jobs in Pods end with meanwhile ([exit-codes.md](exit-codes.md)).\n\n| kind | severity | jobs | what | mend |\n|---|---|---|---|---|\n"
    );
    for row in DIAGNOSES {
        let code = row.exit_code.map_or_else(String::new, |code| code.to_string());
        let _ = writeln!(text, "| `{}` | {} | {code} | {} | {} |", row.id, row.severity, row.meaning, row.mend);
    }
    text
}

fn findings() -> String {
    let mut text = format!(
        "{MADE}# What `slurm-k8s validate` finds\n\nWhat the script alone shows is checked again when it is submitted. An error refuses the job, a warning does not, and a note tells what could not be checked. The exit code is 0 without an error, 1 with one, and 2 if a file cannot be read.\n\n| kind | severity | what |\n|---|---|---|\n"
    );
    for kind in KINDS {
        let _ = writeln!(text, "| `{}` | {} | {} |", kind.id, kind.severity, kind.meaning);
    }
    text.push_str(JSON);
    text
}

fn metrics() -> String {
    let mut text = format!(
        "{MADE}# Metrics\n\nWhat the services on the controller write for Prometheus, in files for node_exporter's textfile collector. [operator.md](../operator.md#metrics) says how. Counters begin at 0 with their service. No value of a label comes from a user.\n"
    );
    text += &metrics_of("slurm-k8s collect", collect::METRICS);
    let bounds: Vec<_> = BOUNDS.iter().map(f64::to_string).collect();
    let _ = write!(text, "\nThe histogram's bounds in seconds: {}.\n", bounds.join(", "));
    text + &metrics_of("slurm-k8s watch", watch::METRICS) + &metrics_of("slurm-k8s gc --watch", gc::METRICS)
}

fn metrics_of<F>(service: &str, table: &[Metric<F>]) -> String {
    let mut text = format!("\n## `{service}`\n\n| metric | kind | labels | what |\n|---|---|---|---|\n");
    for metric in table {
        let values = |label: &crate::metrics::Label| label.all().collect::<Vec<_>>().join("`, `");
        let labels = metric.label.map_or_else(String::new, |label| format!("`{}`: `{}`", label.name, values(&label)));
        let _ = writeln!(text, "| `{PREFIX}{}` | {} | {labels} | {} |", metric.name, metric.kind.word(), metric.help);
    }
    text
}
