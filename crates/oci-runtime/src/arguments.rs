//! runc's command line, as far as it concerns us.

use std::ffi::OsString;
use std::path::PathBuf;

/// One call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The bundle, if this call creates a container.
    pub create: Option<PathBuf>,
    /// Where the runtime's log goes.
    pub log: Option<PathBuf>,
}

/// runc's global options that take a value in the next word.
const WITH_VALUE: &[&str] = &["--log", "--log-format", "--root", "--criu", "--rootless"];

impl Call {
    /// Finds the subcommand and its bundle. A bundle that is not named is the working directory, as for runc.
    pub fn of(words: &[OsString]) -> Self {
        let mut call = Self::default();
        let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
        let command = loop {
            let Some(word) = words.next() else {
                return call;
            };
            if let Some(path) = word.strip_prefix("--log=") {
                call.log = Some(path.into());
            } else if word == "--log" {
                call.log = words.next().map(PathBuf::from);
            } else if WITH_VALUE.contains(&word.as_str()) {
                words.next();
            } else if !word.starts_with('-') {
                break word;
            }
        };
        if command != "create" && command != "run" && command != "restore" {
            return call;
        }
        let mut bundle = PathBuf::from(".");
        while let Some(word) = words.next() {
            if let Some(path) = word.strip_prefix("--bundle=") {
                bundle = path.into();
            } else if word == "--bundle" || word == "-b" {
                bundle = words.next().map_or(bundle, PathBuf::from);
            }
        }
        call.create = Some(bundle);
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Call {
        Call::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn containerds_calls_are_understood() {
        let call = of("--root /run/r --log /b/log.json --log-format json create --bundle /b --pid-file /b/pid ID");
        assert_eq!(call, Call { create: Some("/b".into()), log: Some("/b/log.json".into()) });
        assert_eq!(of("--root create start ID").create, None);
        assert_eq!(of("--log=/l create ID"), Call { create: Some(".".into()), log: Some("/l".into()) });
        assert_eq!(of("state create"), Call::default());
    }
}
