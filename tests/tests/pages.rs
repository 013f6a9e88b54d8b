//! Pages whose lines each name a test; no testbed is needed.
#![allow(missing_docs, clippy::unwrap_used)]

/// Every one of them.
const PAGES: &[&str] = &["docs/threat-model.md"];

#[test]
fn every_line_names_a_test_that_exists() {
    let faults: Vec<_> = PAGES.iter().flat_map(|page| e2e::pages::faults(page)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_texts_of_errors_are_those_of_the_sources() {
    let checkout = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = checkout.join("docs/reference/errors.md");
    let text = e2e::error_texts::page(&checkout);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &text).unwrap();
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        there == text,
        "docs/reference/errors.md is not what the sources say: UPDATE=1 cargo test -p e2e --test pages"
    );
    // That they are read at all.
    assert!(text.lines().filter(|line| line.starts_with("| `` ")).count() > 100, "{text}");
}
