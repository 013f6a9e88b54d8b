//! Words as sbatch reads them (`get_argument` in `src/sbatch/opt.c`; an escaped blank as from 24.05 on).

use std::borrow::Cow;

use super::line::is_blank;

/// A word, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// Without its quotes and backslashes.
    pub text: Cow<'a, [u8]>,
    /// The first byte after it.
    pub end: usize,
}

/// The quote that has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmatched(pub u8);

/// Reads the word at the beginning of a text: up to a blank, or to a `#` that begins a comment.
pub fn read(text: &[u8]) -> Result<Word<'_>, Unmatched> {
    let plain = |byte: &u8| !is_blank(*byte) && !matches!(byte, b'\\' | b'"' | b'\'' | b'#' | 0);
    let end = text.iter().take_while(|byte| plain(byte)).count();
    let (start, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    if !rest.first().is_some_and(|byte| matches!(byte, b'\\' | b'"' | b'\'')) {
        return Ok(Word { text: Cow::Borrowed(start), end });
    }
    let mut word = start.to_vec();
    let mut quote = None;
    let mut end = text.len();
    let mut bytes = text.iter().copied().enumerate().skip(start.len());
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some((_, next)) => word.push(next),
                None => break,
            },
            _ if quote == Some(byte) => quote = None,
            _ if quote.is_some() => word.push(byte),
            b'"' | b'\'' => quote = Some(byte),
            _ if is_blank(byte) || byte == b'#' || byte == 0 => {
                end = at;
                break;
            }
            _ => word.push(byte),
        }
    }
    match quote {
        Some(quote) => Err(Unmatched(quote)),
        None => Ok(Word { text: Cow::Owned(word), end }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sbatchs() {
        for (text, word, rest) in [
            ("a b", "a", " b"),
            ("", "", ""),
            ("a#b", "a", "#b"),
            ("a\\#b c", "a#b", " c"),
            ("'a b' c", "a b", " c"),
            ("\"a 'b'\"c d", "a 'b'c", " d"),
            ("x'#'y#", "x#y", "#"),
            ("a\\ b c", "a b", " c"),
            ("a\\\\:b", "a\\:b", ""),
            ("'a\\'b'", "a'b", ""),
            ("a\\", "a", ""),
            ("a\tb", "a", "\tb"),
            ("a\r", "a", "\r"),
            ("''", "", ""),
        ] {
            let read = read(text.as_bytes()).unwrap();
            assert_eq!((&*read.text, &text[read.end..]), (word.as_bytes(), rest), "{text}");
        }
        for (text, quote) in [("'a", b'\''), ("\"a'", b'"'), ("a'b\\'", b'\'')] {
            assert_eq!(read(text.as_bytes()), Err(Unmatched(quote)), "{text}");
        }
    }
}
