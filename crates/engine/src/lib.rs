//! The engine: creates one Pod for one step on one node, joins its ends to Slurm's tasks, and removes it.
//!
//! It lives in slurmstepd, so it starts no process, blocks every signal on its thread, and has a deadline for every
//! wait.

mod api;
mod cgroup;
mod complaints;
mod create;
mod door;
mod first_node;
#[cfg(test)]
mod hostile;
mod hub;
mod journal;
mod mounts;
mod observe;
mod pause;
mod peer;
mod plan;
mod process;
mod record;
mod refusal;
mod removal;
pub mod results;
mod retry_after;
mod rundir;
mod session;
mod signals;
pub mod slurm_conf;
mod standstill;
mod sweep;
mod task;

pub use plan::Step;
pub use session::{Open, Session};
pub use slurm_k8s_agent::link::message::{Refusal, Scope};
