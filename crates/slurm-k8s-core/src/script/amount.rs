//! What the `#SBATCH` lines ask for, as slurmctld will see it in the job: for a profile's limits, and for
//! `submit.require`.

use std::ffi::OsString;

use super::request::{last, least, mebibytes};
use super::sbatch::Argument;
use crate::config::Requirement;
use crate::gres;
use crate::limit::Amount;

/// Options with their letters and their variables; any of them will do.
type Ways = &'static [(&'static str, &'static str, &'static str)];

/// What the job has on each of its nodes, as far as the lines say. What sbatch has in its environment beats them, and
/// is not looked at.
#[must_use]
pub fn of(arguments: &[Argument]) -> Amount {
    let text = |option, short| last(arguments, option, short).map(|asked| asked.written);
    let number = |option, short| text(option, short).and_then(|text| least(&text));
    let nodes = number("--nodes", "-N").unwrap_or(1).max(1);
    let spread = number("--ntasks", "-n").unwrap_or(1).div_ceil(nodes);
    let tasks = number("--ntasks-per-node", "").unwrap_or(spread);
    let cpus = tasks.saturating_mul(number("--cpus-per-task", "-c").unwrap_or(1));
    let size = |option| text(option, "").and_then(|text| mebibytes(&text));
    // 0 is all that the node has.
    let memory = match (size("--mem").filter(|mib| *mib > 0), size("--mem-per-cpu")) {
        (Some(mib), _) => Some(mib),
        (None, each) => each.map(|mib| mib.saturating_mul(cpus)),
    };
    let counted = |option, short| text(option, short).map_or(0, |text| gres::asked(format!("gpu:{text}").as_bytes()));
    let gpus = text("--gres", "").map_or(0, |text| gres::asked(text.as_bytes()));
    let gpus = gpus.max(counted("--gpus-per-node", "")).max(counted("--gpus", "-G").div_ceil(nodes));
    let gpus = gpus.max(counted("--gpus-per-task", "").saturating_mul(tasks));
    Amount { cpus: Some(cpus), memory: memory.map(|mib| mib.saturating_mul(1 << 20)), gpus: Some(gpus) }
}

/// Whether the lines ask for it, or the environment does.
#[must_use]
pub fn has(arguments: &[Argument], variable: &dyn Fn(&str) -> Option<OsString>, what: Requirement) -> bool {
    let ways: Ways = match what {
        Requirement::Account => &[("--account", "-A", "SBATCH_ACCOUNT")],
        Requirement::CpusPerTask => {
            &[("--cpus-per-task", "-c", "SBATCH_CPUS_PER_TASK"), ("--cpus-per-gpu", "", "SBATCH_CPUS_PER_GPU")]
        }
        Requirement::Memory => &[
            ("--mem", "", "SBATCH_MEM_PER_NODE"),
            ("--mem-per-cpu", "", "SBATCH_MEM_PER_CPU"),
            ("--mem-per-gpu", "", "SBATCH_MEM_PER_GPU"),
        ],
        Requirement::Output => &[("--output", "-o", "SBATCH_OUTPUT")],
        Requirement::Partition => &[("--partition", "-p", "SBATCH_PARTITION")],
        Requirement::Time => &[("--time", "-t", "SBATCH_TIMELIMIT")],
    };
    ways.iter().any(|(option, short, name)| variable(name).is_some() || last(arguments, option, short).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::sbatch::arguments;
    use super::*;

    fn lines(options: &str) -> Vec<Argument> {
        arguments(format!("#!/bin/sh\n#SBATCH {options}\n").as_bytes(), 0).0
    }

    #[test]
    fn amounts_are_those_of_a_node() {
        for (options, cpus, memory, gpus) in [
            ("", 1, None, 0),
            ("-c4 --mem=2G", 4, Some(2048), 0),
            ("-N2 -n8 -c 2 --mem-per-cpu=100", 8, Some(800), 0),
            ("--ntasks-per-node=3 --nodes=2-4", 3, None, 0),
            ("--mem=0 --gres=gpu:a100:2,fpga:1", 1, None, 2),
            ("-N2 -G 4", 1, None, 2),
            ("-n2 --gpus-per-task=1", 2, None, 2),
            ("--gpus-per-node=h100:8", 1, None, 8),
        ] {
            let memory = memory.map(|mib: u64| mib << 20);
            assert_eq!(of(&lines(options)), Amount { cpus: Some(cpus), memory, gpus: Some(gpus) }, "{options}");
        }
    }

    #[test]
    fn what_is_required_comes_by_any_of_its_ways() {
        let has =
            |options: &str, what| has(&lines(options), &|name| (name == "SBATCH_ACCOUNT").then(|| "a".into()), what);
        assert!(has("", Requirement::Account) && !has("", Requirement::Time));
        assert!(has("--mem-per-cpu=1G", Requirement::Memory) && has("-t5", Requirement::Time));
        assert!(has("-o x", Requirement::Output) && !has("-n1", Requirement::CpusPerTask));
    }
}
