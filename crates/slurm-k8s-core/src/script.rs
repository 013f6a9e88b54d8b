//! A batch script's text.

/// Whether there is a command, or only comments and blank lines.
#[must_use]
pub fn has_body(script: &[u8]) -> bool {
    script.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).any(|line| !line.is_empty() && !line.starts_with(b"#"))
}
