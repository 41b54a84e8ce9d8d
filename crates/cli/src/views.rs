//! Views: the cells of a run, one view per table.

use foretaste_bench::published::{self, Published};
use foretaste_bench::results::{Cell, Row, rows};
use foretaste_data::Regime;

/// One table: a data set under one split.
pub struct View<'a> {
    /// The cells, grouped by system.
    pub rows: Vec<Row<'a>>,
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

/// Splits `cells` into one view per (data set, regime, split); `titles` gives each system's title,
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
            let own: Vec<&Cell> = cells
                .iter()
                .filter(|c| {
                    (&c.outcome.dataset, c.outcome.regime, &c.outcome.split) == (&key.0, key.1, &key.2)
                })
                .collect();
            let rows = rows(&own);
            let first = rows[0].first();
            let seeds = seeds_of(&rows[0]);
            // A cross-validation covers all of its folds.
            let whole =
                key.2.strip_suffix(" folds").is_none_or(|folds| folds.parse() == Ok(rows[0].cells.len()));
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
                        (false, _) =>
                            "full ranking of all trained items, the user's own left out where \
                            nobody has an item twice",
                    },
                ),
                published: if official.contains(&key.0.as_str()) && whole {
                    published::matching(&key.0, key.1, &key.2)
                } else {
                    Vec::new()
                },
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
        !self.rows[0].first().figures.is_empty()
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
