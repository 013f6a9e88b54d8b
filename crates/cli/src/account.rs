//! The owner of a file, as this host's name service has it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use slurm_k8s_core::watch::admit::Owner;

/// The name service does not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up {what}")]
pub struct AccountError {
    what: String,
    source: std::io::Error,
}

/// An account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// All groups, by number; the main one is the first.
    pub groups: Vec<u32>,
    /// For the rules.
    pub owner: Owner,
    /// The home.
    pub home: PathBuf,
    /// The shell.
    pub shell: PathBuf,
}

impl Account {
    /// Looks it up; none if there is none.
    pub fn find(uid: u32) -> Result<Option<Self>, AccountError> {
        let failed = |what: String| move |errno: nix::Error| AccountError { what, source: errno.into() };
        let user = User::from_uid(Uid::from_raw(uid)).map_err(failed(format!("uid {uid}")))?;
        let Some(user) = user else { return Ok(None) };
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let all = getgrouplist(&name, user.gid).map_err(failed(format!("the groups of {}", user.name)))?;
        let group = |gid: Gid| {
            let group = Group::from_gid(gid).map_err(failed(format!("gid {gid}")))?;
            Ok::<_, AccountError>(group.map(|group| group.name))
        };
        let mut groups = vec![user.gid.as_raw()];
        groups.extend(all.iter().map(|gid| gid.as_raw()).filter(|gid| *gid != user.gid.as_raw()));
        let names = all.iter().filter_map(|gid| group(*gid).transpose()).collect::<Result<_, _>>()?;
        let owner = Owner { group: group(user.gid)?, gid: user.gid.as_raw(), groups: names, name: user.name };
        Ok(Some(Self { uid, groups, owner, home: user.dir, shell: user.shell }))
    }

    /// What a login has in its environment, and nothing else. Where Slurm's config is stays known.
    pub fn environment(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        let name = &self.owner.name;
        let mut all = vec![
            ("HOME", self.home.clone().into_os_string()),
            ("USER", name.into()),
            ("LOGNAME", name.into()),
            ("SHELL", self.shell.clone().into_os_string()),
            ("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())),
        ];
        all.extend(std::env::var_os("SLURM_CONF").map(|path| ("SLURM_CONF", path)));
        all
    }

    /// A folder's path for the system.
    pub fn folder(path: &std::path::Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
    }
}
