//! runc's command line, as far as it concerns us.

use std::ffi::OsString;
use std::path::PathBuf;

/// One call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The bundle, if this call creates a container.
    pub create: Option<PathBuf>,
    /// The file that describes the process, if this call starts one in a container.
    pub exec: Option<PathBuf>,
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
        match command.as_str() {
            "create" | "run" | "restore" => {
                call.create = Some(value(words, "--bundle", "-b").map_or_else(|| ".".into(), PathBuf::from));
            }
            "exec" => call.exec = value(words, "--process", "-p").map(PathBuf::from),
            _ => {}
        }
        call
    }
}

/// The last value of an option, as runc takes it.
fn value(mut words: impl Iterator<Item = String>, long: &str, short: &str) -> Option<String> {
    let mut found = None;
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value.to_owned());
        } else if word == long || word == short {
            found = words.next().or(found);
        }
    }
    found
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
        assert_eq!(call, Call { create: Some("/b".into()), log: Some("/b/log.json".into()), ..Call::default() });
        assert_eq!(of("--root create start ID").create, None);
        assert_eq!(
            of("--log=/l create ID"),
            Call { create: Some(".".into()), log: Some("/l".into()), ..Call::default() }
        );
        assert_eq!(of("state create"), Call::default());
        let exec = of("--log /b/log.json exec --process /tmp/p --detach --pid-file /b/x.pid ID");
        assert_eq!(exec, Call { exec: Some("/tmp/p".into()), log: Some("/b/log.json".into()), ..Call::default() });
        assert_eq!(of("exec -t ID sh -c x").exec, None);
    }
}
