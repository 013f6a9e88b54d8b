//! An OCI image layout from a root folder.

use super::ImageError;
use crate::command;
use std::path::Path;
use std::process::Command;

/// What a container gets when nothing else is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The variables, `NAME=value`.
    pub env: &'static [&'static str],
    /// The entrypoint.
    pub entrypoint: &'static [&'static str],
    /// The command.
    pub command: &'static [&'static str],
}

/// Makes the layout `target` (tag `1`) with one layer, the folder `root`; `work` is for what comes between.
pub fn make(name: &'static str, root: &Path, work: &Path, target: &Path, defaults: Defaults) -> Result<(), ImageError> {
    let layer = work.join("layer.tar");
    let layout = work.join("layout");
    let image = format!("{}:1", layout.display());
    let run = |command: Command| command::run(command).map_err(|source| ImageError::Make { name, source });
    let mut tar = command::clean("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner", "--file"]).arg(&layer);
    tar.arg("--directory").arg(root).arg(".");
    run(tar)?;
    let mut init = command::clean("umoci");
    init.arg("init").arg("--layout").arg(&layout);
    run(init)?;
    run(umoci(&["new", "--image", &image]))?;
    let mut add = umoci(&["raw", "add-layer", "--image", &image]);
    add.arg(&layer);
    run(add)?;
    let mut config = umoci(&["config", "--image", &image]);
    for (option, values) in [
        ("--config.env", defaults.env),
        ("--config.entrypoint", defaults.entrypoint),
        ("--config.cmd", defaults.command),
    ] {
        config.args(values.iter().flat_map(|value| [option, *value]));
    }
    run(config)?;
    // umoci keeps the image's former states.
    run(umoci(&["gc", "--layout", &layout.display().to_string()]))?;
    std::fs::rename(&layout, target).map_err(|source| ImageError::File { path: target.to_owned(), source })
}

fn umoci(arguments: &[&str]) -> Command {
    let mut command = command::clean("umoci");
    command.args(arguments);
    command
}
