//! What is wrong with a config, with the line.

/// A config that cannot be used. The file's name is the caller's to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("line {line}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says, on one line.
        reason: String,
    },
    /// No such key.
    #[error("line {line}: there is no key {key}")]
    UnknownKey {
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value of the wrong type or form.
    #[error("line {line}: {reason}")]
    Value {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value that cannot work.
    #[error("line {line}: {key}: {shown} {reason}")]
    Invalid {
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: &'static str,
        /// The value, quoted.
        shown: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ConfigError {
    /// How to mend it; one line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } => nearest.map(|key| format!("did you mean {key}?")),
            _ => None,
        }
    }

    /// Not TOML.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        Self::Syntax { line: line_of(text, error.span()), reason: one_line(error) }
    }

    /// TOML with a wrong value.
    pub(super) fn value(text: &str, error: &toml::de::Error) -> Self {
        let line = line_of(text, error.span());
        let key = text.lines().nth(line.saturating_sub(1)).and_then(|text| text.split_once('='));
        let reason = match key {
            Some((key, _)) => format!("{}: {}", key.trim(), one_line(error)),
            None => one_line(error),
        };
        Self::Value { line, reason }
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', "; ")
}

/// The line of a span, from 1.
pub(super) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    1 + before.matches('\n').count()
}
