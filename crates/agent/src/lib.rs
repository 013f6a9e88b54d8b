//! The link between a task and its Pod.

pub mod link;
