//! One `#K8S_` line, and what is nearly one.

use std::borrow::Cow;

use super::LineError;
use super::line::{Line, is_blank};
use super::word::{self, Unmatched};
use crate::Place;
use crate::option::{Kind, OPTIONS, OptionSpec, Origin};
use crate::shown::{nearest, quoted};

/// How a directive begins.
pub(super) const MARK: &[u8] = b"#K8S_";

/// `#K8S_OPTION=VALUE`.
#[derive(Debug, Clone)]
pub struct Directive<'a> {
    /// The option.
    pub option: &'static OptionSpec,
    /// Where the directive begins.
    pub place: Place,
    /// The value, without its quotes and backslashes.
    pub value: Cow<'a, [u8]>,
    /// Where the value begins.
    pub value_place: Place,
}

impl<'a> Directive<'a> {
    /// None if the line is a comment like any other.
    pub(super) fn read(line: &Line<'a>) -> Option<Result<Self, (Place, LineError)>> {
        match line.text.strip_prefix(MARK) {
            Some(rest) => Some(Self::after_mark(line, rest)),
            None => Almost::find(line.text).map(|almost| Err((almost.place(line), almost.into_error()))),
        }
    }

    fn after_mark(line: &Line<'a>, rest: &'a [u8]) -> Result<Self, (Place, LineError)> {
        let (key, rest) = split_key(rest);
        let place = Place::new(line.number, 1);
        let option = find(key).ok_or_else(|| (place, unknown(key)))?;
        let name = option.directive();
        let column = MARK.len() + key.len();
        let at = |offset: usize| Place::new(line.number, column + offset + 1);
        let text = match rest.strip_prefix(b"=") {
            Some(text) if text.first().is_none_or(|byte| !is_blank(*byte)) => text,
            _ => match valued(rest) {
                // `#K8S_IMAGE=` and a comment, or nothing: the option says what is missing.
                None if rest.starts_with(b"=") => &[],
                None => return Err((at(0), LineError::NoValue { name, value: option.value.unwrap_or("yes|no") })),
                Some(value) => return Err((at(0), LineError::NoEquals { name, value })),
            },
        };
        let unmatched = |Unmatched(quote)| (at(1), LineError::Quote { name, quote: char::from(quote) });
        let word = word::read(text).map_err(unmatched)?;
        let after = text.get(word.end..).unwrap_or_default();
        if after.starts_with(b"#") && word.end > 0 {
            return Err((at(1 + word.end), LineError::Cut { name, value: quoted(&word.text), whole: plain(text) }));
        }
        let blanks = after.iter().take_while(|byte| is_blank(**byte)).count();
        match after.get(blanks) {
            None | Some(b'#') => {}
            Some(_) => {
                let more = after.get(blanks..).unwrap_or_default();
                let fault = LineError::More { name, more: quoted(more.trim_ascii()), whole: plain(text) };
                return Err((at(1 + word.end + blanks), fault));
            }
        }
        Ok(Self { option, place, value: word.text, value_place: at(1) })
    }

    /// Where its value was given.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::Script(self.value_place)
    }
}

/// The option of a key.
pub(super) fn find(key: &[u8]) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.directive().as_bytes().strip_prefix(b"K8S_") == Some(key))
}

/// What may be a key, and the rest.
pub(super) fn split_key(text: &[u8]) -> (&[u8], &[u8]) {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = text.iter().take_while(|byte| word(byte)).count();
    text.split_at_checked(length).unwrap_or((text, &[]))
}

fn unknown(key: &[u8]) -> LineError {
    let key = String::from_utf8_lossy(key).chars().take(64).collect::<String>();
    let upper = key.to_ascii_uppercase().replace('-', "_");
    if let Some(option) = find(upper.as_bytes()) {
        return LineError::Spelling { written: format!("#K8S_{key}"), name: option.directive() };
    }
    let off = upper.strip_prefix("NO_").and_then(|name| find(name.as_bytes()));
    if let Some(option) = off.filter(|option| option.kind == Kind::Switch) {
        return LineError::Off { key, name: option.directive() };
    }
    let names = OPTIONS.iter().filter_map(|spec| spec.directive().strip_prefix("K8S_"));
    let nearest = nearest(&upper, names);
    LineError::Unknown { key, nearest }
}

/// The value that stands after something else than a plain `=`; none if there is none.
fn valued(rest: &[u8]) -> Option<String> {
    let text = rest.trim_ascii_start();
    let text = text.strip_prefix(b"=").or_else(|| text.strip_prefix(b":")).unwrap_or(text).trim_ascii();
    (!text.is_empty() && !text.starts_with(b"#")).then(|| plain(text))
}

/// The rest of a line in the quotes that keep it whole where blanks or `#` would end it.
fn plain(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let shown = quoted(text);
    let ends = text.iter().any(|byte| is_blank(*byte) || *byte == b'#');
    if ends && !text.contains(&b'"') && !text.contains(&b'\'') {
        return shown;
    }
    shown.trim_matches('"').to_owned()
}

/// A comment that only misses being a directive by its spelling.
struct Almost {
    written: String,
    column: usize,
    option: &'static OptionSpec,
    comment: bool,
}

impl Almost {
    /// Names of options only: anything else is a comment of somebody's.
    fn find(text: &[u8]) -> Option<Self> {
        let blanks = |text: &[u8]| text.iter().take_while(|byte| is_blank(**byte)).count();
        let indent = blanks(text);
        let after = text.get(indent..)?.strip_prefix(b"#")?;
        let inner = blanks(after);
        let word = after.get(inner..)?;
        if !word.get(..3)?.eq_ignore_ascii_case(b"k8s") || !matches!(word.get(3)?, b'_' | b'-') {
            return None;
        }
        let (key, rest) = split_key(word.get(4..)?);
        if !rest.first().is_none_or(|byte| is_blank(*byte) || matches!(byte, b'=' | b':')) {
            return None;
        }
        let upper: Vec<u8> =
            key.iter().map(|byte| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }).collect();
        let word = word.get(..word.len() - rest.len())?;
        let written = format!("#{}{}", if inner > 0 { " " } else { "" }, String::from_utf8_lossy(word));
        Some(Self { written, column: indent + 1, option: find(&upper)?, comment: indent + inner > 0 })
    }

    fn place(&self, line: &Line<'_>) -> Place {
        Place::new(line.number, self.column)
    }

    fn into_error(self) -> LineError {
        let (written, name) = (self.written, self.option.directive());
        if self.comment { LineError::Comment { written, name } } else { LineError::Spelling { written, name } }
    }
}
