//! From a data set and a split to what tuning and racing may learn from, and the test rows they may not.

use crate::dataset::Dataset;
use crate::ranking::{self, HEADLINE};
use crate::{BenchError, Result};
use foretaste_automl::{Candidate, Materials, Metric};
use foretaste_data::{Histories, Parts, SplitRule};
use foretaste_hpo::Direction;
use foretaste_models::{Device, FitContext, ModelSettings, NoProgress, Progress, Reading, Trained};
use std::sync::Arc;

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
