//! What sbatch demands of a script as a whole, before it reads a line of it. Reads all of it.

use memchr::{memchr, memmem};

use crate::Place;

/// What slurmctld takes where `SchedulerParameters` has no `max_script_size`.
const USUAL_LIMIT: usize = 4 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A script that sbatch does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Nothing in it.
    #[error("the script is empty")]
    Empty,
    /// The first line names no interpreter.
    #[error("the first line is not #! and an interpreter; sbatch refuses such a script")]
    Interpreter,
    /// An editor has put a mark before it.
    #[error("a byte order mark stands before #!; sbatch refuses such a script")]
    ByteOrderMark,
    /// A zero byte.
    #[error("there is a byte 0; sbatch refuses such a script")]
    Zero,
    /// Line breaks of DOS.
    #[error("the line ends with \\r\\n, as on Windows; sbatch refuses such a script")]
    LineBreak,
    /// More than Slurm takes.
    #[error("the script has {size} bytes; slurmctld takes {USUAL_LIMIT} unless the site allows more")]
    Large {
        /// Its size.
        size: usize,
    },
}

impl FormError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Interpreter => "begin it with a line such as #!/bin/bash",
            Self::ByteOrderMark => "save it as UTF-8 without a byte order mark: sed -i '1s/^\\xEF\\xBB\\xBF//' FILE",
            Self::Zero => "is it a program and not a script? `sbatch --wrap` runs one",
            Self::LineBreak => "change all its lines with `dos2unix FILE`, or with: sed -i 's/\\r$//' FILE",
            Self::Large { .. } => "keep data in files of their own; max_script_size in slurm.conf is the limit",
        }
    }
}

/// What is wrong, each at its first place.
#[must_use]
pub fn check(script: &[u8]) -> Vec<(Place, FormError)> {
    let mut found = Vec::new();
    let start = Place::new(1, 1);
    if script.iter().all(u8::is_ascii_whitespace) {
        return vec![(start, FormError::Empty)];
    }
    match script.strip_prefix(BYTE_ORDER_MARK) {
        Some(_) => found.push((start, FormError::ByteOrderMark)),
        None if !script.starts_with(b"#!") => found.push((start, FormError::Interpreter)),
        None => {}
    }
    found.extend(memmem::find(script, b"\r\n").map(|at| (place(script, at), FormError::LineBreak)));
    found.extend(memchr(0, script).map(|at| (place(script, at), FormError::Zero)));
    if script.len() > USUAL_LIMIT {
        found.push((start, FormError::Large { size: script.len() }));
    }
    found
}

fn place(script: &[u8], at: usize) -> Place {
    let before = script.get(..at).unwrap_or_default();
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    Place::new(line, at - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sbatch_refuses_is_told_with_its_place() {
        for (script, expected) in [
            (&b"#!/bin/sh\necho\n"[..], vec![]),
            (b"", vec![("1:1", FormError::Empty)]),
            (b" \n\t\n", vec![("1:1", FormError::Empty)]),
            (b"echo\n", vec![("1:1", FormError::Interpreter)]),
            (b"\n#!/bin/sh\n", vec![("1:1", FormError::Interpreter)]),
            (b"\xef\xbb\xbf#!/bin/sh\n", vec![("1:1", FormError::ByteOrderMark)]),
            (b"#!/bin/sh\r\necho\r\n", vec![("1:10", FormError::LineBreak)]),
            (b"#!/bin/sh\necho \rx\n", vec![]),
            (b"#!/bin/sh\nab\0", vec![("2:3", FormError::Zero)]),
        ] {
            let found: Vec<_> = check(script).into_iter().map(|(place, error)| (place.to_string(), error)).collect();
            let expected: Vec<_> = expected.into_iter().map(|(place, error)| (place.to_owned(), error)).collect();
            assert_eq!(found, expected, "{script:?}");
        }
        let large = [b"#!/bin/sh\n".as_slice(), &vec![b'#'; USUAL_LIMIT]].concat();
        assert_eq!(check(&large).len(), 1);
    }
}
