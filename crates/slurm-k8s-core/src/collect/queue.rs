//! The names of jobs that are to be collected: empty files in a folder that every user may write, like the submit folder.
//!
//! A job's step makes one when it starts, so that a job is not forgotten whose node is lost. Anybody may make one for any
//! job: it counts only if its owner is the job's.

/// That folder, in `results.folder`. It belongs to the collector's user, who makes it.
pub const FOLDER: &str = ".collect";
/// In it: what the collector works on.
pub const TAKEN: &str = "taken";

/// The longest name: an array's number, a task's, and what tells two entries apart.
const LONGEST: usize = 64;

/// The job of an entry: `123` or `123_4`, perhaps with a dot and something behind it. None for any other name.
#[must_use]
pub fn job(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST)?;
    let id = name.split_once('.').map_or(name, |(id, _)| id);
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
    let valid = id.split_once('_').map_or_else(|| is_number(id), |(job, task)| is_number(job) && is_number(task));
    (valid && id != "0").then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries() {
        for (name, id) in [("7", "7"), ("7_0", "7_0"), ("7.0f", "7"), ("4294967295_12.x", "4294967295_12")] {
            assert_eq!(job(name.as_bytes()), Some(id), "{name}");
        }
        let long = "7.".to_owned() + &"x".repeat(80);
        for name in ["", "0", "taken", "7_", "_7", "07", "+7", "7-8", "4294967296", "../7", "7\n", &long] {
            assert_eq!(job(name.as_bytes()), None, "{name}");
        }
        assert_eq!(job(b"7\xff"), None);
    }
}
