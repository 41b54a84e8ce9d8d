//! The result of a search: a table, the settings found, and charts of the trials.

mod charts;

use crate::report::escape;
use crate::{Result, output};
use foretaste_bench::results;
use foretaste_data::atomic;
use foretaste_hpo::{State, Study, Trial};
use std::fmt::Write;
use std::path::Path;

/// The outcome of a search.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Tuned {
    /// The model in tables.
    pub title: String,
    /// The metric in tables.
    pub metric: String,
    /// The default settings' figure over the validation rows.
    pub default: Option<f64>,
    /// Their figure over the test rows, trained on all others.
    pub default_test: Option<f64>,
    /// The best trial's figure over the validation rows.
    pub best: Option<f64>,
    /// Its figure over the test rows, trained on all others.
    pub best_test: Option<f64>,
    /// The settings with the shares of variance they explain.
    pub importance: Vec<(String, f64)>,
    /// The best settings as TOML.
    pub settings: Option<String>,
    /// Seconds of all trials together.
    pub seconds: f64,
    /// All trials.
    pub trials: Vec<Trial>,
}

impl Tuned {
    /// Number of trials that ended in a state.
    fn count(&self, state: State) -> usize {
        self.trials.iter().filter(|t| t.state == state).count()
    }

    /// The outcome as text.
    #[must_use]
    pub fn text(&self) -> String {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
        let mut text = format!(
            "{}: {} trials ({} complete, {} pruned, {} failed), {:.0} s\n\n",
            self.title,
            self.trials.len(),
            self.count(State::Complete),
            self.count(State::Pruned),
            self.count(State::Failed),
            self.seconds
        );
        let _ = writeln!(text, "| {0} | validation rows | test rows |\n|---|---|---|", self.metric);
        let _ = writeln!(text, "| defaults | {} | {} |", figure(self.default), figure(self.default_test));
        let _ = writeln!(text, "| tuned | {} | {} |", figure(self.best), figure(self.best_test));
        if !self.importance.is_empty() {
            let shares: Vec<String> = self
                .importance
                .iter()
                .take(6)
                .map(|(name, share)| format!("{name} {:.0} %", 100.0 * share))
                .collect();
            let _ = writeln!(
                text,
                "\nshare of the variance that each setting explains by itself: {}",
                shares.join(", ")
            );
        }
        if let Some(settings) = &self.settings {
            let _ = write!(text, "\nthe settings found, to give with --set or keep:\n\n{settings}");
        }
        text
    }
}

/// Writes `tuned.json`, `table.md`, `settings.toml`, the charts and `report.html` into `folder`.
///
/// # Errors
/// [`crate::CliError`] where a chart cannot be drawn or a file cannot be written.
pub fn write(tuned: &Tuned, study: &Study, folder: &Path) -> Result<()> {
    let command = output::command_line();
    atomic::write(&folder.join("tuned.json"), &results::json(tuned)?)?;
    let text = tuned.text();
    atomic::write(&folder.join("table.md"), format!("`{command}`\n\n{text}").as_bytes())?;
    if let Some(settings) = &tuned.settings {
        atomic::write(&folder.join("settings.toml"), settings.as_bytes())?;
    }
    let charts = charts::all(tuned, study, folder)?;
    let figures: String =
        charts.iter().map(|svg| format!("<figure>{}</figure>\n", svg.trim_start())).collect();
    let head = format!("Tuning {}", tuned.title);
    let page = crate::report::page(&head, &command, &format!("<pre>{}</pre>\n{figures}", escape(&text)));
    atomic::write(&folder.join("report.html"), page.as_bytes())?;
    Ok(())
}
