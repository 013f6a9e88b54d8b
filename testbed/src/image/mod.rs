//! The images in the testbed's registry.

mod layout;
mod recipe;
mod registry;
pub mod relay;

pub use registry::{REGISTRY, pull, push, ready as registry_ready, start as start_registry, tell as tell_registry};

use crate::command::CommandError;
use crate::daemon::DaemonError;
use crate::host::HostError;
use crate::step::step;
use crate::wait::WaitError;
use std::convert::Infallible;
use std::path::PathBuf;

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No such image.
    #[error("there is no image {name}; there are busybox, distroless, userland and hostile")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A file of it could not be made.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It could not be made.
    #[error("could not make the image {name}")]
    Make {
        /// The image.
        name: &'static str,
        /// What the program said.
        source: CommandError,
    },
    /// It could not be pushed or pulled.
    #[error("could not copy the image {name} to {to}")]
    Copy {
        /// The image.
        name: &'static str,
        /// The registry or node.
        to: String,
        /// What the program said.
        source: CommandError,
    },
    /// The registry's daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The registry's configuration.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The registry did not get ready.
    #[error(transparent)]
    Late(#[from] WaitError<Infallible>),
}

/// The full reference of the image with this name.
pub fn reference(name: &str) -> Result<String, ImageError> {
    if name == "pause" || !recipe::ALL.iter().any(|recipe| recipe.name == name) {
        return Err(ImageError::Unknown { name: name.to_owned() });
    }
    Ok(full(name))
}

/// The same for a name of ours.
pub fn full(name: &str) -> String {
    format!("{REGISTRY}/{name}:1")
}

/// Makes the images that the cache does not have.
pub fn build() -> Result<(), ImageError> {
    for recipe in recipe::ALL {
        let layout = recipe.layout()?;
        if !layout.exists() {
            step(&format!("image {}", recipe.name), || recipe.make(&layout))?;
        }
    }
    Ok(())
}
