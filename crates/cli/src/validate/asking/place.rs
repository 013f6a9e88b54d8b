//! Where in a script stands what Slurm refuses: its commands tell no line.

use slurm_k8s_core::Place;
use slurm_k8s_core::script::sbatch::Argument;

/// What Slurm says, in part and in lower case, and the options that it may be about. The first row of which the script
/// has an option holds: what may be about anything comes last.
const WORDS: &[(&str, &[(&str, &str)])] = &[
    ("partition", &[("--partition", "-p"), ("--account", "-A")]),
    ("account", &[("--account", "-A")]),
    ("qos", &[("--qos", "-q")]),
    ("time limit", &[("--time", "-t"), ("--time-min", "")]),
    ("reservation", &[("--reservation", "")]),
    ("feature", &[("--constraint", "-C"), ("--prefer", ""), ("--cluster-constraint", "")]),
    ("license", &[("--licenses", "-L")]),
    ("dependency", &[("--dependency", "-d")]),
    ("array", &[("--array", "-a")]),
    ("node name", &[("--nodelist", "-w"), ("--exclude", "-x"), ("--nodefile", "-F")]),
    ("node count", &[("--nodes", "-N")]),
    ("gres", GPUS),
    ("tres", GPUS),
    ("memory", &[("--mem", ""), ("--mem-per-cpu", ""), ("--mem-per-gpu", "")]),
    ("processors", CORES),
    ("cpu count", CORES),
    ("configuration", GPUS),
    ("configuration", CORES),
    (
        "configuration",
        &[
            ("--mem", ""),
            ("--mem-per-cpu", ""),
            ("--nodes", "-N"),
            ("--constraint", "-C"),
            ("--nodelist", "-w"),
            ("--partition", "-p"),
        ],
    ),
];
const GPUS: &[(&str, &str)] =
    &[("--gres", ""), ("--gpus", "-G"), ("--gpus-per-node", ""), ("--gpus-per-task", ""), ("--gpus-per-socket", "")];
const CORES: &[(&str, &str)] =
    &[("--cpus-per-task", "-c"), ("--ntasks", "-n"), ("--ntasks-per-node", ""), ("--mincpus", ""), ("--nodes", "-N")];

/// The option that Slurm names or means; else the first one of the script, if it has any.
pub fn of(said: &str, arguments: &[Argument]) -> Option<Place> {
    let said = said.to_ascii_lowercase();
    let last = |long: &str, short: &str| arguments.iter().rev().find(|argument| names(&argument.text, long, short));
    // `Invalid numeric value "x" for --ntasks`, `unrecognized option '--x'`
    let mut words =
        said.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| word.starts_with("--"));
    let meant = || {
        let rows = WORDS.iter().filter(|(words, _)| said.contains(words));
        rows.flat_map(|(_, options)| options.iter()).find_map(|(long, short)| last(long, short))
    };
    words.find_map(|word| last(word, "")).or_else(meant).or_else(|| arguments.first()).map(|argument| argument.place)
}

/// Whether a word is this option, with its value or without.
fn names(word: &[u8], long: &str, short: &str) -> bool {
    let rest = word.strip_prefix(long.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        || !short.is_empty() && word.starts_with(short.as_bytes())
}

#[cfg(test)]
mod tests {
    use slurm_k8s_core::script::sbatch;

    use super::*;

    #[test]
    fn a_refusal_is_at_the_option_that_it_is_about() {
        let script = "#!/bin/sh\n#SBATCH -n1 --job-name=memory\n#SBATCH --mem=900G -pcpu\n#SBATCH -q none --gres gpu:x\n\
                      #SBATCH -t5 -C avx --ntasks=2\n";
        for (said, place) in [
            (
                "sbatch: error: Memory specification can not be satisfied\nallocation failure: Requested node configuration",
                "3:9",
            ),
            ("allocation failure: Invalid qos specification", "4:9"),
            ("Invalid generic resource (gres) specification", "4:17"),
            ("Requested time limit is invalid (missing or exceeds some limit)", "5:9"),
            ("Invalid feature specification", "5:13"),
            ("Invalid account or account/partition combination specified", "3:20"),
            ("More processors requested than permitted", "5:20"),
            ("Invalid numeric value \"x\" for --job-name.", "2:13"),
            ("sbatch: unrecognized option '--mem=900G'", "3:9"),
            ("something new", "2:9"),
        ] {
            let (arguments, _) = sbatch::arguments(script.as_bytes(), 0);
            assert_eq!(of(said, &arguments).map(|place| place.to_string()).as_deref(), Some(place), "{said}");
        }
        assert_eq!(of("Invalid qos specification", &[]), None);
    }
}
