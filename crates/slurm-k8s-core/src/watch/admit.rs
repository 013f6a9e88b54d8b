//! Whose files are submitted, and which.

use super::LARGEST;
use super::reason::Refusal;
use crate::config::Watch;

/// What users without an account are mapped to: nobody's number, and -2 and -1 in 32 bits.
const NOBODY: [u32; 3] = [65534, u32::MAX - 1, u32::MAX];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A folder.
    Folder,
    /// A FIFO, a socket or a device.
    Special,
}

/// An opened file, as fstat(2) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// What it is.
    pub kind: Kind,
    /// How many names it has.
    pub links: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permissions.
    pub mode: u32,
    /// Its size.
    pub size: u64,
}

/// The owner's account on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The login name.
    pub name: String,
    /// The main group's number.
    pub gid: u32,
    /// The main group's name, if it has one.
    pub group: Option<String>,
    /// The names of all groups.
    pub groups: Vec<String>,
}

/// Whether a file of this kind and size may be read at all; the account is not known yet.
pub fn may_be_read(file: &Opened, watch: &Watch) -> Result<(), Refusal> {
    match file.kind {
        Kind::File => {}
        Kind::Link => return Err(Refusal::Kind("a symbolic link")),
        Kind::Folder => return Err(Refusal::Kind("a folder")),
        Kind::Special => return Err(Refusal::Kind("a FIFO, a socket or a device")),
    }
    if NOBODY.contains(&file.uid) {
        return Err(Refusal::Nobody { uid: file.uid });
    }
    if file.uid < watch.min_uid.max(1) {
        return Err(Refusal::System { uid: file.uid, least: watch.min_uid });
    }
    if file.links != 1 {
        return Err(Refusal::Linked { links: file.links });
    }
    if file.size > LARGEST {
        return Err(Refusal::Large { size: file.size });
    }
    Ok(())
}

/// Whether this owner's file may be submitted.
pub fn may_be_submitted(file: &Opened, owner: &Owner, watch: &Watch) -> Result<(), Refusal> {
    // A group of the user's own, as many systems make it, has nobody else in it.
    let own_group = file.gid == owner.gid && owner.group.as_ref() == Some(&owner.name);
    let others = if own_group { 0o002 } else { 0o022 };
    if file.mode & others != 0 {
        return Err(Refusal::Writable { mode: file.mode & 0o7777 });
    }
    if !watch.groups.is_empty() && !owner.groups.iter().any(|group| watch.groups.contains(group)) {
        return Err(Refusal::Group { user: owner.name.clone(), groups: watch.groups.join(", ") });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: Opened = Opened { kind: Kind::File, links: 1, uid: 1000, gid: 1000, mode: 0o644, size: 10 };

    fn owner() -> Owner {
        let groups = vec!["alice".into(), "physics".into()];
        Owner { name: "alice".into(), gid: 1000, group: Some("alice".into()), groups }
    }

    fn text(file: Opened, watch: &Watch) -> String {
        let result = may_be_read(&file, watch).and_then(|()| may_be_submitted(&file, &owner(), watch));
        result.map_or_else(|refusal| refusal.to_string(), |()| String::new())
    }

    #[test]
    fn each_file_that_is_not_plainly_its_owners_is_refused() {
        let watch = Watch::default();
        for (file, refusal) in [
            (FILE, ""),
            (Opened { mode: 0o664, ..FILE }, ""),
            (Opened { mode: 0o664, gid: 5001, ..FILE }, "others may write it (mode 0664)"),
            (Opened { mode: 0o646, ..FILE }, "others may write it (mode 0646)"),
            (Opened { kind: Kind::Link, ..FILE }, "it is a symbolic link, not a file"),
            (Opened { kind: Kind::Folder, ..FILE }, "it is a folder, not a file"),
            (Opened { kind: Kind::Special, ..FILE }, "it is a FIFO, a socket or a device, not a file"),
            (Opened { links: 2, ..FILE }, "it has 2 names (hard links)"),
            (Opened { uid: 0, ..FILE }, "it belongs to uid 0, and only uids from 1000 on may submit"),
            (Opened { uid: 999, ..FILE }, "it belongs to uid 999, and only uids from 1000 on may submit"),
            (Opened { uid: 65534, ..FILE }, "it belongs to nobody (uid 65534)"),
            (Opened { size: LARGEST + 1, ..FILE }, "it has 4194305 bytes, and scripts have at most 4 MiB"),
        ] {
            assert_eq!(text(file, &watch), refusal);
        }
    }

    #[test]
    fn groups_may_be_asked_for() {
        let watch = Watch { groups: vec!["chem".into(), "physics".into()], ..Watch::default() };
        assert_eq!(text(FILE, &watch), "");
        let watch = Watch { groups: vec!["chem".into()], ..Watch::default() };
        assert_eq!(text(FILE, &watch), "alice is in none of the groups that may submit here: chem");
    }

    proptest! {
        #[test]
        fn root_never_submits(uid: u32, gid: u32, mode: u32, min in 0_u32..2000) {
            let watch = Watch { min_uid: min, ..Watch::default() };
            let taken = may_be_read(&Opened { uid, gid, mode, ..FILE }, &watch).is_ok();
            prop_assert!(!taken || (uid != 0 && uid >= min));
        }
    }
}
