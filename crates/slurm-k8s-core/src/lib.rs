//! The pure part of spank-k8s: no Slurm, no network, no clock.
//!
//! Without the feature `kubernetes` it has nothing of Pods: what runs in containers needs none of it.
//!
//! Each list that users or admins meet (options, config keys, labels, exit codes) is one table in its module; the
//! pages in `docs/reference` come from these tables ([`reference`]).

pub mod account;
pub mod choice;
pub mod collect;
pub mod config;
pub mod diagnosis;
pub mod duration;
pub mod exit_code;
pub mod finding;
pub mod grant;
pub mod gres;
pub mod honour;
pub mod image;
pub mod judge;
pub mod label;
pub mod limit;
pub mod message;
pub mod metrics;
pub mod multi_prog;
pub mod name;
pub mod option;
pub mod partition;
mod place;
#[cfg(feature = "kubernetes")]
pub mod pod;
pub mod policy;
pub mod profile;
pub mod quantity;
pub mod reference;
pub mod rendezvous;
pub mod requirement;
pub mod results;
pub mod script;
pub mod shown;
#[cfg(feature = "kubernetes")]
pub mod template;
pub mod user_namespace;
#[cfg(feature = "kubernetes")]
pub mod verdict;
pub mod watch;

pub use place::Place;
