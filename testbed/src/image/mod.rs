//! The images in the testbed's registry.

use std::convert::Infallible;

/// The full reference of the image with this name.
pub fn reference(name: &str) -> Result<String, Infallible> {
    Ok(format!("nas-hub.local:5407/{name}:1"))
}
