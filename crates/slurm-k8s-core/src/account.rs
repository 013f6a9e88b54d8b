//! `/etc/passwd` and `/etc/group` of the container: the image's own, with the user's entries in front (passwd(5)).

use crate::grant::Grant;

/// What an image's passwd is taken to be where it cannot be read.
pub const PLAIN_PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
/// The same for its group.
pub const PLAIN_GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// The container's `/etc/passwd`.
#[must_use]
pub fn passwd(image: &[u8], grant: &Grant) -> Vec<u8> {
    let (id, (uid, gid)) = (&grant.identity, (grant.uid, grant.gid));
    let (home, shell) = (id.home.display(), id.shell.display());
    merged(image, &[format!("{}:x:{uid}:{gid}:{}:{home}:{shell}", id.user, id.gecos)])
}

/// The container's `/etc/group`.
#[must_use]
pub fn group(image: &[u8], grant: &Grant) -> Vec<u8> {
    let id = &grant.identity;
    let member = |gid: u32| {
        if gid == grant.gid { "" } else { id.user.as_str() }
    };
    let lines: Vec<_> = id.groups.iter().map(|(gid, name)| format!("{name}:x:{gid}:{}", member(*gid))).collect();
    merged(image, &lines)
}

/// `lines` in front of those of the image's that have neither the name nor the number of one of them. Lookups take the
/// first that fits (passwd(5)).
#[must_use]
pub fn merged(image: &[u8], lines: &[String]) -> Vec<u8> {
    let key = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b':');
        (fields.next().map(<[u8]>::to_vec), fields.nth(1).map(<[u8]>::to_vec))
    };
    let ours: Vec<_> = lines.iter().map(|line| key(line.as_bytes())).collect();
    let mut out = Vec::new();
    for line in lines {
        // A field with a line break would be another entry.
        out.extend(line.bytes().map(|b| if b == b'\n' { b' ' } else { b }));
        out.push(b'\n');
    }
    for line in image.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let (name, number) = key(line);
        if !ours.iter().any(|(n, i)| *n == name || (i.is_some() && *i == number)) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::sample;

    #[test]
    fn the_users_entry_replaces_those_of_its_name_and_number() {
        let image = b"root:x:0:0::/:/bin/sh\nalice:x:7:7::/:/x\nubuntu:x:1000:1000::/:/x\n+nis\n";
        let text = String::from_utf8(passwd(image, &sample())).unwrap();
        assert_eq!(text, "alice:x:1000:1000::/home/alice:/bin/bash\nroot:x:0:0::/:/bin/sh\n+nis\n");
    }

    #[test]
    fn the_users_groups_are_slurms() {
        let text = String::from_utf8(group(b"staff:x:6000:bob\nroot:x:0:\n", &sample())).unwrap();
        assert_eq!(text, "alice:x:1000:\nteam:x:6000:alice\nroot:x:0:\n");
    }
}
