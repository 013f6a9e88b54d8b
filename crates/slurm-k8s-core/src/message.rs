//! What a task prints when it cannot run in its Pod, or when nobody knows how it ended.

use serde::{Deserialize, Serialize};

pub mod refuse;

pub use refuse::MESSAGES;

/// The longest message, in characters: what Kubernetes and the container runtime say may be a page.
const LONGEST: usize = 500;

/// Why a task fails: its last words and its exit code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The task's exit code: one of [`crate::exit_code`].
    pub code: u8,
    /// One line, without `spank-k8s: `.
    pub message: String,
    /// How to mend it; one line, without `hint: `.
    pub hint: Option<String>,
}

impl Refusal {
    /// Of a text that may have been made elsewhere.
    #[must_use]
    pub fn new(code: u8, message: &str, hint: Option<&str>) -> Self {
        Self { code, message: one_line(message), hint: hint.map(one_line) }
    }

    /// With the hint that an error has of its own.
    #[must_use]
    pub fn hinted(self, hint: Option<&str>) -> Self {
        Self { hint: hint.map(one_line).or(self.hint), ..self }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// The task's exit code.
    pub code: u8,
    /// When it is said, in a sentence.
    pub when: &'static str,
    /// The text; what is in braces is filled in.
    pub text: &'static str,
    /// How to mend it.
    pub hint: Option<&'static str>,
}

/// For a terminal: one line, no control characters, not a page long.
#[must_use]
pub fn one_line(text: &str) -> String {
    let text = text.trim().trim_end_matches(':');
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code;

    #[test]
    fn each_has_a_documented_code_and_nothing_that_a_terminal_would_obey() {
        for message in MESSAGES {
            assert!(exit_code::find(message.code).is_some(), "{message:?}");
            assert!(message.when.ends_with('.') && !message.text.ends_with('.'), "{message:?}");
        }
        assert!(MESSAGES.is_sorted_by_key(|message| message.code));
        let refusal = refuse::start_error("a\nb\x1b[31m");
        assert_eq!(refusal.message, "the container runtime could not start the container: a b [31m");
        assert_eq!(refuse::start_error("x".repeat(1000)).message.chars().count(), LONGEST);
    }
}
