//! One split of a log for a selection: training rows, validation rows, and test rows, which are
//! used once, at the end.

use crate::{AutomlError, Metric, Result, SelectionData};
use foretaste_data::{Attributes, Histories, Interactions, Parts, SplitRule};
use foretaste_models::{BoxedModel, Device, FitContext, ModelSettings, NoProgress, Progress, Trained};

/// A log with its attributes and rating scale.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// The interactions.
    pub table: &'a Interactions,
    /// Smallest and largest rating; `None` if they are not stated.
    pub scale: Option<(f32, f32)>,
    /// What is known of users.
    pub user_attributes: Option<&'a Attributes>,
    /// What is known of items.
    pub item_attributes: Option<&'a Attributes>,
}

/// A log split into training, validation and test rows; the test rows are used once, at the end.
pub struct Task<'a> {
    /// The training and validation rows.
    pub data: SelectionData<'a>,
    /// The metric.
    pub metric: Metric,
    /// Training and validation rows.
    pub known: Histories,
    /// Test rows.
    pub test: Histories,
    /// Rows that are known when testing but not trained on, under splits that have such rows.
    given: Histories,
}

impl<'a> Task<'a> {
    /// Splits `log` under `rule` and `seed`; `validation` is the share of the training rows that validates.
    ///
    /// # Errors
    /// Those of splitting; [`AutomlError::Nothing`] if no validation row is left.
    pub fn new(
        log: Log<'a>,
        rule: &SplitRule,
        seed: u64,
        validation: f64,
        metric: Metric,
        device: &'a Device,
    ) -> Result<Self> {
        let Parts { train, validation, test, given } =
            rule.split(log.table, seed, validation)?.parts(log.table);
        if validation.is_empty() {
            let reason = format!("no validation rows are left under {}; take a larger share", rule.name());
            return Err(AutomlError::Nothing(reason));
        }
        let known = train.merged(&validation);
        // Without a stated scale, the range of the known ratings is used.
        let shown = || {
            let ends = (f32::MAX, f32::MIN);
            known.values().iter().fold(ends, |(low, high), v| (low.min(*v), high.max(*v)))
        };
        let scale = metric.judges_ratings().then(|| log.scale.unwrap_or_else(shown));
        let Log { user_attributes, item_attributes, .. } = log;
        let data = SelectionData { train, validation, scale, user_attributes, item_attributes, device };
        Ok(Self { data, metric, known, test, given })
    }

    /// How much longer training on all known rows takes than on the training rows.
    pub(crate) fn growth(&self) -> f64 {
        self.known.len() as f64 / self.data.train.len() as f64
    }

    /// Trains settings on all rows but the test rows.
    ///
    /// # Errors
    /// Those of training.
    pub fn refit(&self, settings: &ModelSettings, seed: u64, progress: &dyn Progress) -> Result<BoxedModel> {
        let membership = settings.is_transductive().then(|| self.test.membership());
        let context =
            FitContext { membership: membership.as_ref(), ..self.data.context(seed, progress, None) };
        Ok(settings.fit(&self.known, None, &context)?.model)
    }

    /// The metric over the test rows.
    #[must_use]
    pub fn tested(&self, model: &dyn Trained) -> f64 {
        let with_given = self.known.merged(&self.given);
        self.metric.of(model, [&self.known, &with_given], &self.test, self.data.scale)
    }

    /// The metric over the test rows, of settings trained on all others.
    ///
    /// # Errors
    /// Those of training.
    pub fn test_of(&self, settings: &ModelSettings, seed: u64) -> Result<f64> {
        Ok(self.tested(self.refit(settings, seed, &NoProgress)?.as_ref()))
    }
}
