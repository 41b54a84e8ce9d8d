//! Ratings in standard units, for models whose settings assume a scale.
//!
//! Step sizes, penalties and initial deviations are chosen in stars of MovieLens 1M. A model that is
//! sensitive to them is trained on ratings with that mean and deviation, whatever the log's scale, and its
//! predictions are moved back: ratings `a r + b` give predictions `a p + b`.

use super::tensors::{NamedTensor, Tensors};
use crate::model::{BoxedModel, RatingModel, Reading, Recommender, Trained};
use crate::{EpochReport, FitContext, Fitted, ModelSettings, Progress, Result, UserState};
use foretaste_data::{Histories, History};

/// Mean and deviation of MovieLens 1M's ratings, on which the settings' defaults were chosen.
const STARS: (f64, f64) = (3.581_564, 1.117_101);

/// Standard values are multiples of this, so that the bits of a log's unit are no noise in them.
const GRAIN: f64 = 1.0 / 16_384.0;

/// A log's unit: `value = offset + scale * standard`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    offset: f64,
    scale: f64,
}

impl Unit {
    /// The unit of the training rows; rows of one value have the deviation of stars.
    fn of(train: &Histories) -> Self {
        let n = train.len().max(1) as f64;
        let values = || train.values().iter().map(|value| f64::from(*value));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        let scale = if deviation > 1e-9 * mean.abs() { deviation / STARS.1 } else { 1.0 };
        Self { offset: mean - scale * STARS.0, scale }
    }

    fn standard(self, value: f32) -> f32 {
        let standard = (f64::from(value) - self.offset) / self.scale;
        ((standard / GRAIN).round() * GRAIN) as f32
    }

    fn value(self, standard: f32) -> f32 {
        (self.offset + self.scale * f64::from(standard)) as f32
    }

    /// A report's errors in the log's unit.
    fn report(self, report: &EpochReport) -> EpochReport {
        EpochReport::new(
            report.epoch,
            report.epochs,
            report.train_error * self.scale,
            report.validation_error.map(|error| error * self.scale),
        )
    }
}

/// Trains `settings` in standard units by `fit`.
pub(crate) fn fit(
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
    fit: impl Fn(&Histories, Option<&Histories>, &FitContext) -> Result<Fitted>,
) -> Result<Fitted> {
    // Rows without a rating are the model's to refuse.
    if train.is_empty() || train.values().iter().any(|value| !value.is_finite()) {
        return fit(train, validation, context);
    }
    let unit = Unit::of(train);
    let standard = |rows: &Histories| rows.with_values(|value| unit.standard(value));
    let observer = Observer { of: context.progress, unit };
    let inner = FitContext { progress: &observer, ..*context };
    let fitted = fit(&standard(train), validation.map(standard).as_ref(), &inner)?;
    Ok(Fitted {
        model: Box::new(Standardized { inner: fitted.model, unit }),
        curve: fitted.curve.iter().map(|report| unit.report(report)).collect(),
        best_epoch: fitted.best_epoch,
    })
}

/// A model of standard units around `inner`, if it was saved as one.
pub(crate) fn restored(inner: BoxedModel, tensors: &Tensors) -> Result<BoxedModel> {
    if !tensors.holds(NAME) {
        return Ok(inner);
    }
    let unit = tensors.doubles(NAME, 2)?;
    Ok(Box::new(Standardized { inner, unit: Unit { offset: unit[0], scale: unit[1] } }))
}

/// Name of the unit among a model's tensors.
const NAME: &str = "unit";

struct Observer<'a> {
    of: &'a dyn Progress,
    unit: Unit,
}

impl Progress for Observer<'_> {
    fn epoch(&self, model: &'static str, report: &EpochReport) {
        self.of.epoch(model, &self.unit.report(report));
    }

    fn cancelled(&self) -> bool {
        self.of.cancelled()
    }
}

/// A model that was trained in standard units.
struct Standardized {
    inner: BoxedModel,
    unit: Unit,
}

impl Standardized {
    fn rating(&self) -> &dyn RatingModel {
        self.inner.as_rating().unwrap_or_else(|| unreachable!("only rating models are standardized"))
    }
}

impl Trained for Standardized {
    fn settings(&self) -> ModelSettings {
        self.inner.settings()
    }

    fn parameters(&self) -> usize {
        self.inner.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = self.inner.tensors();
        tensors.push(NamedTensor::doubles(NAME, &[self.unit.offset, self.unit.scale]));
        tensors
    }

    fn as_rating(&self) -> Option<&dyn RatingModel> {
        Some(self)
    }

    fn as_recommender(&self) -> Option<&dyn Recommender> {
        self.inner.as_recommender()
    }

    fn start(&self, user: u32, known: History<'_>) -> UserState {
        let mut space = Vec::new();
        let values = known.values.mapped(&mut space, |value| self.unit.standard(value));
        self.inner.start(user, History { values, ..known })
    }

    fn update(&self, state: &mut UserState, item: u32, value: f32, timestamp: i64) {
        self.inner.update(state, item, self.unit.standard(value), timestamp);
    }

    fn scores(&self, state: &UserState, timestamp: i64, out: &mut [f32]) {
        self.inner.scores(state, timestamp, out);
        out.iter_mut().for_each(|score| *score = self.unit.value(*score));
    }

    fn state_to_bytes(&self, state: &UserState) -> Vec<u8> {
        self.inner.state_to_bytes(state)
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<UserState> {
        self.inner.state_from_bytes(bytes)
    }
}

impl RatingModel for Standardized {
    fn expected(&self, state: &UserState, item: u32, timestamp: i64) -> f32 {
        self.unit.value(self.rating().expected(state, item, timestamp))
    }

    fn variance(&self, state: &UserState, item: u32, timestamp: i64) -> Option<f32> {
        let variance = self.rating().variance(state, item, timestamp)?;
        Some((f64::from(variance) * self.unit.scale * self.unit.scale) as f32)
    }

    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let standard = |value| self.unit.standard(value);
        let known = History { values: known.values.mapped(&mut a, standard), ..known };
        let asked = History { values: asked.values.mapped(&mut b, standard), ..asked };
        self.rating().predict_user(user, known, asked, reading, out);
        out.iter_mut().for_each(|prediction| *prediction = self.unit.value(*prediction));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_hand() {
        let rows = |values: Vec<f32>| {
            let n = values.len();
            Histories::new(vec![0, n], vec![0; n], values, (0..n as i64).collect::<Vec<_>>(), 1)
        };
        let unit = Unit::of(&rows(vec![10.0, 30.0]));
        assert!((unit.scale - 10.0 / 1.117_101).abs() < 1e-12);
        assert!((f64::from(unit.standard(20.0)) - STARS.0).abs() < GRAIN);
        assert!((f64::from(unit.standard(30.0)) - STARS.0 - STARS.1).abs() < GRAIN);
        assert!((unit.value(unit.standard(30.0)) - 30.0).abs() < 1e-2);
        assert!(unit.standard(f32::NAN).is_nan());
        // Stars as they are; rows of one value have a unit, too.
        assert_eq!(Unit::of(&rows(vec![4.0, 4.0])).scale, 1.0);
        let report = unit.report(&EpochReport::new(1, 2, 0.5, None));
        assert!((report.train_error - 0.5 * unit.scale).abs() < 1e-9);
    }
}
