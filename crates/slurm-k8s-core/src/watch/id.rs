//! A submission's own name: it is in the job's comment and in sbatch's command line, so that a job can be found again.

use crate::script::sbatch;

/// What stands in front of it there.
const MARK: &str = "submit-folder:";
/// Slurm takes 1024 bytes.
const COMMENT_LONGEST: usize = 1000;

/// A new one, from the seconds since 1970 as `20261126-030405` and a random number.
#[must_use]
pub fn make(time: &str, random: u64) -> String {
    format!("{time}-{:012x}", random & 0xffff_ffff_ffff)
}

/// Whether a folder's name can be one.
#[must_use]
pub fn is_id(name: &str) -> bool {
    let parts: Vec<_> = name.split('-').collect();
    let digits = |text: &&str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &&str| text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    matches!(parts.as_slice(), [date, time, random] if digits(date, 8) && digits(time, 6) && hex(random))
}

/// The mark by which its job is found.
#[must_use]
pub fn mark(id: &str) -> String {
    format!("{MARK}{id}")
}

/// Whether a job's comment or command line has the mark.
#[must_use]
pub fn has_mark(text: &str, id: &str) -> bool {
    text.contains(&mark(id))
}

/// The job's comment: the user's own, if the script has one, and the mark.
#[must_use]
pub fn comment(script: &[u8], id: &str) -> String {
    let mark = mark(id);
    let Some(own) = option(script, "comment", "com", None).filter(|own| !own.is_empty()) else { return mark };
    let own: String = String::from_utf8_lossy(&own).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let room = COMMENT_LONGEST - mark.len();
    let end = (0..=room.min(own.len())).rev().find(|at| own.is_char_boundary(*at)).unwrap_or(0);
    format!("{} {mark}", own.get(..end).unwrap_or_default())
}

/// Whether the script names its job. sbatch gives one without a name that of its file, which it does not see here.
#[must_use]
pub fn names_job(script: &[u8]) -> bool {
    option(script, "job-name", "j", Some(b'J')).is_some()
}

/// Whether the script sends its job to another cluster, where it is not looked for.
#[must_use]
pub fn names_cluster(script: &[u8]) -> bool {
    option(script, "clusters", "clusters", Some(b'M')).is_some() || option(script, "cluster", "cluster", None).is_some()
}

/// The last value of an option in the script's `#SBATCH` lines; `least` is the shortest beginning of its name that
/// getopt takes for it.
fn option(script: &[u8], name: &str, least: &str, letter: Option<u8>) -> Option<Vec<u8>> {
    let (words, _) = sbatch::arguments(script, 0);
    let mut found = None;
    let mut words = words.iter().map(|word| word.text.as_slice());
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix(b"--") {
            let end = memchr::memchr(b'=', long).unwrap_or(long.len());
            let (written, value) = long.split_at_checked(end)?;
            if name.as_bytes().starts_with(written) && written.starts_with(least.as_bytes()) {
                found = value.get(1..).or_else(|| words.next()).map(<[u8]>::to_vec);
            }
        } else if let (Some(letter), Some(short)) = (letter, word.strip_prefix(b"-"))
            && let Some(value) = short.strip_prefix(&[letter])
        {
            found = if value.is_empty() { words.next() } else { Some(value) }.map(<[u8]>::to_vec);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_users_comment_stays() {
        let of = |line: &str| comment(format!("#!/bin/sh\n#SBATCH {line}\ntrue\n").as_bytes(), "i");
        assert_eq!(of("-n1"), "submit-folder:i");
        assert_eq!(of("--comment='two words' -n1"), "two words submit-folder:i");
        assert_eq!(of("--comment one --comment two"), "two submit-folder:i");
        assert_eq!(of("--comm=short"), "short submit-folder:i");
        assert_eq!(of(&format!("--comment={}", "ㄱ".repeat(2000))).len(), 1001 - 1);
        assert!(has_mark(&of("--comment=a"), "i") && !has_mark(&of("--comment=a"), "j"));
    }

    #[test]
    fn names_and_clusters_are_seen() {
        let script = |line: &str| format!("#!/bin/sh\n#SBATCH {line}\ntrue\n").into_bytes();
        for line in ["-Ja", "-J a", "--job-name=a", "--job-name a", "--job=a"] {
            assert!(names_job(&script(line)), "{line}");
        }
        assert!(!names_job(&script("-n1 --mem=1G")));
        assert!(names_cluster(&script("-M other")) && names_cluster(&script("--clusters=other")));
        assert!(!names_cluster(&script("--cluster-constraint=x")));
    }

    #[test]
    fn ids() {
        let id = make("20261126-030405", u64::MAX);
        assert_eq!(id, "20261126-030405-ffffffffffff");
        assert!(is_id(&id));
        for bad in ["", "..", "20261126-030405-fffffffffffg", "20261126-030405", "2026112-030405-ffffffffffff"] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_script_has_a_comment_that_slurm_takes(text: Vec<u8>, own in "\\PC*") {
            let id = "20261126-030405-ffffffffffff";
            for script in [text, format!("#!/bin/sh\n#SBATCH --comment='{own}'\n").into_bytes()] {
                let comment = comment(&script, id);
                prop_assert!(comment.len() < 1024 && has_mark(&comment, id) && !comment.contains('\n'));
                let _ = (names_job(&script), names_cluster(&script));
            }
        }
    }
}
