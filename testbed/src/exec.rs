//! Runs a command on a host as a user, in place of this program: input, output, terminal, signals and
//! exit code are the command's own.

use crate::command::PATH;
use crate::host::Host;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Why the command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No host has this name.
    #[error("there is no host {name} (login, ctl, node1, node2)")]
    NoHost {
        /// The name.
        name: String,
    },
    /// The host is not up.
    #[error("host {host} is not up (run `cargo testbed up`)")]
    Down {
        /// The host.
        host: &'static str,
    },
    /// No user has this name there.
    #[error("there is no user {user} on {host}")]
    NoUser {
        /// The user.
        user: String,
        /// The host.
        host: &'static str,
    },
    /// The host could not be entered.
    #[error("could not enter {host}")]
    Enter {
        /// The host.
        host: &'static str,
        /// The system's reason.
        source: rustix::io::Errno,
    },
    /// The user could not be become.
    #[error("could not become {user}")]
    Become {
        /// The user.
        user: String,
        /// The system's reason.
        source: rustix::io::Errno,
    },
    /// No such folder there.
    #[error("could not change to {path} on {host}")]
    Folder {
        /// The folder.
        path: String,
        /// The host.
        host: &'static str,
        /// The system's reason.
        source: rustix::io::Errno,
    },
    /// The program could not be started.
    #[error("could not run {program} on {host}")]
    Run {
        /// The program.
        program: String,
        /// The host.
        host: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl ExecError {
    /// The exit code a shell would give: 127 not found, 126 not executable; 125 is our own failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run { source, .. } if source.kind() == std::io::ErrorKind::NotFound => 127,
            Self::Run { .. } => 126,
            _ => 125,
        }
    }
}

/// A line of a host's account file.
struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: String,
    shell: String,
}

/// Becomes the command. Comes back only with an error.
pub fn run(user: &str, host: &str, folder: Option<&str>, line: &[String]) -> Result<Infallible, ExecError> {
    let host = Host::named(host).ok_or_else(|| ExecError::NoHost { name: host.to_owned() })?;
    if host.keeper().is_none() {
        return Err(ExecError::Down { host: host.name });
    }
    let account =
        Account::find(host, user).ok_or_else(|| ExecError::NoUser { user: user.to_owned(), host: host.name })?;
    enter(host).map_err(|source| ExecError::Enter { host: host.name, source })?;
    account.assume().map_err(|source| ExecError::Become { user: user.to_owned(), source })?;
    let folder = folder.unwrap_or(&account.home);
    rustix::process::chdir(folder).map_err(|source| ExecError::Folder {
        path: folder.to_owned(),
        host: host.name,
        source,
    })?;
    let (program, arguments) = line.split_first().map_or(("true", line), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(account.environment());
    if let Some(terminal) = std::env::var_os("TERM") {
        command.env("TERM", terminal);
    }
    let source = command.exec();
    Err(ExecError::Run { program: program.to_owned(), host: host.name, source })
}

fn enter(host: Host) -> rustix::io::Result<()> {
    let pid = host.keeper().map_or(0, |keeper| keeper.pid);
    let open = |name: &str| {
        rustix::fs::open(format!("/proc/{pid}/ns/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    };
    // All are opened first: afterwards /proc is the host's.
    let (network, uts, mount) = (open("net")?, open("uts")?, open("mnt")?);
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    move_into_link_name_space(uts.as_fd(), Some(LinkNameSpaceType::HostNameAndNISDomainName))?;
    move_into_link_name_space(mount.as_fd(), Some(LinkNameSpaceType::Mount))
}

impl Account {
    fn find(host: Host, name: &str) -> Option<Self> {
        let passwd = std::fs::read_to_string(host.path("/etc/passwd")).ok()?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
        let gid = Gid::from_raw(gid.parse().ok()?);
        let group = std::fs::read_to_string(host.path("/etc/group")).ok()?;
        let others = group.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let number = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member == name).then(|| Gid::from_raw(number))
        });
        Some(Self {
            name: name.to_owned(),
            uid: Uid::from_raw(uid.parse().ok()?),
            gid,
            groups: std::iter::once(gid).chain(others).collect(),
            home: (*home).to_owned(),
            shell: (*shell).to_owned(),
        })
    }

    /// Becomes this user, with the limits of a login.
    fn assume(&self) -> rustix::io::Result<()> {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let files = getrlimit(Resource::Nofile);
        let current = Some(files.maximum.map_or(1024, |maximum| maximum.min(1024)));
        setrlimit(Resource::Nofile, Rlimit { current, ..files })?;
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)
    }

    fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("HOME", self.home.clone()),
            ("USER", self.name.clone()),
            ("LOGNAME", self.name.clone()),
            ("SHELL", self.shell.clone()),
            ("PATH", PATH.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("KUBECONFIG", format!("/etc/testbed/kubeconfig-{}", self.name)),
        ]
    }
}
