//! `slurm-k8s watch`, as far as it decides: no file system, no Slurm, no clock.
//!
//! A file's way: [`settle`] says when it is complete, [`id`] gives the submission its mark, [`admit`] says whether it may be
//! submitted, [`answer`] reads what sbatch said, [`step`] says what comes next for a claim that is found in whatever state,
//! and [`name`] where it goes.

pub mod admit;
pub mod answer;
pub mod id;
pub mod metrics;
pub mod name;
pub mod reason;
pub mod settle;
pub mod step;

/// No longer script is taken; it is also what slurmctld takes.
pub const LARGEST: u64 = 4 << 20;
