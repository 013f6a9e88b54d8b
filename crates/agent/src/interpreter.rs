//! Who runs a file that is not started as a program of its own: `--k8s-script` names one, which needs no x bit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const ENOEXEC: i32 = 8;
/// As much of a file as the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD: u64 = 256;

/// The words in front of the file's name; none for a program.
pub fn find(file: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
    let path = Path::new(OsStr::from_bytes(file));
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    let unknown = || Error::from_raw_os_error(ENOEXEC);
    match head.strip_prefix(b"#!") {
        Some(line) => of_line(line).ok_or_else(unknown),
        None if head.starts_with(b"\x7fELF") => Ok(Vec::new()),
        None if path.extension().is_some_and(|extension| extension == "py") => Ok(vec![b"python3".to_vec()]),
        None => Err(unknown()),
    }
}

/// execve(2): the interpreter, and all the rest of the line as one argument.
fn of_line(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = text.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (program, argument) = line.split_at_checked(end)?;
    let words = [program, argument.trim_ascii_start()];
    (!program.is_empty()).then(|| words.into_iter().filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &[u8]) -> Result<String, i32> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        find(file.as_os_str().as_bytes())
            .map(|words| String::from_utf8(words.join(&b'|')).unwrap())
            .map_err(|error| error.raw_os_error().unwrap())
    }

    #[test]
    fn its_first_line_says_it_then_its_name() {
        for (name, text, expected) in [
            ("a", "#!/bin/sh\n", Ok("/bin/sh")),
            ("a", "#! /usr/bin/env python3 -u \nx", Ok("/usr/bin/env|python3 -u")),
            ("a.py", "#!/bin/sh", Ok("/bin/sh")),
            ("a.py", "import os\n", Ok("python3")),
            ("a.py", "", Ok("python3")),
            ("a", "\x7fELF\x02", Ok("")),
            ("a", "#!\n", Err(ENOEXEC)),
            ("a", "echo hi\n", Err(ENOEXEC)),
            ("a", "", Err(ENOEXEC)),
        ] {
            assert_eq!(found(name, text.as_bytes()), expected.map(str::to_owned), "{name} {text:?}");
        }
        assert_eq!(find(b"/no/such").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
