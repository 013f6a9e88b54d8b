//! The page with all the tables.

use crate::book::Book;
use crate::goals::Goal;
use crate::parameters::{NUMBERS, Parameters};
use crate::table::{shown, table, wrapped};

/// One table with what one must know to read it.
pub struct Section {
    pub title: &'static str,
    pub how: String,
    /// Of the figures; empty for plain numbers.
    pub unit: &'static str,
    /// The last column's heading, and the label of the row that the others are divided by.
    pub ratio: Option<(&'static str, &'static str)>,
    pub labels: Vec<&'static str>,
}

impl Section {
    fn text(&self, book: &Book) -> String {
        let median = if self.unit.is_empty() { "median".to_owned() } else { format!("median, {}", self.unit) };
        let mut heading = vec!["", &median, "least", "most", "turns"];
        heading.extend(self.ratio.map(|(heading, _)| heading));
        let reference = self.ratio.and_then(|(_, label)| book.get(label).median());
        let row = |label: &&str| {
            let figures = book.get(label);
            let (least, most) = figures.range().unzip();
            let mut row = vec![(*label).to_owned(), shown(figures.median()), shown(least), shown(most)];
            row.push(figures.count().to_string());
            let ratio = figures.median().zip(reference).map(|(median, reference)| median / reference);
            row.extend(self.ratio.map(|_| shown(ratio)));
            row
        };
        let rows: Vec<_> = self.labels.iter().map(row).collect();
        let troubles = self.labels.iter().filter_map(|label| Some((label, book.get(label).trouble()?)));
        let troubles = troubles.map(|(label, trouble)| format!("\n{}\n", wrapped(&format!("{label}: {trouble}."))));
        let (how, troubles) = (wrapped(&self.how), troubles.collect::<String>());
        format!("\n## {}\n\n{how}\n\n{}{troubles}", self.title, table(&heading, &rows, false))
    }
}

/// The whole page.
pub fn page(goals: &[Goal], book: &Book, sections: &[Section], machine: &[[String; 2]], asked: &Parameters) -> String {
    let goals: Vec<_> = goals.iter().map(Goal::row).collect();
    let machine: Vec<_> = machine.iter().map(|row| row.to_vec()).collect();
    let asked: Vec<_> = NUMBERS
        .iter()
        .zip(asked.numbers())
        .map(|((name, _, what), number)| vec![format!("`{name}`"), number.to_string(), (*what).to_owned()])
        .collect();
    let sections = sections.iter().map(|section| section.text(book)).collect::<String>();
    format!(
        "<!-- Made by `make bench` on the testbed. -->
# Performance

One run on one machine, on which all hosts of the testbed live. The contestants took turns, so a slow moment of the
machine met all of them; before each turn the nodes were idle, without jobs and Pods. The images were on the nodes. What
counts is the ratios: times are this machine's.

{goals}{sections}
## The machine

{machine}
## How to repeat it

`make bench` on a machine with the testbed (see [CONTRIBUTING.md](../CONTRIBUTING.md)). How much is measured comes from
the environment; this run had:

{asked}",
        goals = table(&["goal", "measured", "reached"], &goals, true),
        machine = table(&["", ""], &machine, true),
        asked = table(&["variable", "value", "what"], &asked, true),
    )
}
