//! `docs/reference` says what the tables say. `UPDATE=1 cargo test -p slurm-k8s-core` writes it anew.

mod golden_file;

#[test]
fn the_pages_are_the_tables() {
    for (file, text) in slurm_k8s_core::reference::pages() {
        golden_file::check(&format!("../../docs/reference/{file}"), &text);
    }
}
