//! `spank-k8s(7)`: what a user has to know beside `sbatch(1)`.

use clap_mangen::roff::Roff;
use slurm_k8s_core::exit_code::EXIT_CODES;
use slurm_k8s_core::option::OPTIONS;
use slurm_k8s_core::rendezvous::VARIABLES;

use super::text::{entry, more, paragraph};
use super::{head, see_also};

/// The page.
pub fn page() -> Roff {
    let mut page = head("spank-k8s", "7", "Slurm jobs in Kubernetes Pods");
    page.control("SH", ["SYNOPSIS"]);
    for command in ["sbatch", "srun", "salloc"] {
        paragraph(&mut page, &format!("`{command} --k8s-image=IMAGE` [`--k8s-…`] …"));
    }
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut page,
        "With `--k8s-image` the processes of a job run in a Kubernetes Pod on the node that Slurm chose. All else is as without it: standard streams, signals, exit codes, job states, limits and environment.",
    );
    paragraph(
        &mut page,
        "Each option is also a variable of the environment and a line in the head of a batch script, `#K8S_…=…`, which stands before the first command as `#SBATCH` lines do. The command line and `#SBATCH` lines beat the environment, which beats `#K8S_` lines, which beat the profile, which beats the site's config. `srun` in a job has the options of the job; a job that is submitted in a job has its own.",
    );
    page.control("SH", ["OPTIONS"]);
    for spec in OPTIONS {
        let name = spec.name;
        let title = spec.value.map_or_else(|| format!("--{name}, --no-{name}"), |value| format!("--{name}={value}"));
        entry(&mut page, &title, spec.doc);
        let value = spec.value.unwrap_or("yes|no");
        let ways = format!(
            "Without it: {}. Environment: `{}={value}`. In a script: `#{}={value}`.",
            spec.default,
            spec.env,
            spec.directive()
        );
        more(&mut page, &ways);
    }
    page.control("SH", ["ENVIRONMENT OF A TASK"]);
    paragraph(&mut page, "Besides Slurm's own, where the user has not set them, the tasks of an `srun` have:");
    for variable in VARIABLES {
        entry(&mut page, variable.name, variable.doc);
    }
    page.control("SH", ["EXIT STATUS"]);
    paragraph(
        &mut page,
        "That of the command. These are the codes when it could not run, or when nobody knows how it ended; a line `spank-k8s: …` on the task's stderr says why:",
    );
    for code in EXIT_CODES {
        entry(&mut page, &format!("{} ({})", code.code, code.title), code.meaning);
    }
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    for line in [
        "#!/bin/bash",
        "#SBATCH --job-name=train --cpus-per-task=4 --mem=16G --time=02:00:00",
        "#K8S_IMAGE=registry.example.org/team/train:1.4",
        "#K8S_WORKDIR=/workspace",
        "python3 train.py",
    ] {
        page.text([super::text::roman(line)]);
    }
    page.control("fi", []);
    page.extend([see_also(&["sbatch(1)", "srun(1)", "salloc(1)", "slurm-k8s-validate(1)", "k8s.toml(5)", "spank(8)"])]);
    page
}
