//! Views: the cells of a run, one view per table.

use foretaste_bench::grid::{Cause, Failure, Run};
use foretaste_bench::published::{self, Published};
use foretaste_bench::results::{Cell, Row, rows};
use foretaste_data::Regime;

/// One table: a data set under one split.
pub struct View<'a> {
    /// The cells, grouped by system; none where all failed.
    pub rows: Vec<Row<'a>>,
    /// The cells that failed.
    pub failures: Vec<&'a Failure>,
    /// The heading.
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

/// Splits a run into one view per (data set, regime, split); `titles` gives each system's title,
/// `official` names the data sets that published figures are about.
#[must_use]
pub fn views<'a>(run: &'a Run, titles: &[(String, String)], official: &[&str], clip: bool) -> Vec<View<'a>> {
    type Key = (String, Regime, String);
    let of_cell = |cell: &Cell| -> Key {
        (cell.outcome.dataset.clone(), cell.outcome.regime, cell.outcome.split.clone())
    };
    let of_failure =
        |failure: &Failure| -> Key { (failure.dataset.clone(), failure.regime, failure.split.clone()) };
    let mut keys: Vec<Key> = Vec::new();
    for key in run.cells.iter().map(of_cell).chain(run.failures.iter().map(of_failure)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.into_iter()
        .map(|key| {
            let own: Vec<&Cell> = run.cells.iter().filter(|cell| of_cell(cell) == key).collect();
            let rows = rows(&own);
            // A cross-validation covers all of its folds.
            let folds = key.2.strip_suffix(" folds");
            let whole = rows
                .first()
                .is_some_and(|row| folds.is_none_or(|folds| folds.parse() == Ok(row.cells.len())));
            View {
                heading: format!("{}, {} {}", key.0, key.1, key.2),
                protocol: rows
                    .iter()
                    .max_by_key(|row| row.cells.len())
                    .map_or_else(|| "No system could be evaluated.".into(), |row| protocol(row, clip)),
                published: if official.contains(&key.0.as_str()) && whole {
                    published::matching(&key.0, key.1, &key.2)
                } else {
                    Vec::new()
                },
                titles: titles.to_vec(),
                failures: run.failures.iter().filter(|failure| of_failure(failure) == key).collect(),
                rows,
                key,
            }
        })
        .collect()
}

/// The protocol in one line, from a row with all seeds.
fn protocol(row: &Row, clip: bool) -> String {
    let first = row.first();
    let cold = 100.0 * first.cold_rows as f64 / first.test_rows.max(1) as f64;
    format!(
        "{} training and {} test {} (first seed; {cold:.1} % of them cold); {}; {}; {}.",
        first.train_rows,
        first.test_rows,
        if first.figures.is_empty() { "ratings" } else { "interactions" },
        first.regime.leak(),
        seeds_of(row),
        match (first.figures.is_empty(), clip) {
            (true, true) => "predictions clipped to the rating scale",
            (true, false) => "predictions not clipped",
            (false, _) =>
                "full ranking of all trained items, the user's own left out where nobody has an item twice",
        }
    )
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

    /// A remark on seconds that were measured beside other work.
    #[must_use]
    pub fn side_by_side(&self) -> Option<String> {
        let measured = self.rows.iter().flat_map(|row| &row.cells).map(|cell| &cell.measured);
        let together = measured.filter(|m| m.jobs > 1).max_by_key(|m| m.jobs)?;
        Some(format!(
            "{} trainings ran in parallel, each on {} of the threads: seconds are of that. With --jobs 1 \
             each has all threads and its peak memory is measured.",
            together.jobs, together.threads
        ))
    }

    /// A remark on systems that saw more than they should.
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let leaky = self.rows.iter().map(Row::first).filter(|o| o.transductive);
        leaky
            .map(|o| {
                format!(
                    "{} knew who rates what in the test part (not how): a leak, as in the \
            literature it follows.",
                    self.title(&o.system)
                )
            })
            .collect()
    }

    /// Whether items were ranked, rather than ratings predicted.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.rows.first().is_some_and(|row| !row.first().figures.is_empty())
    }

    /// The systems without a figure, and why: title and reason.
    #[must_use]
    pub fn failed(&self) -> Vec<(String, String)> {
        let mut failed: Vec<(String, String)> = Vec::new();
        for failure in &self.failures {
            let without = self.rows.iter().all(|row| row.first().system != failure.system);
            if without && failed.iter().all(|(title, _)| *title != failure.title) {
                failed.push((failure.title.clone(), failure.reason.clone()));
            }
        }
        failed
    }

    /// Remarks on systems of which some seeds failed, and on how to change the settings of those that did.
    #[must_use]
    pub fn failure_notes(&self) -> Vec<String> {
        let partly = self.rows.iter().filter_map(|row| {
            let own: Vec<&&Failure> =
                self.failures.iter().filter(|failure| failure.system == row.first().system).collect();
            let seeds: Vec<String> = own.iter().map(|failure| failure.seed.to_string()).collect();
            let first = own.first()?;
            let over = seeds_of(row);
            Some(format!(
                "{}: seed {} failed: {}; its figures are of the others ({over}).",
                first.title,
                seeds.join(", "),
                first.reason
            ))
        });
        let of_settings = |failure: &&&Failure| matches!(failure.cause, Cause::Unserved | Cause::Training);
        let change = self.failures.iter().find(of_settings).map(|failure| {
            let system = &failure.system;
            format!("A setting of a system is changed by --set, for example --set {system}.SETTING=VALUE.")
        });
        partly.chain(change).collect()
    }
}

/// The seeds as text.
pub(crate) fn seeds_of(row: &Row) -> String {
    let seeds: Vec<String> = row.cells.iter().map(|c| c.outcome.seed.to_string()).collect();
    if seeds.len() == 1 {
        format!("seed {}", seeds[0])
    } else {
        format!("mean ± deviation over seeds {}", seeds.join(", "))
    }
}
