//! The markdown of the tables' texts, as roff: code is bold, links are their words.

use clap_mangen::roff::{Inline, Roff, bold};

/// As it stands.
pub fn roman(text: &str) -> Inline {
    clap_mangen::roff::roman(text)
}

/// A paragraph.
pub fn paragraph(page: &mut Roff, markdown: &str) {
    page.control("PP", []);
    page.text(inline(markdown));
}

/// What is explained, and the explanation under it.
pub fn entry(page: &mut Roff, what: &str, markdown: &str) {
    page.control("TP", []);
    page.text([bold(what)]);
    page.text(inline(markdown));
}

/// More about the last entry.
pub fn more(page: &mut Roff, markdown: &str) {
    page.control("IP", []);
    page.text(inline(markdown));
}

fn inline(markdown: &str) -> Vec<Inline> {
    let parts = markdown.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(&without_links(part)) }).collect()
}

/// `[words](address)` as `words`.
fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    match rest.split_once("](").and_then(|(words, rest)| Some((words, rest.split_once(')')?.1))) {
        Some((words, after)) => format!("{before}{words}{}", without_links(after)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_bold_and_links_are_words() {
        let mut page = Roff::new();
        paragraph(&mut page, "Take `a-b`, see [the page](x.md) and [others](y.md), [not this].");
        let text = page.to_roff();
        assert!(text.ends_with("Take \\fBa\\-b\\fR, see the page and others, [not this].\n"), "{text}");
    }
}
