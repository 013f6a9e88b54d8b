//! Lines of the head.

use memchr::memchr;

/// sbatch takes both.
const SBATCH: [&[u8]; 2] = [b"#SBATCH", b"#SLURM"];
/// What separates the components of a heterogeneous job; the second is the older word.
const SEPARATORS: [&[u8]; 2] = [b"hetjob", b"packjob"];

/// A line of the head that is not blank.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// It, without the newline.
    pub text: &'a [u8],
    /// Which component of the job it is for.
    pub component: usize,
    /// What it is to sbatch.
    pub kind: LineKind,
}

/// What a line is to sbatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// It has options of sbatch, from this byte on.
    Sbatch {
        /// The first byte of the options.
        at: usize,
    },
    /// A comment; ours are among these.
    Comment,
}

/// The lines of the head, without the blank ones. Ends at the first command.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
    component: usize,
    body: Option<usize>,
}

impl<'a> Lines<'a> {
    /// Of this script.
    #[must_use]
    pub fn of(script: &'a [u8]) -> Self {
        Self { rest: script, number: 0, component: 0, body: None }
    }

    /// Passes over the rest of the head; the line of the first command, if there is one.
    pub fn find_body(mut self) -> Option<usize> {
        self.by_ref().for_each(drop);
        self.body
    }

    /// The text after the head, with the number of its first line.
    pub(super) fn into_body(mut self) -> (&'a [u8], usize) {
        self.by_ref().for_each(drop);
        (self.rest, self.number)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while self.body.is_none() && !self.rest.is_empty() {
            let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at_checked(end)?;
            let first = text.iter().find(|byte| !is_blank(**byte));
            if first.is_some_and(|byte| *byte != b'#') {
                self.number += 1;
                self.body = Some(self.number);
                return None;
            }
            self.rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.number += 1;
            if first.is_some() {
                let kind = self.kind(text);
                return Some(Line { number: self.number, text, component: self.component, kind });
            }
        }
        None
    }
}

impl Lines<'_> {
    fn kind(&mut self, text: &[u8]) -> LineKind {
        let Some(options) = SBATCH.iter().find_map(|magic| text.strip_prefix(*magic)) else {
            return LineKind::Comment;
        };
        let blanks = options.iter().take_while(|byte| is_blank(**byte)).count();
        let word = options.get(blanks..).unwrap_or_default();
        let begins = |separator: &&&[u8]| {
            let (first, next) = (word.get(..separator.len()), word.get(separator.len()));
            first.is_some_and(|first| first.eq_ignore_ascii_case(separator)) && next.is_none_or(|next| is_blank(*next))
        };
        let separator = SEPARATORS.iter().find(begins).map_or(0, |separator| separator.len());
        self.component += usize::from(separator > 0);
        LineKind::Sbatch { at: text.len() - word.len() + separator }
    }
}

/// What `isspace` takes.
pub(super) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}
