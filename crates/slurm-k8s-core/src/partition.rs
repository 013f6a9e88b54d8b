//! What a script asks for, held against Slurm's partitions, as far as their own limits go. What nodes, accounts and QOS
//! allow, only Slurm can tell.

use crate::finding::{self, Finding, Kind};
use crate::script::request::{Asked, Request, seconds};
use crate::shown::{nearest, quoted};

/// A partition, by a line of `scontrol show partition --oneliner`. None is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Whether it is the one for jobs that name none.
    pub is_default: bool,
    /// `UP`, `DOWN`, `DRAIN` or `INACTIVE`.
    pub state: String,
    /// Seconds.
    pub time: Option<u64>,
    /// Nodes of a job.
    pub nodes: Option<u64>,
    /// MiB of a job on each node.
    pub memory: Option<u64>,
    /// Cores of a job on each node.
    pub cpus: Option<u64>,
}

impl Partition {
    /// Reads a line; none if it is not one about a partition.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| value(key)?.parse::<u64>().ok();
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Some(Self {
            name: value("PartitionName")?.to_owned(),
            is_default: value("Default") == Some("YES"),
            state: value("State").unwrap_or_default().to_owned(),
            time: value("MaxTime").and_then(seconds),
            nodes: least(number("MaxNodes"), number("TotalNodes")),
            memory: number("MaxMemPerNode"),
            cpus: number("MaxCPUsPerNode"),
        })
    }
}

/// What no partition of those that the script names has. Of several, a job takes any that fits.
#[must_use]
pub fn check(request: &Request, partitions: &[Partition]) -> Vec<Finding> {
    let mut named = Vec::new();
    let mut found = Vec::new();
    match &request.partitions {
        None => named.extend(partitions.iter().find(|partition| partition.is_default)),
        Some(asked) => {
            for name in &asked.value {
                match partitions.iter().find(|partition| partition.name == *name) {
                    Some(partition) => named.push(partition),
                    None => found.push(unknown(asked, name, partitions)),
                }
            }
        }
    }
    if named.is_empty() {
        return found;
    }
    let limits = [
        (
            &request.time,
            (|partition| partition.time) as fn(&Partition) -> Option<u64>,
            "MaxTime is",
            time as fn(u64) -> String,
        ),
        (&request.nodes, |partition| partition.nodes, "MaxNodes and TotalNodes allow", |nodes| nodes.to_string()),
        (&request.memory, |partition| partition.memory, "MaxMemPerNode is", |memory| format!("{memory}M")),
        (&request.cpus, |partition| partition.cpus, "MaxCPUsPerNode is", |cpus| cpus.to_string()),
    ];
    for (asked, limit, key, shown) in limits {
        let Some(asked) = asked else { continue };
        let most = named.iter().map(|partition| limit(partition).unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
        if asked.value > most {
            let where_to: Vec<_> = named.iter().map(|partition| partition.name.as_str()).collect();
            let cause = format!(
                "{}={} is more than {} has ({key} {})",
                asked.option,
                asked.written,
                where_to.join(", "),
                shown(most)
            );
            let hint = format!("write {}={} or less, or name another partition", asked.option, shown(most));
            found.push(finding(finding::RESOURCES, Some(asked), cause, hint));
        }
    }
    if let Some(down) = named.iter().find(|partition| partition.state != "UP").filter(|_| named.len() == 1) {
        let cause = format!("the partition {} is {}: no job starts there now", down.name, down.state);
        let hint = "`sinfo` shows the others".to_owned();
        found.push(finding(finding::PARTITION_STATE, request.partitions.as_ref(), cause, hint));
    }
    found
}

fn unknown(asked: &Asked<Vec<String>>, name: &str, partitions: &[Partition]) -> Finding {
    let names = || partitions.iter().map(|partition| partition.name.as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    let cause = format!("{}: there is no partition {}", asked.option, quoted(name.as_bytes()));
    finding(finding::RESOURCES, Some(asked), cause, hint)
}

fn finding<T>(kind: Kind, asked: Option<&Asked<T>>, cause: String, hint: String) -> Finding {
    Finding { kind, place: asked.map(|asked| asked.place), cause, hint: Some(hint) }
}

/// As Slurm writes it.
fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { clock } else { format!("{days}-{clock}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::sbatch::arguments;

    const SITE: &str = "PartitionName=cpu AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 \
                        MaxCPUsPerNode=UNLIMITED State=UP TotalCPUs=4 TotalNodes=2 MaxMemPerNode=4096\n\
                        PartitionName=gpu Default=NO MaxNodes=1 MaxTime=UNLIMITED MaxCPUsPerNode=2 State=DOWN TotalNodes=4 \
                        MaxMemPerCPU=100\n";

    fn checked(options: &str) -> Vec<String> {
        let partitions: Vec<_> = SITE.lines().filter_map(Partition::parse).collect();
        let (arguments, _) = arguments(format!("#!/bin/sh\n#SBATCH {options}\n").as_bytes(), 0);
        let found = check(&Request::of(&arguments, &|_| None), &partitions);
        found
            .iter()
            .map(|found| format!("{}: {found} | {}", found.kind.id, found.hint.as_deref().unwrap_or("")))
            .collect()
    }

    #[test]
    fn what_fits_is_fine() {
        for options in ["", "-t 1-0 -N2 --mem=4G -c 64", "-p cpu", "-p cpu,gpu -t 3-0", "-p cpu,gpu -N2", "--mem=0"] {
            assert_eq!(checked(options), Vec::<String>::new(), "{options}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_limit() {
        for (options, expected) in [
            ("-p cpus", "resources: line 2: --partition: there is no partition \"cpus\" | did you mean cpu?"),
            ("-p zz", "resources: line 2: --partition: there is no partition \"zz\" | there are: cpu, gpu"),
            (
                "--time=2-00:00:00",
                "resources: line 2: --time=2-00:00:00 is more than cpu has (MaxTime is 1-00:00:00) | write --time=1-00:00:00 or \
                 less, or name another partition",
            ),
            (
                "-N 3",
                "resources: line 2: --nodes=3 is more than cpu has (MaxNodes and TotalNodes allow 2) | write --nodes=2 or less, \
                 or name another partition",
            ),
            (
                "--mem=5G",
                "resources: line 2: --mem=5G is more than cpu has (MaxMemPerNode is 4096M) | write --mem=4096M or less, or name \
                 another partition",
            ),
            (
                "-p gpu",
                "partition-state: line 2: the partition gpu is DOWN: no job starts there now | `sinfo` shows the others",
            ),
        ] {
            assert_eq!(checked(options), [expected], "{options}");
        }
        assert_eq!(checked("-p gpu -c3 -N2").len(), 3);
    }
}
