//! `spank_k8s.so`: Slurm jobs in Kubernetes Pods.
//!
//! The way of a job through this plugin, one file per process that Slurm loads it in:
//!
//! ```text
//! submit.rs   srun, sbatch, salloc   options are registered, parsed and checked; a typo fails here
//! node.rs     slurmd                 the node's config is read once, so that the log tells what is wrong
//! step.rs     slurmstepd             the Pod is sent before the tasks are forked; each task becomes a shim;
//!                                    the Pod is removed when the step ends
//! ```
//! `argv.rs` and `spool.rs` see to it that a node without this plugin cannot run what is meant for a Pod. `hooks.rs` has
//! the entry points, `options.rs` the options, `results.rs` the folder of what a job leaves behind, `report.rs` what is said and
//! to whom.

mod argv;
mod hooks;
mod node;
mod options;
mod report;
mod results;
mod spool;
mod step;
mod submit;
