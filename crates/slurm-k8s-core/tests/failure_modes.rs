//! `docs/failure-modes.md` names a test for each of its lines: the tests are there, and no test of a fault is left out.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use slurm_k8s_core::exit_code;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/failure-modes.md")).unwrap()
}

/// `FILE::NAME` of each end-to-end test.
fn tests() -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join("tests/tests")).unwrap().map(|entry| entry.unwrap().path());
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.flat_map(|path| {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let after = text.split("#[test]\n").skip(1).map(str::to_owned).collect::<Vec<_>>();
        let name =
            |text: &String| text.trim_start().strip_prefix("fn ")?.split_once('(').map(|(name, _)| name.to_owned());
        after.iter().filter_map(name).map(|name| format!("{file}::{name}")).collect::<Vec<_>>()
    })
    .collect()
}

/// Whether there is a test `FILE::NAME`, or `PATH.rs::NAME` in a crate.
fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    let Some((path, name)) = name.split_once(".rs::") else { return tests.contains(name) };
    let text = std::fs::read_to_string(root().join(format!("{path}.rs"))).unwrap_or_default();
    text.split("#[test]\n").skip(1).any(|after| after.trim_start().starts_with(&format!("fn {name}(")))
}

/// What stands between backquotes and has the form of a test's name.
fn named(page: &str) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::")).map(str::to_owned).collect()
}

#[test]
fn each_named_test_exists_and_each_line_names_one() {
    let (page, tests) = (page(), tests());
    let absent: Vec<_> = named(&page).into_iter().filter(|name| !exists(name, &tests)).collect();
    assert!(absent.is_empty(), "no such test: {absent:?}");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    for row in rows {
        assert!(!named(row).is_empty(), "no test proves this: {row}");
    }
}

#[test]
fn no_test_of_a_fault_is_left_out() {
    let named = named(&page());
    let faults = tests().into_iter().filter(|name| name.starts_with("faults"));
    let absent: Vec<_> = faults.filter(|name| !named.contains(name)).collect();
    assert!(absent.is_empty(), "not on the page: {absent:?}");
}

#[test]
fn the_codes_to_requeue_are_never_the_users_to_mend() {
    let page = page();
    let codes = page.lines().find_map(|line| line.strip_prefix("RequeueExit=")).unwrap();
    for code in codes.split(',') {
        let row = exit_code::find(code.parse().unwrap()).unwrap();
        assert!(!row.blame.contains(&exit_code::Blame::User), "{code}");
    }
}
