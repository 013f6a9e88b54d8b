//! `docs/support.md`: what runs on what. Which test files run is the Makefile's to say; that they passed, and with
//! which programs, comes from the logs of `make e2e`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The page, from the checkout's root.
pub const PAGE: &str = "docs/support.md";
const BEGIN: &str = "<!-- made by `UPDATE=1 cargo test -p e2e --test support` -->\n";
/// These need no testbed.
const WITHOUT: &[&str] = &["pages", "support"];
/// What of the testbed's status the page shows: a column's head, a host, and what is on it.
const SHOWN: &[(&str, &str, &str)] = &[
    ("Slurm", "ctl", "slurmctld"),
    ("containerd on node1", "node1", "containerd"),
    ("on node2", "node2", "containerd"),
    ("Kubernetes", "ctl", "kube-apiserver"),
    ("how Slurm tracks processes", "nodes", "tracking"),
];

/// A file of the checkout.
fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(below)
}

/// Which test files run on which version of Slurm, as the Makefile says.
#[derive(Debug)]
pub struct Runs(BTreeMap<String, BTreeSet<String>>);

impl Runs {
    /// Reads it.
    #[must_use]
    pub fn promised() -> Self {
        let makefile = fs::read_to_string(path("Makefile")).unwrap_or_default();
        let words = |name: &str| -> BTreeSet<String> {
            let value = makefile.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" := "));
            value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let entries = fs::read_dir(path("tests/tests")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()));
        let all: BTreeSet<String> = names.filter(|name| !WITHOUT.contains(&name.as_str())).collect();
        let first = words("SLURM").into_iter().map(|version| (version, all.clone()));
        Self(first.chain(words("OTHERS").into_iter().map(|version| (version, words("ON_EACH")))).collect())
    }

    /// The versions.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A line for each test file, a column for each version.
    #[must_use]
    pub fn table(&self) -> String {
        let heads: String = self.versions().map(|version| format!(" Slurm {version} |")).collect();
        let mut text = format!("| test file |{heads}\n|---|{}\n", "---|".repeat(self.0.len()));
        for name in self.0.values().flatten().collect::<BTreeSet<_>>() {
            let mark = |files: &BTreeSet<String>| if files.contains(name) { " ✓ |" } else { " |" };
            let _ = writeln!(text, "| `{name}` |{}", self.0.values().map(mark).collect::<String>());
        }
        text
    }

    /// A line for each version with what it ran with; an error names the log that does not bear the claims out.
    ///
    /// # Errors
    /// Where a log is missing or old, or shows another end than success.
    pub fn programs(&self) -> Result<String, String> {
        let heads: String = SHOWN.iter().map(|(head, ..)| format!(" {head} |")).collect();
        let mut text = format!("|{heads}\n|{}\n", "---|".repeat(SHOWN.len()));
        for (version, files) in &self.0 {
            let name = format!("target/e2e/{version}.log");
            let log =
                fs::read_to_string(path(&name)).map_err(|_| format!("run `make e2e SLURM={version}`: no {name}"))?;
            let passed = passed(&log);
            if let Some(missing) = files.iter().find(|file| !passed.contains(file.as_str())) {
                return Err(format!("{missing} has not passed in {name}"));
            }
            text += "|";
            for (head, host, what) in SHOWN {
                let found = status(&log, host, what).ok_or_else(|| format!("{name} does not tell of {head}"))?;
                let _ = write!(text, " {found} |");
            }
            text += "\n";
        }
        Ok(text)
    }
}

/// The test files that passed, by cargo's lines.
fn passed(log: &str) -> BTreeSet<&str> {
    let mut present = "";
    let mut passed = BTreeSet::new();
    for line in log.lines().map(str::trim) {
        if let Some((name, _)) = line.strip_prefix("Running tests/").and_then(|rest| rest.split_once(".rs")) {
            present = name;
        } else if line.starts_with("test result: ok.") {
            passed.insert(present);
        }
    }
    passed
}

/// What `cargo testbed status` found: its lines are host, what, `ready` and the rest.
fn status<'a>(log: &'a str, host: &str, what: &str) -> Option<&'a str> {
    let found = log.lines().find_map(|line| {
        let rest = line.strip_prefix(host)?.trim_start().strip_prefix(what)?;
        Some(rest.trim_start().strip_prefix("ready")?.trim())
    })?;
    // The tracking's reason comes behind a colon.
    found.trim_start_matches("slurm-wlm ").split(':').next()
}

/// The page with these tables in place of the former.
///
/// # Errors
/// Where the page has no place for them.
pub fn page(tables: &str) -> Result<String, String> {
    let text = fs::read_to_string(path(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let (before, _) = text.split_once(BEGIN).ok_or_else(|| format!("{PAGE} has no line {BEGIN}"))?;
    Ok(format!("{before}{BEGIN}{tables}"))
}

/// Writes the page.
///
/// # Errors
/// Where it can't be written.
pub fn write(text: &str) -> Result<(), String> {
    fs::write(path(PAGE), text).map_err(|error| format!("{PAGE}: {error}"))
}

/// The page as it is.
#[must_use]
pub fn present() -> String {
    fs::read_to_string(path(PAGE)).unwrap_or_default()
}
