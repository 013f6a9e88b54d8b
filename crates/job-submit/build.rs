//! What the link of the plugin needs.

fn main() {
    // slurmctld closes its plugins with dlclose: code of ours may then still be on a stack.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
