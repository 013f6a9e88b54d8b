//! What the `#SBATCH` lines ask of Slurm, as far as a partition limits it.

use std::ffi::OsString;

use super::sbatch::Argument;
use crate::Place;

/// A resource, and where it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    /// The option as it is written: `--time`.
    pub option: &'static str,
    /// Where.
    pub place: Place,
    /// Its text.
    pub written: String,
    /// What it means.
    pub value: T,
}

/// What is asked for; none is Slurm's default, or something that only Slurm can read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The partitions, of which any will do.
    pub partitions: Option<Asked<Vec<String>>>,
    /// Seconds.
    pub time: Option<Asked<u64>>,
    /// The least number of nodes.
    pub nodes: Option<Asked<u64>>,
    /// MiB on each node.
    pub memory: Option<Asked<u64>>,
    /// Cores of each task.
    pub cpus: Option<Asked<u64>>,
}

impl Request {
    /// Reads the words. What sbatch has in its environment beats them, and is not looked at.
    #[must_use]
    pub fn of(arguments: &[Argument], variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let read = |option, short, name: &str| {
            let beaten = variable(name).is_some();
            if beaten { None } else { last(arguments, option, short) }
        };
        Self {
            partitions: read("--partition", "-p", "SBATCH_PARTITION").map(|asked| {
                let names = asked.written.split(',').map(str::to_owned).collect();
                asked.with(names)
            }),
            time: read("--time", "-t", "SBATCH_TIMELIMIT").and_then(|asked| asked.parsed(seconds)),
            nodes: read("--nodes", "-N", "SBATCH_NODES").and_then(|asked| asked.parsed(least)),
            memory: read("--mem", "", "SBATCH_MEM_PER_NODE").and_then(|asked| asked.parsed(mebibytes)),
            cpus: read("--cpus-per-task", "-c", "SBATCH_CPUS_PER_TASK").and_then(|asked| asked.parsed(count)),
        }
    }
}

impl Asked<()> {
    fn with<T>(self, value: T) -> Asked<T> {
        Asked { option: self.option, place: self.place, written: self.written, value }
    }

    fn parsed<T>(self, parse: impl Fn(&str) -> Option<T>) -> Option<Asked<T>> {
        let value = parse(&self.written)?;
        Some(self.with(value))
    }
}

/// The last value of an option, for which there may be a letter.
pub(super) fn last(arguments: &[Argument], option: &'static str, short: &str) -> Option<Asked<()>> {
    let mut found = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_slice();
        let long = text.strip_prefix(option.as_bytes());
        let letter = text.strip_prefix(short.as_bytes()).filter(|_| !short.is_empty());
        let value = match (long, letter) {
            (Some([]), _) | (_, Some([])) => words.next().map(|next| next.text.as_slice()),
            (Some([b'=', value @ ..]), _) => Some(value),
            (None, letter) => letter,
            _ => None,
        };
        if let Some(value) = value {
            let written = String::from_utf8_lossy(value).into_owned();
            found = Some(Asked { option, place: word.place, written, value: () });
        }
    }
    found
}

/// Slurm's times: minutes, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let parts = rest.split(':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let (hours, minutes, seconds) = match (days, parts.as_slice()) {
        (None, [minutes]) => (0, *minutes, 0),
        (None, [minutes, seconds]) => (0, *minutes, *seconds),
        (Some(_), [hours]) => (*hours, 0, 0),
        (Some(_), [hours, minutes]) => (*hours, *minutes, 0),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let hours = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_add(seconds)
}

/// Memory with Slurm's units; a bare number is MiB.
pub(super) fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number = number.parse::<u64>().ok()?;
    match unit.to_ascii_uppercase().trim_end_matches('B') {
        "K" => Some(number.div_ceil(1024)),
        "" | "M" => Some(number),
        "G" => number.checked_mul(1 << 10),
        "T" => number.checked_mul(1 << 20),
        _ => None,
    }
}

/// `N` or `N-M`, of which `N` counts.
pub(super) fn least(text: &str) -> Option<u64> {
    text.split('-').next()?.parse().ok()
}

fn count(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::sbatch::arguments;
    use super::*;

    #[test]
    fn times_are_slurms() {
        for (text, expected) in [
            ("90", Some(5400)),
            ("1:30", Some(90)),
            ("00:05:00", Some(300)),
            ("2-0", Some(172_800)),
            ("1-02:03", Some(93_780)),
            ("1-02:03:04", Some(93_784)),
            ("UNLIMITED", None),
            ("1:2:3:4", None),
            ("1-", None),
            ("99999999999999999999", None),
            ("9999999999999999-0", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_word_holds_unless_the_environment_has_one() {
        let script = b"#!/bin/sh\n#SBATCH -p cpu -t5 --mem=2G\n#SBATCH --partition a,b --time=1:00:00 -N2-4 -c 3 --mem-per-cpu=1G\n";
        let (arguments, _) = arguments(script, 0);
        let request = Request::of(&arguments, &|_| None);
        assert_eq!(request.partitions.as_ref().unwrap().value, ["a", "b"]);
        let time = request.time.unwrap();
        assert_eq!((time.option, time.place.to_string(), time.value), ("--time", "3:25".into(), 3600));
        let rest = [request.memory, request.nodes, request.cpus].map(|asked| asked.unwrap().value);
        assert_eq!(rest, [2048, 2, 3]);
        let beaten = Request::of(&arguments, &|name| (name == "SBATCH_TIMELIMIT").then(|| "1".into()));
        assert_eq!((beaten.time, beaten.partitions), (None, request.partitions));
    }
}
