//! A host of the testbed: a network, mount and UTS namespace with a root of its own.

pub mod keeper;
pub mod root;

use crate::{command, paths};
use rustix::fs::{Gid, Uid};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

/// One host. It is a name and an address; whether it is up is [`Host::keeper`]'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its host name.
    pub name: &'static str,
    /// Its address on the testbed's network, a /24.
    pub ip: Ipv4Addr,
}

/// The machine users log in to.
pub const LOGIN: Host = Host { name: "login", ip: Ipv4Addr::new(10, 89, 0, 2) };
/// The machine of slurmctld, slurmdbd, the database, the API server, etcd and the registry.
pub const CTL: Host = Host { name: "ctl", ip: Ipv4Addr::new(10, 89, 0, 3) };
/// The first compute node.
pub const NODE1: Host = Host { name: "node1", ip: Ipv4Addr::new(10, 89, 0, 11) };
/// The second compute node.
pub const NODE2: Host = Host { name: "node2", ip: Ipv4Addr::new(10, 89, 0, 12) };
/// Every host there can be.
pub const ALL: &[Host] = &[LOGIN, CTL, NODE1, NODE2];
/// Every compute node there can be.
pub const NODES: &[Host] = &[NODE1, NODE2];
/// The bridge's address, the default route of every host.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);

/// Why a file of a host could not be written.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The host has no living keeper process.
    #[error("host {host} is not up (run `cargo testbed up`)")]
    Down {
        /// The host.
        host: &'static str,
    },
    /// The system refused.
    #[error("could not write {path} on {host}")]
    Write {
        /// The host.
        host: &'static str,
        /// The file, as the host sees it.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The record of the keeper could not be written.
    #[error("could not write the state file {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Host {
    /// The host with this name.
    pub fn named(name: &str) -> Option<Host> {
        ALL.iter().copied().find(|host| host.name == name)
    }

    /// Whether it is a compute node.
    pub fn is_node(self) -> bool {
        NODES.contains(&self)
    }

    /// A command that runs as root on the host, with a clean environment and no input.
    /// When the host is down the command fails.
    pub fn command<I, S>(self, program: &str, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        // Without a keeper nsenter must fail: pid 0 never exists.
        let pid = self.keeper().map_or(0, |keeper| keeper.pid);
        let mut command = command::clean("nsenter");
        command.args([
            &format!("--net=/proc/{pid}/ns/net"),
            &format!("--mount=/proc/{pid}/ns/mnt"),
            &format!("--uts=/proc/{pid}/ns/uts"),
            "--",
            program,
        ]);
        command.args(args);
        command
    }

    /// The host's file `absolute` as seen from the base machine (valid while the host is up).
    pub fn path(self, absolute: &str) -> PathBuf {
        let pid = self.keeper().map_or(0, |keeper| keeper.pid);
        PathBuf::from(format!("/proc/{pid}/root")).join(absolute.trim_start_matches('/'))
    }

    /// Writes a file on the host, whole or not at all; missing parent folders are made (0755, root).
    /// A file that is already as asked stays untouched. True when something changed.
    pub fn write(self, absolute: &str, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> Result<bool, HostError> {
        if self.keeper().is_none() {
            return Err(HostError::Down { host: self.name });
        }
        self.replace(absolute, bytes, mode, uid, gid).map_err(|source| HostError::Write {
            host: self.name,
            path: absolute.to_owned(),
            source,
        })
    }

    fn replace(self, absolute: &str, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> std::io::Result<bool> {
        let path = self.path(absolute);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let changed = !std::fs::read(&path).is_ok_and(|present| present == bytes);
        let target = if changed { path.with_added_extension("testbed-new") } else { path.clone() };
        if changed {
            let _ = std::fs::remove_file(&target);
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
            file.write_all(bytes)?;
        }
        std::os::unix::fs::chown(&target, Some(Uid::from_raw(uid).as_raw()), Some(Gid::from_raw(gid).as_raw()))?;
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))?;
        if changed {
            std::fs::rename(&target, &path)?;
        }
        Ok(changed)
    }

    /// The folder on the base machine with this host's state.
    pub fn state(self) -> PathBuf {
        paths::state("hosts").join(self.name)
    }
}
