//! What goes to standard error.

use std::error::Error;
use std::io::Write as _;

/// One line, and a hint if there is one. A closed standard error must not end the work.
pub fn error(error: &dyn Error, hint: Option<&str>) {
    note(&chain(error));
    if let Some(hint) = hint {
        let _ = writeln!(std::io::stderr(), "hint: {hint}");
    }
}

/// One line.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "slurm-k8s: {}", text.replace('\n', " "));
}

/// An error with its causes. Some libraries name their cause again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        let repeats = error.source().is_some_and(|cause| more.contains(&cause.to_string()));
        if !repeats && !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
