//! Slurm: slurmdbd and slurmctld on the controller, slurmd on the nodes, the commands everywhere.

pub mod configuration;

use crate::account::{self, SystemUser};
use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::folder::{self, FolderError};
use crate::host::{CTL, Host, HostError};
use crate::network;
use crate::site::Site;
use crate::status::Row;
use crate::wait;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

/// How long a daemon of Slurm may take to end; it saves its state first.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Why Slurm does not run.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The user slurm is not there.
    #[error(transparent)]
    User(#[from] account::UnknownUser),
    /// A file of a host.
    #[error(transparent)]
    File(#[from] HostError),
    /// A folder of a host.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A command of Slurm failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// It does not get ready.
    #[error(transparent)]
    Late(#[from] wait::WaitError<Infallible>),
}

/// slurmdbd.
pub fn slurmdbd() -> Daemon {
    Daemon::new(CTL, "slurmdbd", ["slurmdbd", "-D"])
}

/// slurmctld.
pub fn slurmctld() -> Daemon {
    Daemon::new(CTL, "slurmctld", ["slurmctld", "-D"])
}

/// slurmd of a node.
pub fn slurmd(node: Host) -> Daemon {
    Daemon::new(node, "slurmd", ["slurmd", "-D"])
}

/// A daemon's own log, as seen from the base machine.
fn log(host: Host, name: &str) -> PathBuf {
    host.path(&format!("/var/log/slurm/{name}.log"))
}

/// Writes the configuration on all hosts. True when slurm.conf or the like changed somewhere.
pub fn configure(site: &Site) -> Result<bool, SlurmError> {
    let SystemUser { uid, gid } = account::system(CTL, "slurm")?;
    let tracking = configuration::Tracking::of_this_machine();
    let files = [
        ("/etc/slurm/slurm.conf", configuration::slurm(site, &tracking)),
        ("/etc/slurm/cgroup.conf", configuration::CGROUP.to_owned()),
        ("/etc/slurm/gres.conf", configuration::gres()),
        ("/etc/slurm/plugstack.conf", "include /etc/slurm/plugstack.conf.d/*.conf\n".to_owned()),
    ];
    let mut changed = false;
    for host in site.hosts() {
        for path in ["/var/log/slurm", "/var/lib/slurm"] {
            folder::make(host, path, 0o755, uid, gid)?;
        }
        folder::make(host, "/var/spool/slurmd", 0o755, 0, 0)?;
        folder::make(host, "/etc/slurm/plugstack.conf.d", 0o755, 0, 0)?;
        if host.is_node() {
            make_devices(host)?;
        }
        for (path, text) in &files {
            changed |= host.write(path, text.as_bytes(), 0o644, 0, 0)?;
        }
    }
    changed |= CTL.write("/etc/slurm/slurmdbd.conf", configuration::SLURMDBD.as_bytes(), 0o600, uid, gid)?;
    Ok(changed)
}

/// What Slurm takes for the node's GPUs and network cards.
fn make_devices(host: Host) -> Result<(), HostError> {
    for path in configuration::devices() {
        let there = host.path(&path);
        let made = match std::fs::symlink_metadata(&there) {
            Ok(_) => Ok(()),
            Err(_) => there
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::os::unix::fs::symlink("/dev/null", &there)),
        };
        made.map_err(|source| HostError::Write { host: host.name, path, source })?;
    }
    Ok(())
}

/// Starts slurmdbd and makes the accounts.
pub fn bring_up_accounting() -> Result<(), SlurmError> {
    slurmdbd().start()?;
    wait::until("slurmdbd", Duration::from_secs(60), &[log(CTL, "slurmdbd")], || Ok(network::listening(CTL, 6819)))?;
    let has = |what: &[&str], name: &str| {
        let mut query = CTL.command("sacctmgr", ["--noheader", "--parsable2", "list"]);
        query.args(what);
        command::run(query).map(|text| text.lines().any(|line| line.split('|').next() == Some(name)))
    };
    let add = |what: &[&str]| {
        let mut add = CTL.command("sacctmgr", ["--immediate", "add"]);
        add.args(what);
        command::run(add)
    };
    if !has(&["cluster", "format=cluster"], configuration::CLUSTER)? {
        add(&["cluster", configuration::CLUSTER])?;
    }
    for user in account::USERS {
        let group = user.groups.first().map_or(user.name, |(name, _)| name);
        if !has(&["account", "format=account"], group)? {
            add(&["account", group, &format!("cluster={}", configuration::CLUSTER)])?;
        }
        if !has(&["user", "format=user"], user.name)? {
            add(&["user", user.name, &format!("account={group}")])?;
        }
    }
    Ok(())
}

/// Starts slurmctld and slurmd and waits until every node takes jobs.
pub fn bring_up(site: &Site, restart: bool) -> Result<(), SlurmError> {
    if restart {
        slurmctld().stop(PATIENCE)?;
    }
    slurmctld().start()?;
    for node in site.nodes() {
        if restart {
            slurmd(*node).stop(PATIENCE)?;
        }
        slurmd(*node).start()?;
    }
    wait_ready(site)
}

/// Waits until slurmctld answers and every node takes jobs; resumes nodes that were drained.
pub fn wait_ready(site: &Site) -> Result<(), SlurmError> {
    wait_for(site, &["down", "drain", "fail"])
}

/// The same after a fault: a node that was drained for it stays so, and is an error.
pub fn wait_back(site: &Site) -> Result<(), SlurmError> {
    wait_for(site, &["down"])
}

fn wait_for(site: &Site, resumed: &[&str]) -> Result<(), SlurmError> {
    wait::until("slurmctld", Duration::from_secs(60), &[log(CTL, "slurmctld")], || Ok(network::listening(CTL, 6817)))?;
    // A node whose slurmd was stopped on purpose is not waited for.
    for node in site.nodes().iter().filter(|node| slurmd(**node).running()) {
        let logs = [log(*node, "slurmd"), log(CTL, "slurmctld")];
        wait::until(&format!("slurmd on {}", node.name), Duration::from_secs(90), &logs, || {
            let state = state(*node);
            let listening = network::listening(*node, 6818);
            if listening && needs_resume(&state, resumed) {
                let update = ["update", &format!("nodename={}", node.name), "state=resume"];
                // Refused when the node has just come back by itself.
                let _ = command::succeeds(CTL.command("scontrol", update));
            }
            Ok(listening && takes_jobs(&state))
        })?;
    }
    Ok(())
}

/// A node's state as slurmctld sees it, for example `idle`.
fn state(node: Host) -> String {
    let arguments = ["--noheader", "--nodes", node.name, "--format=%T"];
    command::run(CTL.command("sinfo", arguments))
        .map_or_else(|_| "unknown".to_owned(), |text| text.lines().next().unwrap_or("unknown").trim().to_owned())
}

fn takes_jobs(state: &str) -> bool {
    matches!(state, "idle" | "mixed" | "allocated" | "completing")
}

/// Whether it is one of these states, which slurmctld does not leave by itself when slurmd is back.
fn needs_resume(state: &str, resumed: &[&str]) -> bool {
    resumed.iter().any(|name| state.starts_with(name)) && !state.ends_with('*')
}

/// What of Slurm is ready.
pub fn status(site: &Site) -> Vec<Row> {
    let version = command::run(CTL.command("slurmctld", ["-V"])).unwrap_or_default();
    let found = |running: bool, listening: bool, text: &str| match (running, listening) {
        (true, true) => text.trim().to_owned(),
        (true, false) => "runs, but does not listen".to_owned(),
        (false, _) => "does not run".to_owned(),
    };
    let mut rows = Vec::new();
    for (daemon, port) in [(slurmdbd(), 6819), (slurmctld(), 6817)] {
        let (running, listening) = (daemon.running(), network::listening(CTL, port));
        rows.push(Row::new(CTL.name, daemon.name(), running && listening, found(running, listening, &version)));
    }
    for node in site.nodes() {
        let (running, listening) = (slurmd(*node).running(), network::listening(*node, 6818));
        let state = state(*node);
        let ready = running && listening && takes_jobs(&state);
        rows.push(Row::new(node.name, "slurmd", ready, found(running, listening, &format!("node is {state}"))));
    }
    let tracking = configuration::Tracking::of_this_machine();
    rows.push(Row::new("nodes", "tracking", true, format!("{}: {}", tracking.plugins(), tracking.reason)));
    rows
}
