//! Lines as `sha256sum` writes and reads them (coreutils, "md5sum invocation").

/// `<hex>  <path>`; a path with a line break or a backslash is escaped, which a backslash in front tells.
#[must_use]
pub fn line(digest: &[u8], path: &[u8]) -> Vec<u8> {
    let escape = path.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'));
    let mut line = if escape { b"\\".to_vec() } else { Vec::new() };
    line.extend(digest.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
    line.extend(b"  ");
    for byte in path {
        match byte {
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\\' => line.extend(b"\\\\"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_escaped() {
        assert_eq!(line(&[0, 0xab], b"outputs/a b"), b"00ab  outputs/a b\n");
        assert_eq!(line(&[1], b"a\\b\nc"), b"\\01  a\\\\b\\nc\n");
        assert_eq!(line(&[1], b"\xff"), b"01  \xff\n");
    }
}
