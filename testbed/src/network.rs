//! The network between the hosts: one bridge in a namespace of its own, unknown to the base machine.

use crate::command::{self, CommandError};
use crate::host::{GATEWAY, Host, keeper};
use std::process::Command;

/// The bridge's name in its namespace.
const BRIDGE: &str = "lan0";

/// Why the network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The namespace of the bridge.
    #[error(transparent)]
    Keeper(#[from] keeper::KeeperError),
    /// A call of `ip` or `sysctl`.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Connects these hosts; what is already there is kept.
pub fn bring_up(hosts: &[Host]) -> Result<(), NetworkError> {
    keeper::start_lan()?;
    if !command::succeeds(lan(&format!("ip link show {BRIDGE}"))) {
        command::run(lan(&format!("ip link add {BRIDGE} type bridge")))?;
    }
    command::run(lan(&format!("ip address replace {GATEWAY}/24 dev {BRIDGE}")))?;
    command::run(lan(&format!("ip link set {BRIDGE} up")))?;
    command::run(lan("ip link set lo up"))?;
    command::run(lan("sysctl --quiet --write net.ipv4.ip_forward=1"))?;
    for host in hosts {
        connect(*host)?;
    }
    Ok(())
}

/// The Pods' addresses on a node: 10.244.11.0/24 for the host 10.89.0.11.
pub fn pod_subnet(host: Host) -> String {
    let [.., last] = host.ip.octets();
    format!("10.244.{last}.0/24")
}

/// Takes a host's cable out, or puts it back.
pub fn plug(host: Host, connected: bool) -> Result<(), NetworkError> {
    let state = if connected { "up" } else { "down" };
    command::run(lan(&format!("ip link set {} {state}", host.name)))?;
    if connected && host.is_node() {
        route_pods(host)?;
    }
    Ok(())
}

/// Whether the host's cable is in.
pub fn plugged(host: Host) -> bool {
    command::run(lan(&format!("ip link show {} up", host.name))).is_ok_and(|text| !text.trim().is_empty())
}

/// Whether something listens on this TCP port of the host.
pub fn listening(host: Host, port: u16) -> bool {
    let pid = host.keeper().map_or(0, |keeper| keeper.pid);
    let wanted = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&wanted)) && fields.nth(1) == Some("0A")
        })
    })
}

fn connect(host: Host) -> Result<(), NetworkError> {
    let Host { name, ip } = host;
    let pid = host.keeper().map_or(0, |keeper| keeper.pid);
    let cable = command::succeeds(lan(&format!("ip link show {name}")));
    let card = command::succeeds(on(host, "ip link show eth0"));
    if !cable || !card {
        if cable {
            command::run(lan(&format!("ip link delete {name}")))?;
        }
        command::run(lan(&format!("ip link add {name} type veth peer name eth0 netns {pid}")))?;
    }
    command::run(lan(&format!("ip link set {name} master {BRIDGE} up")))?;
    command::run(on(host, "ip link set lo up"))?;
    command::run(on(host, &format!("ip address replace {ip}/24 dev eth0")))?;
    command::run(on(host, "ip link set eth0 up"))?;
    command::run(on(host, &format!("ip route replace default via {GATEWAY}")))?;
    if host.is_node() {
        command::run(on(host, "sysctl --quiet --write net.ipv4.ip_forward=1"))?;
        route_pods(host)?;
    }
    Ok(())
}

fn route_pods(host: Host) -> Result<(), NetworkError> {
    command::run(lan(&format!("ip route replace {} via {}", pod_subnet(host), host.ip)))?;
    Ok(())
}

fn on(host: Host, line: &str) -> Command {
    let mut words = line.split(' ');
    host.command(words.next().unwrap_or_default(), words)
}

fn lan(line: &str) -> Command {
    let pid = keeper::lan().map_or(0, |keeper| keeper.pid);
    let mut command = command::clean("nsenter");
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").args(line.split(' '));
    command
}
