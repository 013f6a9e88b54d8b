//! Pages that name tests: each line of their tables names at least one, and each that is named exists.

use std::path::Path;

/// What is wrong with a page of the checkout: one line each.
#[must_use]
pub fn faults(page: &str) -> Vec<String> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(text) = std::fs::read_to_string(checkout.join(page)) else { return vec![format!("{page} is not there")] };
    let rows = text.lines().zip(1..).filter(|(line, _)| line.starts_with('|'));
    let mut faults = Vec::new();
    // A table's first two lines are its head.
    let mut last = 0;
    let mut head = 0;
    for (line, number) in rows {
        head = if number == last + 1 { head + 1 } else { 1 };
        last = number;
        let named: Vec<_> = tests(line).collect();
        if head > 2 && named.is_empty() {
            faults.push(format!("{page}:{number} names no test"));
        }
        faults.extend(
            named
                .iter()
                .filter(|(file, name)| !has(&checkout.join(file), name))
                .map(|(file, name)| format!("{page}:{number}: there is no test {name} in {file}")),
        );
    }
    if last == 0 {
        faults.push(format!("{page} has no table"));
    }
    faults
}

/// What stands as `` `file.rs::name` `` in a line.
fn tests(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = line.split('`').skip(1).step_by(2);
    code.filter_map(|word| word.split_once(".rs::").map(|(file, name)| (&word[..file.len() + 3], name)))
}

/// Whether the file has a test of this name.
fn has(file: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let function = format!("fn {name}(");
    let mut lines = text.lines().map(str::trim);
    // Other attributes may stand between the mark and the function.
    while lines.any(|line| ["#[test]", "#[tokio::test]"].contains(&line)) {
        if lines
            .find(|line| line.contains("fn "))
            .is_some_and(|line| line.trim_start_matches("async ").starts_with(&function))
        {
            return true;
        }
    }
    false
}
