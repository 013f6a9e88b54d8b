//! The processes of one task, from /proc.

use std::collections::BTreeMap;

/// Every process below `root` or in its process group; `root` itself comes first.
#[must_use]
pub fn members(root: i32) -> Vec<i32> {
    let all = processes();
    let mut out = vec![root];
    for pid in all.keys().copied().filter(|pid| *pid != root) {
        let in_group = all.get(&pid).is_some_and(|(_, group)| *group == root);
        if in_group || descends(&all, pid, root) {
            out.push(pid);
        }
    }
    out
}

fn descends(all: &BTreeMap<i32, (i32, i32)>, mut pid: i32, root: i32) -> bool {
    // Bounded: the tree can change while it is read.
    for _ in 0..1024 {
        match all.get(&pid) {
            Some((parent, _)) if *parent == root => return true,
            Some((parent, _)) if *parent > 1 => pid = *parent,
            _ => return false,
        }
    }
    false
}

/// Parent and process group of every process (proc(5), `stat`).
fn processes() -> BTreeMap<i32, (i32, i32)> {
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    folder
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let text = String::from_utf8_lossy(&stat);
            // The name in parentheses may hold anything.
            let (_, fields) = text.rsplit_once(')')?;
            let mut fields = fields.split_whitespace().skip(1);
            Some((pid, (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn children_and_their_children_are_members() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while super::members(root).len() < 2 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let members = super::members(root);
        assert_eq!(members.len(), 2, "{members:?}");
        for pid in members {
            slurm_k8s_posix::kill(pid, 9).unwrap();
        }
        child.wait().unwrap();
    }
}
