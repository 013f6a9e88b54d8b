//! All that is wrong at present, in the log when it begins and when it ends.

use std::collections::BTreeMap;

use super::trouble::Trouble;
use super::work::WorkError;
use crate::journal::Journal;
use crate::report;

/// The troubles.
pub struct Troubles<'a> {
    journal: &'a Journal,
    /// Slurm is away: nothing is taken.
    pub slurm: Trouble,
    /// With taking files: none is taken for a while.
    pub taking: Trouble,
    /// With claims, each of which waits by itself.
    claims: Trouble,
    /// With anything else, which stops nothing.
    aside: BTreeMap<&'static str, Trouble>,
    /// How many there were.
    pub count: u64,
}

impl<'a> Troubles<'a> {
    /// None yet.
    pub fn new(journal: &'a Journal) -> Self {
        let (slurm, taking, claims) = Default::default();
        Self { journal, slurm, taking, claims, aside: BTreeMap::new(), count: 0 }
    }

    /// Something that stops no file failed, and is tried again.
    pub fn aside(&mut self, what: &'static str, error: &dyn std::error::Error) {
        self.count += 1;
        let text = report::chain(error);
        let line = self.aside.entry(what).or_default().met(&text, &text);
        self.tell(line);
    }

    /// It did not fail.
    pub fn well(&mut self, what: &'static str) {
        let line = self.aside.remove(what).and_then(|mut trouble| trouble.over(&format!("{what}: it works again")));
        self.tell(line);
    }

    /// A file could not be taken.
    pub fn not_taken(&mut self, error: &WorkError) {
        self.count += 1;
        let line = self.taking.met(&error.what(), &report::chain(error));
        self.tell(line);
    }

    /// A file was taken.
    pub fn taken(&mut self) {
        let line = self.taking.over("files can be taken again");
        self.tell(line);
    }

    /// A claim could not be gone on with.
    pub fn claim(&mut self, error: &WorkError) {
        self.count += 1;
        let text = report::chain(error);
        let line = if error.is_slurms() { self.slurm.met(&text, &text) } else { self.claims.met(&error.what(), &text) };
        self.tell(line);
    }

    /// A claim has come to its end; `others` are left that have failed.
    pub fn done(&mut self, others: bool) {
        let line = self.slurm.over("Slurm takes jobs again");
        self.tell(line);
        let line = if others { None } else { self.claims.over("what has failed is done") };
        self.tell(line);
    }

    /// Whether something of the site's keeps files from their end.
    pub fn any(&self) -> bool {
        [&self.slurm, &self.taking, &self.claims].into_iter().chain(self.aside.values()).any(Trouble::is_on)
    }

    fn tell(&self, line: impl IntoIterator<Item = String>) {
        line.into_iter().for_each(|line| self.journal.line(&line));
    }
}
