//! Showing a user's bytes in a message: one line, whatever they are.

use std::fmt::Write as _;

/// The longest value that a message repeats, in characters.
const LONGEST: usize = 200;

/// The value in double quotes; control characters, quotes and bytes that are not UTF-8 are escaped.
#[must_use]
pub fn quoted(value: &[u8]) -> String {
    let mut text = String::from("\"");
    let mut count = 0;
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            count += 1;
            if count > LONGEST {
                return text + "…\"";
            }
            // escape_debug keeps printable characters of every script; quotes in single quotes need no mark here.
            match c {
                '\'' => text.push('\''),
                c => text.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            count += 1;
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

/// The nearest of `known` to a mistyped word, if one is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_one_line() {
        for (value, shown) in [
            (&b"plain"[..], "\"plain\""),
            (b"two\nlines", "\"two\\nlines\""),
            (b"\x1b[31mred", "\"\\u{1b}[31mred\""),
            (b"say \"hi\"", "\"say \\\"hi\\\"\""),
            (b"it's", "\"it's\""),
            (b"\xff\xfe", "\"\\xff\\xfe\""),
            ("일".as_bytes(), "\"일\""),
        ] {
            assert_eq!(quoted(value), shown);
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quoted(&[b'x'; 5000]).chars().count(), LONGEST + 3);
    }

    #[test]
    fn the_nearest_word_is_found_only_if_near() {
        let known = ["namespace", "kubeconfig", "node_name"];
        assert_eq!(nearest("namspace", known), Some("namespace"));
        assert_eq!(nearest("kube_config", known), Some("kubeconfig"));
        assert_eq!(nearest("zzz", known), None);
    }
}
