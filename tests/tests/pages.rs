//! Pages whose lines each name a test; no testbed is needed.
#![allow(missing_docs)]

/// Every one of them.
const PAGES: &[&str] = &["docs/threat-model.md"];

#[test]
fn every_line_names_a_test_that_exists() {
    let faults: Vec<_> = PAGES.iter().flat_map(|page| e2e::pages::faults(page)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
