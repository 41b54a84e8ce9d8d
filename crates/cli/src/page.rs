//! A table with its headings and notes, for terminals and as Markdown.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use foretaste_bench::compare::Comparison;
use foretaste_bench::published::Published;

/// Which figures of a column are best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// The lowest.
    Lowest,
    /// The highest.
    Highest,
}

/// A table with its headings and notes.
pub struct Page {
    /// The heading.
    pub heading: String,
    /// Protocol in one line.
    pub protocol: String,
    /// Column heads.
    pub head: Vec<String>,
    /// One line of cells per system.
    pub lines: Vec<Vec<String>>,
    /// Systems without a figure, and why.
    pub failed: Vec<(String, String)>,
    /// For each column which figures are best; `None` for columns without a comparison.
    pub best: Vec<Option<Best>>,
    /// Remarks for the reader.
    pub notes: Vec<String>,
    /// Further tables, each with a title, a head and lines.
    pub details: Vec<(String, Vec<String>, Vec<Vec<String>>)>,
    /// Published figures of the same data set and split.
    pub published: Vec<Published>,
}

impl Page {
    /// The page for a terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.heading,
            self.protocol,
            with_failed(&drawn(UTF8_FULL_CONDENSED, &self.head, &self.lines).to_string(), &self.failed)
        );
        for note in &self.notes {
            text.push_str(&format!("{note}\n"));
        }
        for (title, head, lines) in &self.details {
            text.push_str(&format!("{title}\n{}\n", drawn(UTF8_FULL_CONDENSED, head, lines)));
        }
        if !self.published.is_empty() {
            text.push_str("published on this split (frozen): ");
            text.push_str(
                &self
                    .published
                    .iter()
                    .map(|p| format!("{} {}", p.title, p.rmse))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            text.push('\n');
        }
        text
    }

    /// The page as Markdown, with the sources of published figures.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "## {}\n\n{}\n\n{}\n",
            self.heading,
            self.protocol,
            drawn(ASCII_MARKDOWN, &self.head, &self.lines)
        );
        for (title, reason) in &self.failed {
            text.push_str(&format!("| {title} | failed: {reason} |{}\n", " |".repeat(self.head.len() - 2)));
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        for (title, head, lines) in &self.details {
            text.push_str(&format!("\n{title}\n\n{}\n", drawn(ASCII_MARKDOWN, head, lines)));
        }
        if !self.published.is_empty() {
            text.push_str("\nPublished test RMSE on this split, read frozen:\n\n");
            for p in &self.published {
                let note = if p.note.is_empty() { String::new() } else { format!(" ({})", p.note) };
                text.push_str(&format!("- {} {}: {}{note}\n", p.title, p.rmse, p.source));
            }
        }
        text
    }
}

/// A table of text: the first column to the left, and the last where it holds words.
fn drawn(style: TableStyle, head: &[String], lines: &[Vec<String>]) -> Table {
    let words = head.last().is_some_and(|name| name == "device");
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    table.add_rows(lines);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if let Some(device) = table.column_iter_mut().last().filter(|_| words) {
        device.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// A drawn table with lines for systems that failed before its last border, each across all columns.
fn with_failed(table: &str, failed: &[(String, String)]) -> String {
    let Some((above, border)) = table.rsplit_once('\n').filter(|_| !failed.is_empty()) else {
        return table.to_owned();
    };
    let width = border.chars().count().max(8) - 4;
    let mut text = above.to_owned();
    for (title, reason) in failed {
        for line in wrapped(&format!("{title}: failed: {reason}"), width) {
            text.push_str(&format!("\n│ {line:<width$} │"));
        }
    }
    format!("{text}\n{border}")
}

/// `text` in lines of at most `width` characters, broken between words where there is a blank.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let held = lines.last().map_or(0, |line| line.chars().count());
        if held > 0 && held + 1 + word.len() > width {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.extend([word.into_iter().collect(), String::new()]);
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// A mean over seeds with its deviation, where there are several; a dash where there is no figure.
pub(crate) fn spread(value: Option<(f64, f64)>, seeds: usize) -> String {
    match value {
        None => "-".to_owned(),
        Some((mean, _)) if seeds == 1 => format!("{mean:.4}"),
        Some((mean, deviation)) => format!("{mean:.4} ± {deviation:.4}"),
    }
}

/// A comparison with the best system, as text of a cell.
pub(crate) fn compared(comparisons: &[Comparison], system: &str) -> String {
    let show = |c: &Comparison| format!("{:+.4} [{:+.4}, {:+.4}]", c.difference, c.interval.0, c.interval.1);
    comparisons.iter().find(|c| c.system == system).map_or("best".to_owned(), show)
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
