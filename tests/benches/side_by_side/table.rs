//! Markdown that can be read as it stands.

/// A table with aligned columns: the first to the left, the others to the right unless they are `words`.
pub fn table(heading: &[&str], rows: &[Vec<String>], words: bool) -> String {
    let heading: Vec<String> = heading.iter().map(|text| (*text).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&heading]).filter_map(|row| row.get(column));
        cells.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let left = |column: usize| words || column == 0;
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, text)| {
            let width = width(column);
            if left(column) { format!(" {text:<width$} |") } else { format!(" {text:>width$} |") }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = |column: usize| {
        let dashes = "-".repeat(width(column));
        if left(column) { format!("-{dashes}-|") } else { format!("-{dashes}:|") }
    };
    let rules = (0..heading.len()).map(rule).collect::<String>();
    format!("{}|{rules}\n{}", line(&heading), rows.iter().map(line).collect::<String>())
}

/// A figure with about three digits.
pub fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if (value - value.round()).abs() < 1e-9 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Text in lines of at most 120 characters.
pub fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 120 => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
