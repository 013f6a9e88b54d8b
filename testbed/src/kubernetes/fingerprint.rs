//! Tells whether something changed. Not for secrets: FNV-1a, the same in every release of Rust.

/// What has been added, in 64 bits.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds one part; parts don't run into each other.
    pub fn add(&mut self, part: &[u8]) {
        let length = part.len().to_le_bytes();
        for byte in length.iter().chain(part) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// As 16 characters.
    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The fingerprint of these parts.
pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut fingerprint = Fingerprint::new();
    parts.into_iter().for_each(|part| fingerprint.add(part));
    fingerprint.text()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of([b"ab".as_slice(), b"c"]), of([b"a".as_slice(), b"bc"]));
        assert_eq!(of([b"ab".as_slice()]), of([b"ab".as_slice()]));
    }
}
