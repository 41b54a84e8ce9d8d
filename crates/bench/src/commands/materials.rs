//! From a data set and a split to what tuning and racing may learn from, and the test rows they may not.

use crate::cli::Search;
use crate::dataset::{self, Dataset};
use crate::machine::Machine;
use crate::output::{self, note};
use crate::ranking::{self, HEADLINE};
use crate::{BenchError, Result, results};
use foretaste_automl::{Candidate, Materials, Metric};
use foretaste_data::{Histories, Parts, SplitRule, atomic};
use foretaste_hpo::Direction;
use foretaste_models::{Device, FitContext, ModelSettings, NoProgress, Progress, Reading, Trained};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a search's arguments name: the data set, its split, and where layers are computed.
pub(super) struct Prepared {
    pub data: Dataset,
    pub rule: SplitRule,
    device: Device,
}

impl Prepared {
    /// Loads what `arguments` name, for a search by `metric`.
    pub fn new(arguments: &Search, metric: &Metric) -> Result<Self> {
        let data = dataset::load(&arguments.dataset, arguments.data.as_deref(), &arguments.common.reading.options()?, arguments.accept_licence)?;
        data.remarks.iter().for_each(|remark| note(remark));
        if metric.judges_ratings() {
            data.table.require_values()?;
        }
        Ok(Self { data, rule: rule(&arguments.regime, arguments.test)?, device: Device::open(&arguments.device)? })
    }

    /// The rows, split.
    pub fn task(&self, arguments: &Search, metric: Metric) -> Result<Task<'_>> {
        Task::new(&self.data, &self.rule, arguments.seed, arguments.validation, metric, &self.device)
    }

    /// Writes `manifest.json`: all that a search of the same outcome needs to be given; `of` is the command's own part.
    pub fn manifest(&self, arguments: &Search, task: &Task, of: &serde_json::Value, folder: &Path) -> Result<()> {
        let manifest = serde_json::json!({
            "format": "foretaste-search/1",
            "version": env!("CARGO_PKG_VERSION"),
            "command": output::command_line(),
            "dataset": { "name": self.data.name, "sha256": self.data.hash, "report": self.data.report, "scale": task.materials.scale },
            "split": { "regime": self.rule.regime(), "rule": self.rule.name(), "seed": arguments.seed, "validation": arguments.validation },
            "rows": { "train": task.materials.train.len(), "judging": task.materials.validation.len(), "test": task.test.len() },
            "metric": task.metric.name,
            "search": of,
            "device": self.device.name(),
            "threads": rayon::current_num_threads(),
            "machine": Machine::here(),
        });
        Ok(atomic::write(&folder.join("manifest.json"), &results::json(&manifest)?)?)
    }

    /// The run's folder, created: the one named, or `runs/COMMAND-DATA-...`.
    pub fn folder(&self, arguments: &Search, command: &str, of: &str) -> Result<PathBuf> {
        let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/{command}-{}-{}-{of}", self.data.name, self.rule.regime())));
        std::fs::create_dir_all(&folder).map_err(|e| BenchError::Usage(format!("{}: cannot create: {e}", folder.display())))?;
        Ok(folder)
    }
}

/// The split that a regime names.
fn rule(regime: &str, test: f64) -> Result<SplitRule> {
    Ok(match regime {
        "random" => SplitRule::HoldOut { test },
        "future" => SplitRule::Cut { test },
        "last-session" => SplitRule::LastSession { gap: 1800 },
        "per-user" => SplitRule::LeaveLast { test: 1 },
        other => return Err(BenchError::Usage(format!("unknown regime {other:?}; known are random, future, per-user, last-session"))),
    })
}

/// A data set split into what trains, what judges, and what tests once at the end.
pub(super) struct Task<'a> {
    pub materials: Materials<'a>,
    pub metric: Metric,
    /// Training and judging rows.
    pub known: Histories,
    pub test: Histories,
    /// Rows that are known at testing and train nothing, under splits that have such.
    given: Histories,
}

impl<'a> Task<'a> {
    /// Splits `data` under `rule` and `seed`; `validation` is the share of the training rows that judges.
    pub fn new(data: &'a Dataset, rule: &SplitRule, seed: u64, validation: f64, metric: Metric, device: &'a Device) -> Result<Self> {
        let Parts { train, validation, test, given } = rule.split(&data.table, seed, validation)?.parts(&data.table);
        if validation.is_empty() {
            return Err(BenchError::Usage(format!("no rows are left to judge by under {}; give a larger --validation", rule.name())));
        }
        let known = train.merged(&validation);
        // Where nobody states the scale, the known ratings show it.
        let shown = || known.values().iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let scale = metric.judges_ratings().then(|| data.scale.unwrap_or_else(shown));
        let materials =
            Materials { train, validation, scale, user_attributes: data.user_attributes.as_ref(), item_attributes: data.item_attributes.as_ref(), device };
        Ok(Self { materials, metric, known, test, given })
    }

    /// Trains settings on all rows that do not test.
    pub fn refit(&self, settings: &ModelSettings, seed: u64, progress: &dyn Progress) -> Result<Box<dyn Trained>> {
        let membership = settings.is_transductive().then(|| self.test.membership());
        let context = FitContext { membership: membership.as_ref(), ..self.materials.context(seed, progress, None) };
        Ok(settings.fit(&self.known, None, &context)?.model)
    }

    /// The figure over the test rows.
    pub fn tested(&self, model: &dyn Trained) -> f64 {
        let with_given = self.known.merged(&self.given);
        self.metric.of(model, [&self.known, &with_given], &self.test, self.materials.scale)
    }

    /// The figure over the test rows of settings trained on all others.
    pub fn test_of(&self, settings: &ModelSettings, seed: u64) -> Result<f64> {
        Ok(self.tested(self.refit(settings, seed, &NoProgress)?.as_ref()))
    }
}

/// The metric `name` under a reading.
pub(super) fn metric(name: &str, reading: Reading) -> Result<Metric> {
    if name.eq_ignore_ascii_case("rmse") {
        return Ok(Metric::rmse(reading));
    }
    let known: Vec<String> = ranking::METRICS.iter().map(|m| m.name()).collect();
    let found = known.iter().position(|metric| metric.eq_ignore_ascii_case(name));
    let at = found.ok_or_else(|| BenchError::Usage(format!("unknown metric {name:?}; known are rmse, {}", known.join(", "))))?;
    let judge = move |model: &dyn Trained, [train, known]: [&Histories; 2], asked: &Histories, reading: Reading| {
        let (figures, _) = ranking::evaluate(model, train, known, asked, reading);
        figures.metrics[at].1
    };
    Ok(Metric::new(&known[at], Direction::Maximize, reading, Arc::new(judge)))
}

/// The metric that is taken where none is named: RMSE for models of ratings, else the ranking table's.
pub(super) fn usual_metric(candidate: &Candidate) -> String {
    if candidate.settings.predicts_ratings() { "rmse".into() } else { HEADLINE.name() }
}

/// `90s`, `20m`, `1h`, or seconds.
pub(super) fn duration(text: &str) -> Result<std::time::Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = digits.trim().parse::<f64>().unwrap_or(f64::NAN) * unit;
    if seconds.is_finite() && seconds > 0.0 && seconds < 1e9 {
        return Ok(std::time::Duration::from_secs_f64(seconds));
    }
    Err(BenchError::Usage(format!("--budget {text}: write a time, for example 90s, 20m or 1h")))
}
