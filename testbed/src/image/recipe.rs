//! How each image is made.

use super::ImageError;
use super::layout::{self, Defaults};
use crate::command::{self, CommandError};
use crate::kubernetes::fingerprint;
use crate::paths;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BUSYBOX: &str = "/bin/busybox";
const MODULE: &str = include_str!("../../image/go.mod");
const PAUSE: &str = include_str!("../../image/pause/main.go");
const APP: &str = include_str!("../../image/app/main.go");
const SETUID: &str = include_str!("../../image/setuid/main.go");

/// One image.
pub struct Recipe {
    /// Its name in the registry.
    pub name: &'static str,
    defaults: Defaults,
    /// What it is made from: another one makes another image.
    ingredients: fn() -> std::io::Result<Vec<u8>>,
    /// Fills the image's root; the second folder is for what comes between.
    fill: fn(&Path, &Path) -> Result<(), Trouble>,
}

enum Trouble {
    File(std::io::Error),
    Command(CommandError),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl From<CommandError> for Trouble {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

/// All images: the one that holds a Pod's namespaces, three for jobs, and one of a user who means harm.
pub const ALL: &[Recipe] = &[
    Recipe {
        name: "pause",
        defaults: Defaults { env: &[], entrypoint: &["/pause"], command: &[] },
        ingredients: || Ok(PAUSE.into()),
        fill: |root, work| go(PAUSE, work, &root.join("pause")),
    },
    Recipe {
        name: "busybox",
        defaults: Defaults { env: &[PATH], entrypoint: &[], command: &["sh"] },
        ingredients: || std::fs::read(BUSYBOX),
        fill: busybox,
    },
    Recipe {
        name: "distroless",
        defaults: Defaults {
            env: &[PATH, "FROM_IMAGE=distroless", "NVIDIA_VISIBLE_DEVICES=all"],
            entrypoint: &["/app"],
            command: &[],
        },
        ingredients: || Ok(APP.into()),
        fill: |root, work| go(APP, work, &root.join("app")),
    },
    Recipe {
        name: "userland",
        defaults: Defaults { env: &[PATH], entrypoint: &[], command: &["bash"] },
        ingredients: || Ok(USERLAND.concat().into()),
        fill: userland,
    },
    Recipe {
        name: "hostile",
        defaults: Defaults { env: &[PATH], entrypoint: &[], command: &["sh"] },
        ingredients: || Ok([std::fs::read(BUSYBOX)?, HOSTILE.concat().into(), SETUID.into()].concat()),
        fill: hostile,
    },
];

/// Accounts that give a user what the site does not: the group of others, root's number, root without a password.
const HOSTILE: [&str; 2] = [
    "root::0:0:root:/:/bin/sh\nalice::0:0:alice:/:/bin/sh\nother::1000:0::/:/bin/sh\n",
    "root:x:0:alice\nchem:x:5003:alice\nshadow:x:42:alice,other\n",
];

/// debootstrap's arguments: a minimal Debian has bash, coreutils and perl.
const USERLAND: &[&str] = &["--variant=minbase", "--include=python3", "bookworm"];

/// What of Debian a job never looks at.
const SUPERFLUOUS: &[&str] =
    &["usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists", "var/log"];

impl Recipe {
    /// Where the cache has it.
    pub fn layout(&self) -> Result<PathBuf, ImageError> {
        let ingredients = (self.ingredients)().map_err(|source| ImageError::File { path: BUSYBOX.into(), source })?;
        let defaults = format!("{:?}", self.defaults);
        let key = fingerprint::of([defaults.as_bytes(), &ingredients]);
        Ok(paths::cache().join("image").join(format!("{}-{key}", self.name)))
    }

    /// Makes it at `target`, whole or not at all.
    pub fn make(&self, target: &Path) -> Result<(), ImageError> {
        let work = target.with_added_extension("new");
        let root = work.join("root");
        let failed = |source| ImageError::File { path: work.clone(), source };
        // A run that was killed may have left one; the testbed's lock keeps others out.
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&root).map_err(failed)?;
        (self.fill)(&root, &work).map_err(|trouble| match trouble {
            Trouble::File(source) => failed(source),
            Trouble::Command(source) => ImageError::Make { name: self.name, source },
        })?;
        layout::make(self.name, &root, &work, target, self.defaults)?;
        std::fs::remove_dir_all(&work).map_err(failed)
    }
}

fn go(source: &str, work: &Path, target: &Path) -> Result<(), Trouble> {
    std::fs::write(work.join("go.mod"), MODULE)?;
    std::fs::write(work.join("main.go"), source)?;
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(target)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(work);
    command::run(go)?;
    Ok(())
}

fn busybox(root: &Path, _: &Path) -> Result<(), Trouble> {
    for folder in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"] {
        std::fs::create_dir(root.join(folder))?;
    }
    std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    std::fs::set_permissions(root.join("root"), std::fs::Permissions::from_mode(0o700))?;
    std::fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    let mut list = command::clean(BUSYBOX);
    list.arg("--list");
    for name in command::run(list)?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    symlink("../bin", root.join("usr/bin"))?;
    std::fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    std::fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

/// busybox with such accounts, a setuid program, and links to where no mount should come to be.
fn hostile(root: &Path, work: &Path) -> Result<(), Trouble> {
    busybox(root, work)?;
    let [passwd, group] = HOSTILE;
    std::fs::write(root.join("etc/passwd.image"), passwd)?;
    std::fs::remove_file(root.join("etc/passwd"))?;
    // As a link out of the image would be read on the node.
    symlink("../../../../../../etc/passwd.image", root.join("etc/passwd"))?;
    std::fs::write(root.join("etc/group"), group)?;
    go(SETUID, work, &root.join("bin/rights"))?;
    std::fs::set_permissions(root.join("bin/rights"), std::fs::Permissions::from_mode(0o4755))?;
    for (link, to) in [("homes", "/home"), ("all", "/"), ("up", "../../../.."), ("devices", "dev")] {
        symlink(to, root.join(link))?;
    }
    Ok(())
}

fn userland(root: &Path, _: &Path) -> Result<(), Trouble> {
    // In the caller's environment: the way to the network is the caller's. What it mounts must not outlive it.
    let mut debootstrap = Command::new("unshare");
    let (suite, options) = USERLAND.split_last().unwrap_or((&"bookworm", &[]));
    debootstrap.args(["--mount", "--propagation=private", "debootstrap"]);
    debootstrap.args(options).arg(suite).arg(root).env("LC_ALL", "C.UTF-8");
    command::run(debootstrap)?;
    for path in SUPERFLUOUS {
        let path = root.join(path);
        std::fs::remove_dir_all(&path)?;
        std::fs::create_dir(&path)?;
    }
    Ok(())
}
