//! Kubernetes on the testbed's hosts.

use crate::host::Host;
use crate::status::Row;
use std::convert::Infallible;

/// Brings Kubernetes up with these compute nodes.
pub fn up(_nodes: &[Host]) -> Result<(), Infallible> {
    Ok(())
}

/// Ends Kubernetes.
pub fn down() -> Result<(), Infallible> {
    Ok(())
}

/// What of Kubernetes is ready.
pub fn status() -> Vec<Row> {
    Vec::new()
}
