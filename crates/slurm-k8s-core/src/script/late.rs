//! Directives that come too late.

use memchr::memmem;

use super::LineError;
use super::directive::{MARK, find, split_key};
use super::line::Lines;
use crate::Place;

/// No more are told.
const MOST: usize = 20;

/// The `#K8S_` lines after the first command, where nothing reads them: perhaps by mistake, perhaps as text that the
/// script writes into another one. Reads the whole script.
#[must_use]
pub fn late(script: &[u8]) -> Vec<(Place, LineError)> {
    let (text, body) = Lines::of(script).into_body();
    let mut found = Vec::new();
    let (mut line, mut counted) = (body, 0);
    for at in memmem::find_iter(text, b"\n#K8S_") {
        // The line that begins after this newline.
        line += memchr::memchr_iter(b'\n', text.get(counted..=at).unwrap_or_default()).count();
        counted = at + 1;
        let (key, rest) = split_key(text.get(at + 1 + MARK.len()..).unwrap_or_default());
        if let Some(option) = find(key).filter(|_| rest.starts_with(b"=")) {
            found.push((Place::new(line, 1), LineError::Late { name: option.directive(), body }));
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}
