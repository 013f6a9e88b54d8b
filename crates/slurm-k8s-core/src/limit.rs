//! What a profile lets a job have on a node: the same in slurmctld, where it is asked for, and on the node, where it was
//! allocated.

use crate::option::Given;

/// `max_cpus`, `max_memory` and `max_gpus` of a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Cpus.
    pub cpus: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// GPUs.
    pub gpus: Option<u64>,
}

/// The keys of a profile, with what they take and mean.
pub const KEYS: &[(&str, &str, &str)] = &[
    ("max_cpus", "number", "The most cpus that a job has on a node; without it, as many as Slurm gives."),
    ("max_memory", "size such as 8G", "The most memory that a job has on a node."),
    ("max_gpus", "number", "The most GPUs that a job has on a node."),
];

/// Bytes, as `8G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
        let exact = |(shift, _): &&(u32, &str)| self.0 >> shift > 0 && self.0.trailing_zeros() >= *shift;
        match units.iter().find(exact) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// What a job asks for, or has, on each of its nodes, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Cpus.
    pub cpus: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// GPUs.
    pub gpus: Option<u64>,
}

/// More than the profile allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given}: {profile} allows at most {most} on a node, and this is a job with {wanted}")]
pub struct LimitError {
    /// The option that names the profile.
    pub given: Given,
    /// The profile.
    pub profile: String,
    /// What it allows.
    pub most: String,
    /// What the job has.
    pub wanted: String,
}

impl LimitError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("ask Slurm for at most {}, or use another profile", self.most)
    }
}

/// Holds a job to the limits of the profile that `given` names.
pub fn check(limits: &Limits, amount: &Amount, given: Given, profile: &str) -> Result<(), LimitError> {
    let counted = |number: u64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    let memory = |bytes: u64| format!("{} of memory", Size(bytes));
    let found = [
        above(limits.cpus, amount.cpus, |number| counted(number, "cpu")),
        above(limits.memory, amount.memory, memory),
        above(limits.gpus, amount.gpus, |number| counted(number, "GPU")),
    ];
    match found.into_iter().flatten().next() {
        Some((most, wanted)) => Err(LimitError { given, profile: profile.to_owned(), most, wanted }),
        None => Ok(()),
    }
}

fn above(limit: Option<u64>, amount: Option<u64>, shown: impl Fn(u64) -> String) -> Option<(String, String)> {
    let (limit, amount) = (limit?, amount?);
    (amount > limit).then(|| (shown(limit), shown(amount)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::{JobOptions, Origin, PROFILE};

    fn checked(limits: Limits, amount: Amount) -> Result<(), LimitError> {
        let mut options = JobOptions::default();
        options.set(Origin::CommandLine, PROFILE, Some(b"small")).unwrap();
        check(&limits, &amount, options.given(PROFILE).unwrap(), "small")
    }

    #[test]
    fn what_is_above_a_limit_is_named_with_it() {
        let amount = |cpus, memory, gpus| Amount { cpus, memory, gpus };
        let site = Limits { cpus: Some(4), memory: Some(8 << 30), gpus: Some(1) };
        for fine in [amount(Some(4), Some(8 << 30), Some(1)), amount(None, None, None), amount(Some(1), None, Some(0))]
        {
            assert_eq!(checked(site, fine), Ok(()));
        }
        for (wrong, message) in [
            (
                amount(Some(5), None, None),
                "--k8s-profile: small allows at most 4 cpus on a node, and this is a job with 5 cpus",
            ),
            (
                amount(Some(1), Some((8 << 30) + (1 << 20)), None),
                "--k8s-profile: small allows at most 8G of memory on a node, and this is a job with 8193M of memory",
            ),
            (
                amount(None, None, Some(2)),
                "--k8s-profile: small allows at most 1 GPU on a node, and this is a job with 2 GPUs",
            ),
        ] {
            assert_eq!(checked(site, wrong).unwrap_err().to_string(), message);
            assert_eq!(checked(Limits::default(), wrong), Ok(()));
        }
        let hint =
            checked(Limits { gpus: Some(0), ..Limits::default() }, amount(None, None, Some(1))).unwrap_err().hint();
        assert_eq!(hint, "ask Slurm for at most 0 GPUs, or use another profile");
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for text in ["8G", "8193M", "1T", "3K"] {
            let size = Size(crate::option::size(text).unwrap());
            assert_eq!(size.to_string(), text);
        }
        assert_eq!(Size(1025).to_string(), "1025 bytes");
    }
}
