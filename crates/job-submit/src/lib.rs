//! `job_submit_k8s.so`: the half of spank-k8s that slurmctld loads (`JobSubmitPlugins=k8s`).
//!
//! It sees each job before it is one. `given.rs` reads what the submitting command was given, core judges it with the
//! `#K8S_` lines of the script, `submit.rs` refuses the job or writes down what holds, and marks the script so that no
//! node without spank-k8s can run it. `entry.rs` has slurmctld's entry points, `site.rs` the site's config.
//!
//! All of it runs in slurmctld, under its locks, as its user: nothing here waits for anything, and a job without a word
//! for us costs a look at the head of its script and at the names in its environment.

mod amount;
mod entry;
mod given;
pub mod site;
pub mod submit;
