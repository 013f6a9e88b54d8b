//! What is ready, as a table.

use crate::host::CTL;
use crate::site::Site;
use crate::{database, kubernetes, munge, network, product, slurm};

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which host, by name.
    pub host: String,
    /// What is meant: a daemon, a node, a file system.
    pub what: String,
    /// Whether it is as it should be.
    pub ready: bool,
    /// What was found, in a few words.
    pub found: String,
}

impl Row {
    /// A line of the table.
    pub fn new(host: &str, what: &str, ready: bool, found: impl Into<String>) -> Self {
        Self { host: host.to_owned(), what: what.to_owned(), ready, found: found.into() }
    }
}

/// The table as text.
pub fn table(rows: &[Row]) -> String {
    let width = |column: fn(&Row) -> usize| rows.iter().map(column).max().unwrap_or_default();
    let host = width(|row| row.host.len());
    let what = width(|row| row.what.len());
    rows.iter()
        .map(|row| {
            let ready = if row.ready { "ready" } else { "NOT READY" };
            format!("{:host$}  {:what$}  {ready:9}  {}\n", row.host, row.what, row.found)
        })
        .collect()
}

/// Everything that there should be, and whether it is.
pub fn rows(site: &Site) -> Vec<Row> {
    let mut rows = Vec::new();
    for host in site.hosts() {
        let up = host.keeper().is_some();
        rows.push(Row::new(host.name, "host", up, if up { host.ip.to_string() } else { "no namespaces".to_owned() }));
        if !up {
            continue;
        }
        if !network::plugged(host) {
            rows.push(Row::new(host.name, "network", false, "the cable is out"));
        }
        if !munge::ready(host) {
            rows.push(Row::new(host.name, "munged", false, "does not sign"));
        }
    }
    let database = database::ready();
    rows.push(Row::new(CTL.name, "mariadbd", database, if database { "answers" } else { "does not answer" }));
    rows.extend(slurm::status(site));
    rows.extend(product::status(site));
    rows.extend(kubernetes::status());
    rows
}
