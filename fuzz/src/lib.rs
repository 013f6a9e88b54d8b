//! One function for each thing that reads what a user, an image or a peer can write. Each takes any bytes, and fails
//! only if a promise is broken; not to panic is the least of them.
//!
//! Two ways to run them: `tests/bounded.rs` does it for a few seconds with any compiler, as a part of `make unit`;
//! libFuzzer does it for as long as one likes (README.md).

mod link;
mod text;

pub use link::{link_end, link_engine, seeds};
pub use text::{accounts, config, grant, image, mounts, multi_prog, options, script, variables};

/// A target.
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "link_engine", run: link_engine },
    Target { name: "link_end", run: link_end },
    Target { name: "options", run: options },
    Target { name: "mounts", run: mounts },
    Target { name: "variables", run: variables },
    Target { name: "config", run: config },
    Target { name: "image", run: image },
    Target { name: "multi_prog", run: multi_prog },
    Target { name: "grant", run: grant },
    Target { name: "accounts", run: accounts },
    Target { name: "script", run: script },
];
