//! The site's ordinary users and groups, and the folders all hosts share.

use crate::host::Host;
use crate::paths;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// An ordinary user. Its own group has its name and number.
#[derive(Debug)]
pub struct User {
    /// The login name.
    pub name: &'static str,
    /// The user's number.
    pub uid: u32,
    /// Supplementary groups: (name, number).
    pub groups: &'static [(&'static str, u32)],
}

/// The users of the site.
pub const USERS: &[User] = &[
    User { name: "alice", uid: 1000, groups: &[("physics", 5001), ("visual", 5002)] },
    User { name: "bob", uid: 1001, groups: &[("chem", 5003)] },
];

/// A shared folder could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not make the shared folder {}", path.display())]
pub struct SharedError {
    path: PathBuf,
    source: std::io::Error,
}

/// A user that a package made.
#[derive(Debug, Clone, Copy)]
pub struct SystemUser {
    /// The user's number.
    pub uid: u32,
    /// The main group's number.
    pub gid: u32,
}

/// A package should have made this user.
#[derive(Debug, thiserror::Error)]
#[error("the user {name} is not in /etc/passwd on {host}")]
pub struct UnknownUser {
    host: &'static str,
    name: String,
}

/// The user with this name on a host.
pub fn system(host: Host, name: &str) -> Result<SystemUser, UnknownUser> {
    let passwd = std::fs::read_to_string(host.path("/etc/passwd")).unwrap_or_default();
    let find = |line: &str| {
        let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':').skip(1);
        Some(SystemUser { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    };
    passwd.lines().find_map(find).ok_or_else(|| UnknownUser { host: host.name, name: name.to_owned() })
}

/// The account files of the system below `root` with the site's users added: (path below the root, text).
pub fn databases(root: &Path) -> Vec<(&'static str, String)> {
    let base = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let users: Vec<(&str, u32)> = USERS.iter().map(|user| (user.name, user.uid)).collect();
    let groups: Vec<(&str, u32)> = USERS
        .iter()
        .flat_map(|user| std::iter::once((user.name, user.uid)).chain(user.groups.iter().copied()))
        .collect();
    let mut passwd = without(&base("etc/passwd"), &users);
    let mut shadow = without(&base("etc/shadow"), &users);
    let mut group = without(&base("etc/group"), &groups);
    for user in USERS {
        let User { name, uid, .. } = user;
        passwd += &format!("{name}:x:{uid}:{uid}:{name}:/home/{name}:/bin/bash\n");
        shadow += &format!("{name}:*:20000:0:99999:7:::\n");
        group += &format!("{name}:x:{uid}:\n");
        for (group_name, gid) in user.groups {
            group += &format!("{group_name}:x:{gid}:{name}\n");
        }
    }
    vec![("etc/passwd", passwd), ("etc/shadow", shadow), ("etc/group", group)]
}

/// The lines whose name and number are not among `taken`.
fn without(text: &str, taken: &[(&str, u32)]) -> String {
    let free = |line: &&str| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let number: Option<u32> = fields.nth(1).and_then(|field| field.parse().ok());
        !taken.iter().any(|(other, id)| *other == name || Some(*id) == number)
    };
    text.lines().filter(free).map(|line| format!("{line}\n")).collect()
}

/// Makes the homes and the site's NAS.
pub fn make_shared() -> Result<(), SharedError> {
    make(&paths::state(""), 0o711, 0)?;
    make(&paths::state("hosts"), 0o711, 0)?;
    make(&paths::state("shared"), 0o711, 0)?;
    make(&paths::state("shared/home"), 0o755, 0)?;
    for user in USERS {
        make(&paths::state("shared/home").join(user.name), 0o700, user.uid)?;
    }
    make(&paths::state("shared/nas"), 0o1777, 0)?;
    make(&paths::state("shared/nas/results"), 0o1777, 0)
}

fn make(path: &Path, mode: u32, owner: u32) -> Result<(), SharedError> {
    let make = || {
        std::fs::create_dir_all(path)?;
        chown(path, Some(owner), Some(owner))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    make().map_err(|source| SharedError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn lines_with_a_taken_name_or_number_go() {
        let text = "root:x:0:0\nubuntu:x:1000:1000\nalice:x:7:7\n";
        assert_eq!(without(text, &[("alice", 1000)]), "root:x:0:0\n");
    }
}
