//! Which Slurm the testbed has: what differs between versions and is Slurm's own is in the tests' tables by this.

use std::sync::OnceLock;

use crate::ALICE;

/// A release, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slurm(pub u8, pub u8);

/// Debian 12's.
pub const V22_05: Slurm = Slurm(22, 5);

/// The one that the hosts run.
#[must_use]
pub fn slurm() -> Slurm {
    static FOUND: OnceLock<Slurm> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // "slurm-wlm 24.11.5"
        let text = ALICE.run(&["srun", "--version"]).ok().text();
        let mut numbers = text.split_whitespace().last().into_iter().flat_map(|word| word.split('.')).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or_else(|| panic!("srun says {text:?}"));
        Slurm(next(), next())
    })
}
