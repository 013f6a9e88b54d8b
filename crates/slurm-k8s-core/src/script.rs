//! The head of a batch script: what stands before its first command. Its `#K8S_` lines are options, by the rules that
//! sbatch has for `#SBATCH` lines (`_opt_batch_script` in Slurm's `src/sbatch/opt.c`).
//!
//! - A line belongs to the head if it is blank or its first mark is `#`; the first other line ends the head.
//! - A directive begins at the line's first byte. Its value ends at the first blank; quotes of both kinds keep blanks in
//!   it, a backslash keeps the next byte as it is, and `#` begins a comment.
//! - After `#SBATCH hetjob` the lines are those of the job's next component.
//!
//! Scripts are bytes. Only the head is read, each byte of it once.

pub mod amount;
mod directive;
mod error;
pub mod form;
mod late;
mod line;
pub mod request;
pub mod sbatch;
mod word;

pub use directive::Directive;
pub use error::LineError;
pub use late::late;
pub use line::{Line, LineKind, Lines};
pub use word::Word;

use crate::Place;

/// No script has more; a hostile one costs slurmctld no more than that.
pub const MOST_DIRECTIVES: usize = 200;

/// The `#K8S_` lines of one component of a job, and what is wrong with them as lines.
#[derive(Debug, Clone, Default)]
pub struct Head<'a> {
    /// The lines that name an option.
    pub directives: Vec<Directive<'a>>,
    /// What is wrong with the others.
    pub faults: Vec<(Place, LineError)>,
    /// The line of the first command; none if there is no command.
    pub body: Option<usize>,
}

/// Reads the head, as far as it is that of this component; of all but heterogeneous jobs it is 0.
#[must_use]
pub fn head(script: &[u8], component: usize) -> Head<'_> {
    let mut head = Head::default();
    let mut lines = Lines::of(script);
    for line in lines.by_ref() {
        if line.component != component || line.kind != LineKind::Comment {
            continue;
        }
        match Directive::read(&line) {
            None => continue,
            Some(Ok(directive)) => head.directives.push(directive),
            Some(Err(fault)) => head.faults.push(fault),
        }
        if head.directives.len() + head.faults.len() > MOST_DIRECTIVES {
            head.faults.push((Place::new(line.number, 1), LineError::TooMany));
            break;
        }
    }
    head.body = lines.find_body();
    head
}

/// Slurm takes no more (`MAX_HET_JOB_COMPS`).
const MOST_COMPONENTS: usize = 128;

/// How many components the job has by its script: 1, and one more for each `#SBATCH hetjob`.
#[must_use]
pub fn components(script: &[u8]) -> usize {
    Lines::of(script).map(|line| line.component).max().map_or(1, |last| MOST_COMPONENTS.min(last + 1))
}

/// Whether there is a command, or only comments and blank lines.
#[must_use]
pub fn has_body(script: &[u8]) -> bool {
    Lines::of(script).find_body().is_some()
}

#[cfg(test)]
mod tests;
