//! What the link of the SPANK plugin needs.

fn main() {
    // Slurm closes its plugins with dlclose: code of ours may then still be on a stack.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
