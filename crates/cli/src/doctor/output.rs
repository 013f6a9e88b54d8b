//! Findings for people and for programs.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use slurm_k8s_core::exit_code::EXIT_CODES;

use super::{Finding, Host};
use crate::style::Style;

/// The version of the JSON document; fields may be added without a new one.
const VERSION: u32 = 1;

/// `error: CAUSE [ID]`, what it does to jobs, and what mends it.
pub fn text(name: &str, host: Host, found: &[Finding]) {
    let style = Style::of(std::io::stdout().is_terminal());
    print(&lines(name, host, found, style));
}

/// One document.
pub fn json(name: &str, host: Host, found: &[Finding]) {
    let findings = found.iter().map(|finding| Entry {
        kind: finding.kind.id,
        severity: finding.kind.severity.word(),
        cause: &finding.cause,
        exit_code: finding.kind.exit_code,
        mend: finding.kind.mend,
    });
    let document = Document {
        version: VERSION,
        host: name,
        node: host.node,
        controller: host.controller,
        findings: findings.collect(),
    };
    print(&(serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"));
}

fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn lines(name: &str, host: Host, found: &[Finding], style: Style) -> String {
    let mut text = format!("{name} is {}\n", host.what());
    for Finding { kind, cause } in found {
        let severity = style.severity(kind.severity);
        let _ = writeln!(text, "{severity} {cause} [{}]", kind.id);
        if let Some(row) = kind.exit_code.and_then(|code| EXIT_CODES.iter().find(|row| row.code == code)) {
            let _ = writeln!(text, "  jobs in Pods end with {}: {}", row.code, row.title);
        }
        let _ = writeln!(text, "  {} {}", style.hint(), kind.mend);
    }
    if found.is_empty() {
        text.push_str("nothing is wrong\n");
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    host: &'a str,
    node: bool,
    controller: bool,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    kind: &'static str,
    severity: &'static str,
    cause: &'a str,
    exit_code: Option<u8>,
    mend: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use slurm_k8s_core::diagnosis;

    #[test]
    fn a_finding_says_what_it_does_and_what_mends_it() {
        let host = Host { node: true, controller: false };
        let found = [Finding::new(diagnosis::PROGRAM, "/x is not there"), Finding::new(diagnosis::CLOCK, "9 s ahead")];
        let text = lines("node1", host, &found, Style::Plain);
        let expected = "node1 is a compute node\n\
            error: /x is not there [program]\n  jobs in Pods end with 120: ";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\n  hint: install it again"), "{text}");
        assert!(text.contains("\nwarning: 9 s ahead [clock]\n  hint: "), "{text}");
        assert_eq!(
            lines("a", Host { node: false, controller: false }, &[], Style::Plain),
            "a is a login host\nnothing is wrong\n"
        );
    }
}
