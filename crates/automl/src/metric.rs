//! The metric that models are compared by.

use crate::{AutomlError, Result};
use foretaste_bench::ranking;
use foretaste_data::Histories;
use foretaste_hpo::Direction;
use foretaste_metrics::rmse;
use foretaste_models::{ModelSettings, Reading, Trained};
use std::sync::Arc;

/// Evaluates a model, given the rows that trained it and those known before, the rows to predict, and
/// their reading.
pub type Judge = Arc<dyn Fn(&dyn Trained, [&Histories; 2], &Histories, Reading) -> f64 + Send + Sync>;

/// A metric with its direction and reading.
#[derive(Clone)]
pub struct Metric {
    /// Its name in tables.
    pub name: String,
    /// Which values are better.
    pub direction: Direction,
    /// How the rows to predict are read.
    pub reading: Reading,
    /// `None` evaluates ratings by RMSE; otherwise the function evaluates.
    judge: Option<Judge>,
}

impl Metric {
    /// Root of the mean squared error of ratings.
    #[must_use]
    pub fn rmse(reading: Reading) -> Self {
        Self { name: "RMSE".into(), direction: Direction::Minimize, reading, judge: None }
    }

    /// The metric `name`: `rmse`, or one of [`ranking::METRICS`] over lists, in any case.
    ///
    /// # Errors
    /// [`AutomlError::Nothing`] for an unknown name, listing the known ones.
    pub fn named(name: &str, reading: Reading) -> Result<Self> {
        if name.eq_ignore_ascii_case("rmse") {
            return Ok(Self::rmse(reading));
        }
        let known: Vec<String> = ranking::METRICS.iter().map(|m| m.name()).collect();
        let found = known.iter().position(|metric| metric.eq_ignore_ascii_case(name));
        let at = found.ok_or_else(|| {
            AutomlError::Nothing(format!("unknown metric {name:?}; known are rmse, {}", known.join(", ")))
        })?;
        let judge =
            move |model: &dyn Trained, [train, known]: [&Histories; 2], asked: &Histories, reading| {
                let (figures, _) = ranking::evaluate(model, train, known, asked, reading);
                figures.metrics[at].1
            };
        Ok(Self::new(&known[at], Direction::Maximize, reading, Arc::new(judge)))
    }

    /// The name of a model's default metric: RMSE for models of ratings, else the
    /// headline of the ranking tables.
    #[must_use]
    pub fn usual(settings: &ModelSettings) -> String {
        if settings.predicts_ratings() { "rmse".into() } else { ranking::HEADLINE.name() }
    }

    /// A custom metric.
    #[must_use]
    pub fn new(name: &str, direction: Direction, reading: Reading, judge: Judge) -> Self {
        Self { name: name.into(), direction, reading, judge: Some(judge) }
    }

    /// Whether it evaluates ratings, so that predictions can be blended.
    #[must_use]
    pub fn judges_ratings(&self) -> bool {
        self.judge.is_none()
    }

    /// Whether a model can be evaluated by it.
    #[must_use]
    pub fn judges(&self, settings: &ModelSettings) -> bool {
        !self.judges_ratings() || settings.predicts_ratings()
    }

    /// The predictions of `asked`; empty if ratings are not evaluated.
    pub(crate) fn predictions(
        &self,
        model: &dyn Trained,
        known: &Histories,
        asked: &Histories,
    ) -> Option<Vec<f32>> {
        Some(model.as_rating().filter(|_| self.judges_ratings())?.predict(known, asked, self.reading))
    }

    /// The value of a model over the rows `asked`, given the rows that trained it and the rows that are
    /// known (more of them under some splits).
    #[must_use]
    pub fn of(
        &self,
        model: &dyn Trained,
        [train, known]: [&Histories; 2],
        asked: &Histories,
        scale: Option<(f32, f32)>,
    ) -> f64 {
        match &self.judge {
            Some(judge) => judge(model, [train, known], asked, self.reading),
            None => self
                .predictions(model, known, asked)
                .map_or(f64::NAN, |predictions| clipped_rmse(&predictions, asked.values(), scale)),
        }
    }
}

/// RMSE of predictions clipped to the scale.
#[must_use]
pub fn clipped_rmse<'a>(
    predictions: &[f32],
    values: impl IntoIterator<Item = &'a f32>,
    scale: Option<(f32, f32)>,
) -> f64 {
    match scale {
        Some((low, high)) => {
            rmse(&predictions.iter().map(|p| p.clamp(low, high)).collect::<Vec<f32>>(), values)
        }
        None => rmse(predictions, values),
    }
}
