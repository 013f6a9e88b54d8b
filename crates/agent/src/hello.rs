//! How either end of the link begins.

use std::path::Path;

use slurm_k8s_agent::link::message::{Hello, Ids, Message, Role, VERSION};
use slurm_k8s_agent::link::socket::LinkError;

/// The first message of either end.
pub fn hello(role: Role, task: u32, run_dir: &Path) -> Result<Message, LinkError> {
    let groups = rustix::process::getgroups().map_err(std::io::Error::from)?;
    let mut groups: Vec<u32> = groups.iter().map(|gid| gid.as_raw()).collect();
    groups.sort_unstable();
    groups.dedup();
    let ids = Ids { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw(), groups };
    let token = std::fs::read(run_dir.join("token"))?;
    Ok(Message::Hello(Hello { version: VERSION, role, task, token, ids }))
}
