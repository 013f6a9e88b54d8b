//! Findings for people and for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use slurm_k8s_core::finding::{Finding, Severity};

use super::Report;
use crate::style::Style;

/// The version of the JSON document; fields may be added without a new one.
const VERSION: u32 = 1;

/// `FILE:LINE:COLUMN: error: CAUSE` for each finding, and its hint below it.
pub fn text(reports: &[Report], style: Style) {
    print(&reports.iter().map(|report| lines(report, style)).collect::<String>());
}

/// One document for all.
pub fn json(reports: &[Report]) {
    print(&document(reports));
}

/// A reader who has seen enough may go.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The findings, as [`text`] prints them.
pub fn lines(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let place = finding.place.map_or(String::new(), |place| format!(":{place}"));
        let severity = finding.kind.severity;
        let file = style.bold(&format!("{}{place}:", report.file));
        let _ = writeln!(text, "{file} {} {}", style.severity(severity), finding.cause);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "  {} {hint}", style.hint());
        }
    }
    text
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    file: &'a str,
    images: &'a [String],
    errors: usize,
    warnings: usize,
    findings: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    severity: &'static str,
    line: Option<u32>,
    column: Option<u32>,
    cause: &'a str,
    hint: Option<&'a str>,
}

fn document(reports: &[Report]) -> String {
    let entries = reports.iter().map(|report| Entry {
        file: &report.file,
        images: &report.images,
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        findings: report.findings.iter().map(Row::of).collect(),
    });
    let document = Document { version: VERSION, files: entries.collect() };
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

impl<'a> Row<'a> {
    fn of(finding: &'a Finding) -> Self {
        let (line, column) = finding.place.map(|place| (place.line, place.column)).unzip();
        Self {
            kind: finding.kind.id,
            severity: finding.kind.severity.word(),
            line,
            column,
            cause: &finding.cause,
            hint: finding.hint.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use slurm_k8s_core::{Place, finding};

    use super::*;

    fn report() -> Report {
        let at = |kind, place, cause: &str, hint: Option<&str>| Finding {
            kind,
            place,
            cause: cause.into(),
            hint: hint.map(str::to_owned),
        };
        let findings = vec![
            at(finding::LINE, Some(Place { line: 3, column: 1 }), "there is no #K8S_X", Some("did \"you\" mean it?")),
            at(finding::NO_SLURM, None, "Slurm does not answer", None),
        ];
        Report { file: "job.sh".into(), findings, images: vec!["a/b:1".into()] }
    }

    #[test]
    fn people_read_lines_as_compilers_write_them() {
        let plain = "job.sh:3:1: error: there is no #K8S_X\n  hint: did \"you\" mean it?\njob.sh: note: Slurm does not answer\n";
        assert_eq!(lines(&report(), Style::Plain), plain);
        let coloured = lines(&report(), Style::Colours);
        assert!(coloured.starts_with("\x1b[1mjob.sh:3:1:\x1b[0m \x1b[1;31merror:\x1b[0m there is"), "{coloured:?}");
    }

    #[test]
    fn programs_read_json() {
        let expected = serde_json::json!({
            "version": 1,
            "files": [{
                "file": "job.sh",
                "images": ["a/b:1"],
                "errors": 1,
                "warnings": 0,
                "findings": [
                    {"kind": "line", "severity": "error", "line": 3, "column": 1, "cause": "there is no #K8S_X",
                     "hint": "did \"you\" mean it?"},
                    {"kind": "no-slurm", "severity": "note", "line": null, "column": null,
                     "cause": "Slurm does not answer", "hint": null},
                ],
            }],
        });
        let written = document(&[report()]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), Some(expected), "{written}");
    }
}
