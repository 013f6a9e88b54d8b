//! The pure part of spank-k8s: no Slurm, no network, no clock.

pub mod grant;
