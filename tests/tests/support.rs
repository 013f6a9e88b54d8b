//! The support matrix claims what `make test` runs; no testbed is needed.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

use e2e::support::{self, Runs};

#[test]
fn the_support_matrix_says_what_runs() {
    let runs = Runs::promised();
    assert_eq!(runs.versions().collect::<Vec<_>>(), ["22.05", "24.11", "26.05"]);
    if std::env::var_os("UPDATE").is_some() {
        let programs = runs.programs().unwrap_or_else(|error| panic!("{error}"));
        support::write(&support::page(&format!("\n{programs}\n{}", runs.table())).unwrap()).unwrap();
    }
    let page = support::present();
    for version in runs.versions() {
        assert!(page.contains(&format!("\n| {version}.")), "{} has no Slurm {version}", support::PAGE);
    }
    let how = "after `make e2e` and `make versions`: UPDATE=1 cargo test -p e2e --test support";
    assert!(page.ends_with(&runs.table()), "{} is not what the Makefile runs; {how}", support::PAGE);
}
