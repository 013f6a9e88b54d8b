//! Names of files: which are taken, and what they are called afterwards. Names are bytes without `/` and 0.

/// Beside a file in `failed`.
pub const REASON: &[u8] = b".reason.txt";
/// Beside a file in `processed`.
pub const RECORD: &[u8] = b".json";
/// What file systems take.
pub const LONGEST: usize = 255;

/// Endings of files that somebody still writes.
const UNFINISHED: &[&[u8]] =
    &[b"~", b".swp", b".swo", b".swx", b".part", b".partial", b".filepart", b".crdownload", b".tmp", b".temp", b".bak"];

/// Whether it is the name of a file that is not meant to be submitted: what editors and copying programs make meanwhile.
#[must_use]
pub fn is_temporary(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with(b".")
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
}

/// A file's new name, and that of what is written about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The file.
    pub file: Vec<u8>,
    /// What is written about it.
    pub note: Vec<u8>,
}

/// In `processed`, by preference; the second one is no other submission's.
#[must_use]
pub fn processed(job: u32, id: &str, name: &[u8]) -> [Pair; 2] {
    [pair(&format!("{job}-"), name, RECORD), pair(&format!("{job}-{id}-"), name, RECORD)]
}

/// In `failed`, by preference; the second one is no other submission's.
#[must_use]
pub fn failed(id: &str, name: &[u8]) -> [Pair; 2] {
    [pair("", name, REASON), pair(&format!("{id}-"), name, REASON)]
}

fn pair(prefix: &str, name: &[u8], ending: &[u8]) -> Pair {
    // No file may be called like another one's note.
    let mark: &[u8] = if name.ends_with(ending) { b"_" } else { b"" };
    let room = LONGEST.saturating_sub(prefix.len() + mark.len() + ending.len());
    let mut file = [prefix.as_bytes(), cut(name, room)].concat();
    if !mark.is_empty() || file.ends_with(ending) {
        file.push(b'_');
    }
    let note = [&file, ending].concat();
    Pair { file, note }
}

/// The beginning, without half a letter at its end.
fn cut(name: &[u8], room: usize) -> &[u8] {
    if name.len() <= room {
        return name;
    }
    let inside = |at: &usize| name.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // Four bytes at most; what is not UTF-8 is cut anywhere.
    let end = (room.saturating_sub(3)..=room).rev().find(|at| !inside(at)).unwrap_or(room);
    name.get(..end).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_still_written_is_left() {
        for name in [".job.sh", "job.sh~", ".job.sh.swp", "job.sh.part", "JOB.SH.TMP", "#job.sh#", ".nfs0001", "a.bak"]
        {
            assert!(is_temporary(name.as_bytes()), "{name}");
        }
        for name in ["job.sh", "-x", "tmp", "party", "a~b", "#job", "job.sh.tmp.sh", "\n", "일.sh"] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn usual_names() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let [first, second] = processed(1007, "20261126-1", b"job.sh");
        assert_eq!((text(&first.file).as_str(), text(&first.note).as_str()), ("1007-job.sh", "1007-job.sh.json"));
        assert_eq!(text(&second.file), "1007-20261126-1-job.sh");
        let [first, second] = failed("20261126-1", b"job.sh");
        assert_eq!((text(&first.file).as_str(), text(&first.note).as_str()), ("job.sh", "job.sh.reason.txt"));
        assert_eq!(text(&second.note), "20261126-1-job.sh.reason.txt");
        assert_eq!(text(&failed("i", b"a.reason.txt")[0].file), "a.reason.txt_");
        assert_eq!(text(&failed("i", "ㄱ".repeat(85).as_bytes())[0].file), "ㄱ".repeat(81));
    }

    proptest! {
        #[test]
        fn every_name_has_a_place(name in proptest::collection::vec(any::<u8>(), 1..=255), job: u32) {
            let id = "20261126-030405-0123456789ab";
            for pair in processed(job, id, &name).into_iter().chain(failed(id, &name)) {
                prop_assert!(pair.note.len() <= LONGEST && !pair.file.is_empty());
                prop_assert!(!pair.file.ends_with(RECORD) || !pair.note.ends_with(RECORD));
                prop_assert!(!pair.file.ends_with(REASON) || !pair.note.ends_with(REASON));
            }
        }

        #[test]
        fn text_stays_text(name in "\\PC{1,80}") {
            prop_assume!(name.len() <= LONGEST);
            prop_assert!(String::from_utf8(failed("i", name.as_bytes())[1].file.clone()).is_ok());
        }
    }
}
