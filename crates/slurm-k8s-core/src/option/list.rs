//! Lists in one value: items with commas between them, parts with another mark; a backslash takes the next byte as it is.

/// Splits at each `mark` that has no backslash in front, and keeps the backslashes.
pub fn split(text: &[u8], mark: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == mark {
            parts.push(Vec::new());
            continue;
        }
        let Some(part) = parts.last_mut() else { break };
        part.push(byte);
        if byte == b'\\' {
            part.extend(bytes.next());
        }
    }
    parts
}

/// Takes the backslashes off.
pub fn plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'\\' { bytes.next().unwrap_or(b'\\') } else { byte });
    }
    out
}

/// The text with a backslash before each of the marks and before each backslash.
pub fn escaped(text: &[u8], marks: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if *byte == b'\\' || marks.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5)) {
            let text = items.iter().map(|item| escaped(item, b",")).collect::<Vec<_>>().join(&b',');
            let back: Vec<_> = split(&text, b',').iter().map(|part| plain(part)).collect();
            prop_assert_eq!(back, items);
        }
    }
}
