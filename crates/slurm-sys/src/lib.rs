//! The few parts of `slurm.h` that a `job_submit` plugin needs.
//!
//! `job_desc_msg_t` has another shape in each release of Slurm. [`layout`] has where its parts are, measured from the
//! headers of every version that is known (`generate.sh`); [`version`] tells exactly which one this process is. What is
//! not known is never guessed: no layout, no plugin. Why it is so: `docs/decisions/0004-one-job-submit-plugin.md`.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod host;
pub mod job_desc;
pub mod layout;
pub mod version;
