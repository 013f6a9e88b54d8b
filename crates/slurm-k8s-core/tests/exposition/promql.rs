//! What a query asks for, as far as its names go.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

/// A metric, and what its labels must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub name: String,
    pub labels: BTreeMap<String, Vec<String>>,
}

/// The selectors of a query, and the labels by which it groups.
#[track_caller]
pub fn read(query: &str) -> (Vec<Selector>, Vec<String>) {
    let mut selectors = Vec::new();
    let mut groups = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_alphabetic()) {
        rest = &rest[at..];
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "by" {
            let (list, after) = rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')).expect(query);
            groups.extend(list.split(", ").map(str::to_owned));
            rest = after;
        } else if word.starts_with("slurm_k8s_") {
            let (matchers, after) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).expect(query);
            let labels = matchers.split(", ").map(|matcher| {
                let (label, value) = matcher.split_once('=').expect(query);
                let value = value.trim_start_matches('~').strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                (label.to_owned(), value.expect(query).split('|').map(str::to_owned).collect())
            });
            selectors.push(Selector { name: word.to_owned(), labels: labels.collect() });
            rest = after;
        }
    }
    (selectors, groups)
}
