//! A namespace of each user's own: its name, and what is in it.

#[cfg(feature = "kubernetes")]
mod objects;

#[cfg(feature = "kubernetes")]
pub use objects::{OBJECT, Objects, PART_OF, objects};

use crate::quantity;

/// The namespace of a user. The number, since login names have other characters and change.
#[must_use]
pub fn name(uid: u32) -> String {
    format!("user-{uid}")
}

/// `NAME=QUANTITY` as a pair.
#[must_use]
pub fn quota_entry(text: &str) -> Option<(&str, &str)> {
    let (name, amount) = text.split_once('=')?;
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!name.is_empty() && name.chars().all(valid) && quantity::value(amount).is_some()).then_some((name, amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_name_and_a_quantity() {
        assert_eq!(quota_entry("memory=128Gi"), Some(("memory", "128Gi")));
        for wrong in ["", "cpu", "=1", "cpu=", "cpu=much", "c p=1", "cpu=-1"] {
            assert_eq!(quota_entry(wrong), None, "{wrong}");
        }
    }
}
