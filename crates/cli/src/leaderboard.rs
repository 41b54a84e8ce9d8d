//! The leaderboard of a race: the order of systems, why each stopped, how time was spent, and the winner.

use crate::chart::{self, Mark, Panel};
use crate::report::{self, escape};
use crate::{Result, output};
use foretaste_automl::{Metric, Standing, Stopped, Winner};
use foretaste_bench::results;
use foretaste_data::{Histories, atomic, rng};
use foretaste_hpo::State;
use rand::RngExt;
use std::fmt::Write;
use std::path::Path;

/// One system.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Line {
    /// Name in tables.
    pub title: String,
    /// Its best trial's figure over the validation rows.
    pub value: Option<f64>,
    /// The interval of 95 % of 500 bootstrap draws of users.
    pub interval: Option<(f64, f64)>,
    /// The figure of its own settings.
    pub default: Option<f64>,
    /// Numbers of complete trials and of trials ended early.
    pub trials: (usize, usize),
    /// Seconds of all its trials.
    pub seconds: f64,
    /// Seconds of the best trial's training.
    pub train_seconds: Option<f64>,
    /// Why it stopped; `None` if only the time ran out.
    pub stopped: Option<Stopped>,
    /// The share of its passes that the budget allowed, if that was not all.
    pub shortened: Option<f64>,
    /// The best trial's settings.
    pub settings: Option<String>,
    /// The best trial's figure over the test rows, trained on all others; only where all are tested.
    pub test: Option<f64>,
}

/// The result of a race.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Leaderboard {
    /// The metric in tables.
    pub metric: String,
    /// Whether lower is better.
    pub minimizes: bool,
    /// All systems, best first.
    pub lines: Vec<Line>,
    /// The figure of each blending method on users that were not used to fit weights.
    pub methods: Vec<(String, f64)>,
    /// The winner.
    pub winner: String,
    /// Systems, trials and weights of the winner.
    pub members: Vec<(String, usize, f64)>,
    /// Its settings as TOML.
    pub settings: String,
    /// Its figure over the test rows, trained on all others.
    pub test: Option<f64>,
    /// Seconds used.
    pub seconds: f64,
    /// Seconds allowed.
    pub budget: f64,
    /// The time line: seconds, system, figure, share of the users.
    pub moments: Vec<(f64, String, f64, f64)>,
}

impl Leaderboard {
    /// The board of a race; `tests` are the entrants' test figures, if they were requested.
    #[must_use]
    pub fn new(
        metric: &Metric,
        standing: &Standing,
        validation: &Histories,
        methods: Vec<(String, f64)>,
        tests: &[Option<f64>],
    ) -> Self {
        let sign = metric.direction.sign();
        let line = |(index, entrant): (usize, &foretaste_automl::Entrant)| {
            let best = standing.kept.iter().find(|kept| kept.entrant == index);
            let ended = |state: State| entrant.trials.iter().filter(|t| t.state == state).count();
            Line {
                title: entrant.candidate.title.clone(),
                value: best.map(|kept| kept.value),
                interval: best
                    .filter(|kept| !kept.predictions.is_empty())
                    .map(|kept| interval(&kept.predictions, validation)),
                default: entrant.trials.first().and_then(|t| t.value),
                trials: (ended(State::Complete), ended(State::Pruned)),
                // A sum of nothing is -0.0.
                seconds: entrant.trials.iter().fold(0.0, |sum, trial| sum + trial.seconds),
                train_seconds: best.map(|kept| kept.seconds),
                stopped: entrant.stopped.clone(),
                shortened: entrant.shortened,
                settings: best.map(|kept| kept.settings.to_toml()),
                test: tests.get(index).copied().flatten(),
            }
        };
        let mut lines: Vec<Line> = standing.entrants.iter().enumerate().map(line).collect();
        lines.sort_by(|a, b| {
            (a.value.unwrap_or(f64::INFINITY * sign) * sign)
                .total_cmp(&(b.value.unwrap_or(f64::INFINITY * sign) * sign))
        });
        let moments = standing
            .moments
            .iter()
            .map(|m| (m.seconds, standing.entrants[m.entrant].candidate.title.clone(), m.value, m.share));
        Self {
            metric: metric.name.clone(),
            minimizes: sign > 0.0,
            lines,
            methods,
            winner: String::new(),
            members: Vec::new(),
            settings: String::new(),
            test: None,
            seconds: standing.seconds,
            budget: 0.0,
            moments: moments.collect(),
        }
    }

    /// Sets the winner.
    pub fn refitted(&mut self, winner: &Winner, budget: f64) {
        self.winner.clone_from(&winner.title);
        self.members.clone_from(&winner.members);
        self.settings = winner.settings.to_toml();
        self.budget = budget;
    }

    /// The board as text.
    #[must_use]
    pub fn text(&self) -> String {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
        let mut head = [
            "system",
            &self.metric,
            "95 % of draws",
            "own settings",
            "trials",
            "pruned",
            "seconds",
            "stopped",
        ]
        .map(str::to_owned)
        .to_vec();
        let tested = self.lines.iter().any(|line| line.test.is_some());
        head.extend(tested.then(|| "test".to_owned()));
        let mut rows = vec![head];
        for line in &self.lines {
            let stopped = match &line.stopped {
                None => "by the budget".to_owned(),
                Some(Stopped::Exhausted) => "nothing left to try".into(),
                Some(Stopped::Behind(why) | Stopped::TooSlow(why) | Stopped::Failed(why)) => why.clone(),
            };
            let title = line.shortened.map_or_else(
                || line.title.clone(),
                |share| format!("{}, {:.0} % of its passes", line.title, 100.0 * share),
            );
            let interval =
                line.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.4} to {high:.4}"));
            let counts =
                [line.trials.0.to_string(), line.trials.1.to_string(), format!("{:.1}", line.seconds)];
            let [complete, pruned, seconds] = counts;
            let mut row = vec![
                title,
                figure(line.value),
                interval,
                figure(line.default),
                complete,
                pruned,
                seconds,
                stopped,
            ];
            row.extend(tested.then(|| figure(line.test)));
            rows.push(row);
        }
        let mut text = aligned(&rows);
        if !self.methods.is_empty() {
            let methods: Vec<String> =
                self.methods.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            let _ = writeln!(text, "\nblended, on users not used to fit weights: {}", methods.join(", "));
        }
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(name, trial, weight)| format!("{weight:.3} {name} (trial {trial})"))
            .collect();
        let _ = writeln!(text, "\nwinner: {}: {}", self.winner, members.join(", "));
        if let Some(test) = self.test {
            let _ = writeln!(text, "test {}, trained on all other rows, asked once: {test:.4}", self.metric);
        }
        let _ = writeln!(text, "{:.0} s of {:.0} s", self.seconds, self.budget);
        text
    }
}

/// A Markdown table with aligned columns.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = format!(
        "|{}\n",
        widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>()
    );
    format!("{}{rule}{}", line(&rows[0]), rows[1..].iter().map(line).collect::<String>())
}

/// Where 95 % of 500 draws of users put the RMSE.
fn interval(predictions: &[f32], asked: &Histories) -> (f64, f64) {
    let square = |row: usize| (f64::from(predictions[row]) - f64::from(asked.values()[row])).powi(2);
    let users: Vec<(f64, f64)> = (0..asked.n_users() as u32)
        .map(|user| asked.range(user))
        .filter(|r| !r.is_empty())
        .map(|r| (r.clone().map(square).sum(), r.len() as f64))
        .collect();
    let mut random = rng(0, "leaderboard");
    let mut draws: Vec<f64> = (0..500)
        .map(|_| {
            let (sum, n) = (0..users.len())
                .map(|_| users[random.random_range(0..users.len())])
                .fold((0.0, 0.0), |(sum, n), own| (sum + own.0, n + own.1));
            f64::sqrt(sum / n)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    (draws[12], draws[487])
}

/// Writes `leaderboard.json`, `leaderboard.md`, `settings.toml`, the time line and `report.html` into
/// `folder`.
///
/// # Errors
/// [`crate::CliError`] where a chart cannot be drawn or a file cannot be written.
pub fn write(board: &Leaderboard, standing: &Standing, folder: &Path) -> Result<()> {
    let command = output::command_line();
    atomic::write(&folder.join("leaderboard.json"), &results::json(board)?)?;
    let text = board.text();
    atomic::write(&folder.join("leaderboard.md"), format!("`{command}`\n\n{text}").as_bytes())?;
    atomic::write(&folder.join("settings.toml"), board.settings.as_bytes())?;
    let chart = time_line(board, standing, folder)?;
    let body = format!(
        "<pre>{}</pre>\n<figure>{}</figure>\n<h2>The winner's settings</h2>\n<pre>{}</pre>\n",
        escape(&text),
        chart.trim_start(),
        escape(&board.settings)
    );
    atomic::write(&folder.join("report.html"), report::page("AutoML: the race", &command, &body).as_bytes())?;
    Ok(())
}

/// Every trial at its time, and the best so far.
fn time_line(board: &Leaderboard, standing: &Standing, folder: &Path) -> Result<String> {
    let whole: Vec<&foretaste_automl::Moment> = standing.moments.iter().filter(|m| m.share >= 1.0).collect();
    if whole.len() < 2 {
        return Ok(String::new());
    }
    let sign = if board.minimizes { 1.0 } else { -1.0 };
    let mut values: Vec<f64> = whole.iter().map(|m| m.value).collect();
    values.sort_by(|a, b| (a * sign).total_cmp(&(b * sign)));
    let (best, worst) = (values[0], values[(values.len() - 1) * 8 / 10]);
    let room = (worst - best).abs().max(1e-6) * 0.1;
    let range = (best.min(worst) - room, best.max(worst) + room);
    let mut lowest = f64::INFINITY;
    let line = whole.iter().map(|m| {
        lowest = lowest.min(m.value * sign);
        (m.seconds, (lowest * sign).clamp(range.0, range.1))
    });
    let line = line.collect();
    let points = whole.iter().map(|m| {
        (m.seconds, m.value.clamp(range.0, range.1), ((m.value - best) / (worst - best)).clamp(0.0, 1.0))
    });
    let panel = Panel {
        title: "The race: each trial on all rows, and the best so far".into(),
        x: "seconds".into(),
        y: board.metric.clone(),
        y_range: Some(range),
        marks: vec![Mark::Line(line, 0.0, 3), Mark::Points(points.collect())],
        ..Panel::default()
    };
    chart::panels(folder, "time-line", &[panel], 1)
}
