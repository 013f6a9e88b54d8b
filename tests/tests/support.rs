//! The support matrix claims what `make test` runs; no testbed is needed.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

use e2e::support::{self, Runs};

const HOW: &str = "after `make e2e` and `make versions`: UPDATE=1 cargo test -p e2e --test support";

#[test]
fn the_support_matrix_says_what_runs() {
    let runs = Runs::promised();
    assert_eq!(runs.versions().collect::<Vec<_>>(), ["22.05", "24.11", "26.05"]);
    let (update, ran) = (std::env::var_os("UPDATE").is_some(), std::env::var_os("RAN").is_some());
    if update || ran {
        // Each file has passed where the table will say so, or this fails.
        let programs = runs.programs().unwrap_or_else(|error| panic!("{error}"));
        if update {
            support::write(&support::page(&format!("\n{programs}\n{}", runs.table())).unwrap()).unwrap();
        } else if !support::present().contains(&programs) {
            // Debian has newer packages since: no fault of this checkout's.
            println!("{} was made with other programs than these; {HOW}\n{programs}", support::PAGE);
        }
    }
    let page = support::present();
    for version in runs.versions() {
        assert!(page.contains(&format!("\n| {version}.")), "{} has no Slurm {version}", support::PAGE);
    }
    assert!(page.ends_with(&runs.table()), "{} is not what the Makefile runs; {HOW}", support::PAGE);
}
