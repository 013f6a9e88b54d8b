//! What is ready, as a table.

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
