//! The RMSE table; and tables with all that stands around them, for terminals and as Markdown.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use foretaste_bench::compare::{DRAWS, best_against_each};
use foretaste_bench::published::{self, Published};
use foretaste_bench::results::{ACTIVITY, Cell, Row, rows};
use foretaste_data::Regime;
use foretaste_models::Reading;

/// One table: a data set under one split.
pub struct View<'a> {
    /// The cells, grouped by system.
    pub rows: Vec<Row<'a>>,
    /// What stands above it.
    pub heading: String,
    /// Protocol in one line: regime, leak, seeds, clipping.
    pub protocol: String,
    /// Published figures of the same data set, regime and split.
    pub published: Vec<Published>,
    /// Names in tables by system name.
    titles: Vec<(String, String)>,
    /// Data set, regime and split.
    pub key: (String, Regime, String),
}

/// Cuts `cells` into one view a (data set, regime, split); `titles` gives each system's title,
/// `official` names the data sets that published figures are about.
#[must_use]
pub fn views<'a>(
    cells: &'a [Cell],
    titles: &[(String, String)],
    official: &[&str],
    clip: bool,
) -> Vec<View<'a>> {
    let mut keys: Vec<(String, Regime, String)> = Vec::new();
    for cell in cells {
        let o = &cell.outcome;
        let key = (o.dataset.clone(), o.regime, o.split.clone());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.into_iter()
        .map(|key| {
            let own: Vec<&Cell> = cells.iter().filter(|c| (&c.outcome.dataset, c.outcome.regime, &c.outcome.split) == (&key.0, key.1, &key.2)).collect();
            let rows = rows(&own);
            let first = rows[0].first();
            let seeds = seeds_of(&rows[0]);
            // A cross-validation is one over all its folds.
            let whole = key.2.strip_suffix(" folds").is_none_or(|folds| folds.parse() == Ok(rows[0].cells.len()));
            let cold = 100.0 * first.cold_rows as f64 / first.test_rows.max(1) as f64;
            View {
                heading: format!("{}, {} {}", key.0, key.1, key.2),
                protocol: format!(
                    "{} training and {} test {} (first seed; {cold:.1} % of them cold); {}; {seeds}; {}.",
                    first.train_rows,
                    first.test_rows,
                    if first.figures.is_empty() { "ratings" } else { "interactions" },
                    key.1.leak(),
                    match (first.figures.is_empty(), clip) {
                        (true, true) => "predictions clipped to the rating scale",
                        (true, false) => "predictions not clipped",
                        (false, _) => "full ranking of all trained items, the user's own left out where nobody has an item twice",
                    },
                ),
                published: if official.contains(&key.0.as_str()) && whole { published::matching(&key.0, key.1, &key.2) } else { Vec::new() },
                titles: titles.to_vec(),
                rows,
                key,
            }
        })
        .collect()
}

impl View<'_> {
    /// A system's name in tables.
    #[must_use]
    pub fn title(&self, system: &str) -> String {
        self.titles
            .iter()
            .find(|(name, _)| name == system)
            .map_or_else(|| system.to_owned(), |(_, title)| title.clone())
    }

    /// Column heads, and one line of cells a system.
    #[must_use]
    pub fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut head = vec!["system".to_owned()];
        for reading in Reading::ALL {
            head.push(format!("RMSE {}", reading.name()));
            head.push(format!("MAE {}", reading.name()));
        }
        let simulated = self.rows[0].lowest_rmse().is_some();
        if simulated {
            head.extend(Reading::ALL.map(|reading| format!("above lowest {}", reading.name())));
        }
        head.extend(
            ["published RMSE", "train s", "events/s", "parameters", "peak MB", "device"].map(str::to_owned),
        );
        let lines = self
            .rows
            .iter()
            .map(|row| {
                let mut line = vec![self.title(&row.first().system)];
                for reading in Reading::ALL {
                    line.push(spread(row.errors(reading, |e| e.rmse), row.cells.len()));
                    line.push(spread(row.errors(reading, |e| e.mae), row.cells.len()));
                }
                if simulated {
                    let above = |reading: Reading| {
                        row.errors(reading, |e| e.rmse)
                            .zip(row.lowest_rmse())
                            .map_or("-".into(), |((rmse, _), lowest)| format!("{:.4}", rmse - lowest))
                    };
                    line.extend(Reading::ALL.map(above));
                }
                line.push(
                    self.published
                        .iter()
                        .find(|p| p.system == row.first().system)
                        .map_or("-".into(), |p| p.rmse.to_string()),
                );
                line.push(format!("{:.2}", row.measured(|m| m.train_seconds)));
                line.push(thousands(row.measured(|m| m.events_per_second) as u64));
                line.push(thousands(row.first().parameters as u64));
                line.push(row.peak_memory_mb().map_or("-".into(), thousands));
                line.push(row.cells[0].measured.device.clone());
                line
            })
            .collect();
        (head, lines)
    }

    /// RMSE by the user's activity, and the best system against each: a title, a head and lines each.
    /// A table that would have nothing to say is left out.
    #[must_use]
    pub fn details(&self) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
        let mut details = Vec::new();
        let present: Vec<usize> =
            (0..ACTIVITY.len()).filter(|group| self.rows[0].first().activity_rows[*group] > 0).collect();
        let mut head = vec!["system".to_owned()];
        for reading in Reading::ALL {
            head.extend(present.iter().map(|group| format!("{} {}", ACTIVITY[*group].0, reading.name())));
        }
        let lines = self.rows.iter().map(|row| {
            let mut line = vec![self.title(&row.first().system)];
            for reading in Reading::ALL {
                line.extend(present.iter().map(|group| {
                    match row.errors(reading, |e| e.by_activity[*group].unwrap_or(f64::NAN)) {
                        Some((mean, _)) if mean.is_finite() => format!("{mean:.4}"),
                        _ => "-".into(),
                    }
                }));
            }
            line
        });
        let groups: Vec<String> = present
            .iter()
            .map(|group| {
                let (name, low, high) = ACTIVITY[*group];
                let range =
                    if high == usize::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
                format!("{name}: {range} ({} test ratings)", self.rows[0].first().activity_rows[*group])
            })
            .collect();
        details.push((
            format!("RMSE by the user's number of training ratings; {}", groups.join(", ")),
            head,
            lines.collect(),
        ));

        let best = Reading::ALL.map(|reading| best_against_each(&self.rows, reading));
        if let [Some((frozen, a)), Some((streaming, b))] = best {
            let title = format!(
                "RMSE less that of the best system (frozen: {}, streaming: {}), with 95 % of {DRAWS} draws of users (paired bootstrap)",
                self.title(&frozen),
                self.title(&streaming)
            );
            let head = ["system", "frozen", "streaming"].map(str::to_owned).to_vec();
            let lines = self
                .rows
                .iter()
                .map(|row| row.first().system.as_str())
                .map(|system| vec![self.title(system), compared(&a, system), compared(&b, system)]);
            details.push((title, head, lines.collect()));
        }
        details
    }

    /// What the reader must know besides.
    fn notes(&self) -> Vec<String> {
        let lowest = self.rows[0].lowest_rmse().map(|lowest| {
            format!("Simulated: no model can expect a lower RMSE than {lowest:.4} (each rating's expectation, given all but its own noise); \"above lowest\" is the distance to it.")
        });
        lowest.into_iter().chain(self.leaks()).chain(self.side_by_side()).collect()
    }

    /// What the reader must know of seconds that were measured beside other work.
    #[must_use]
    pub fn side_by_side(&self) -> Option<String> {
        let measured = self.rows.iter().flat_map(|row| &row.cells).map(|cell| &cell.measured);
        let together = measured.filter(|m| m.jobs > 1).max_by_key(|m| m.jobs)?;
        Some(format!(
            "{} trainings ran side by side, each on {} of the threads: seconds are of that. With --jobs 1 each has all threads and its peak memory is measured.",
            together.jobs, together.threads
        ))
    }

    /// What the reader must know of systems that saw more than they should.
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let leaky = self.rows.iter().map(Row::first).filter(|o| o.transductive);
        leaky.map(|o| format!("{} knew who rates what in the test part (not how): a leak, as in the literature it follows.", self.title(&o.system))).collect()
    }

    /// Whether items were ranked, not ratings predicted.
    #[must_use]
    pub fn ranks(&self) -> bool {
        !self.rows[0].first().figures.is_empty()
    }

    /// The view, ready to be shown.
    #[must_use]
    pub fn page(&self) -> Page {
        if self.ranks() {
            return crate::lists::page(self);
        }
        let (head, lines) = self.cells();
        let lowest =
            |name: &String| (name.starts_with("RMSE") || name.starts_with("MAE")).then_some(Best::Lowest);
        Page {
            heading: self.heading.clone(),
            protocol: self.protocol.clone(),
            best: head.iter().map(lowest).collect(),
            head,
            lines,
            notes: self.notes(),
            details: self.details(),
            published: self.published.clone(),
        }
    }
}

/// Which figure of a column is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// The lowest.
    Lowest,
    /// The highest.
    Highest,
}

/// A table with all that stands around it.
pub struct Page {
    /// What stands above it.
    pub heading: String,
    /// Protocol in one line.
    pub protocol: String,
    /// Column heads.
    pub head: Vec<String>,
    /// One line of cells a system.
    pub lines: Vec<Vec<String>>,
    /// For each column which figure is the best; none for columns that are no comparison.
    pub best: Vec<Option<Best>>,
    /// What the reader must know.
    pub notes: Vec<String>,
    /// Further tables: a title, a head and lines each.
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
            drawn(UTF8_FULL_CONDENSED, &self.head, &self.lines)
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

/// A mean over seeds with its deviation, where there are several; a dash where there is no figure.
pub(crate) fn spread(value: Option<(f64, f64)>, seeds: usize) -> String {
    match value {
        None => "-".to_owned(),
        Some((mean, _)) if seeds == 1 => format!("{mean:.4}"),
        Some((mean, deviation)) => format!("{mean:.4} ± {deviation:.4}"),
    }
}

/// What the best system is compared with, as a cell of text.
pub(crate) fn compared(comparisons: &[foretaste_bench::compare::Comparison], system: &str) -> String {
    let show = |c: &foretaste_bench::compare::Comparison| {
        format!("{:+.4} [{:+.4}, {:+.4}]", c.difference, c.interval.0, c.interval.1)
    };
    comparisons.iter().find(|c| c.system == system).map_or("best".to_owned(), show)
}

/// Seeds in words.
pub(crate) fn seeds_of(row: &Row) -> String {
    let seeds: Vec<String> = row.cells.iter().map(|c| c.outcome.seed.to_string()).collect();
    if seeds.len() == 1 {
        format!("seed {}", seeds[0])
    } else {
        format!("mean ± deviation over seeds {}", seeds.join(", "))
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use foretaste_bench::results::sample_cell as cell;

    #[test]
    fn golden_table() {
        let cells =
            [cell("pmf", 0, 0.88), cell("fm", 0, 0.845), cell("pmf", 1, 0.882), cell("fm", 1, 0.8454)];
        let titles =
            [("pmf".to_owned(), "PMF".to_owned()), ("fm".to_owned(), "FM, transductive bags".to_owned())];
        assert!(
            views(&cells, &titles, &[], true)[0].published.is_empty(),
            "a part of a data set has no published figures"
        );
        let views = views(&cells, &titles, &["ml-1m"], true);
        assert_eq!(views.len(), 1);
        insta::assert_snapshot!(views[0].page().terminal());
        insta::assert_snapshot!(views[0].page().markdown());
    }

    #[test]
    fn thousands_by_hand() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
