//! What was measured: for each label its figures and what went wrong.

use std::collections::BTreeMap;

use crate::run::Missing;

/// The figures of one label.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    values: Vec<f64>,
    failures: Vec<String>,
}

/// All figures, by label.
#[derive(Debug, Default, Clone)]
pub struct Book(BTreeMap<&'static str, Figures>);

/// One way to do the work: what it measures in each turn.
pub struct Contestant<'a> {
    labels: &'static [&'static str],
    turn: Box<dyn FnMut() -> Result<Vec<f64>, Missing> + 'a>,
}

impl<'a> Contestant<'a> {
    /// A turn gives one figure for each label, in their order.
    pub fn new(labels: &'static [&'static str], turn: impl FnMut() -> Result<Vec<f64>, Missing> + 'a) -> Self {
        Self { labels, turn: Box::new(turn) }
    }
}

impl Book {
    /// Lets the contestants take turns. One that has failed twice and never succeeded is not tried again.
    pub fn take_turns(&mut self, what: &str, rounds: u32, mut contestants: Vec<Contestant>) {
        for round in 1..=rounds {
            eprintln!("{what}: round {round} of {rounds}");
            for contestant in &mut contestants {
                if !contestant.labels.iter().all(|label| self.get(label).is_hopeless()) {
                    self.note(contestant.labels, (contestant.turn)());
                }
            }
        }
    }

    /// The figures with this label.
    pub fn get(&self, label: &str) -> Figures {
        self.0.get(label).cloned().unwrap_or_default()
    }

    /// Adds the result of one turn.
    pub fn note(&mut self, labels: &[&'static str], result: Result<Vec<f64>, Missing>) {
        match result {
            Ok(values) => {
                for (label, value) in labels.iter().zip(values) {
                    self.0.entry(label).or_default().values.push(value);
                }
            }
            Err(missing) => {
                eprintln!("  {}: {missing}", labels.join(", "));
                for label in labels {
                    self.0.entry(label).or_default().failures.push(missing.to_string());
                }
            }
        }
    }
}

impl Figures {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The middle one.
    pub fn median(&self) -> Option<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get(values.len().saturating_sub(1) / 2)?;
        Some(f64::midpoint(lower, upper))
    }

    /// The least and the greatest.
    pub fn range(&self) -> Option<(f64, f64)> {
        let least = self.values.iter().copied().min_by(f64::total_cmp)?;
        let greatest = self.values.iter().copied().max_by(f64::total_cmp)?;
        Some((least, greatest))
    }

    /// What went wrong, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        let last = self.failures.last()?;
        Some(match (self.values.len(), self.failures.len()) {
            (0, _) => format!("not measured: {last}"),
            (well, failed) => format!("failed in {failed} of {} turns: {last}", well + failed),
        })
    }

    fn is_hopeless(&self) -> bool {
        self.values.is_empty() && self.failures.len() >= 2
    }
}
