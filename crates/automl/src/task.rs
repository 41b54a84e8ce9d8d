//! One split of a log, as a selection sees it: rows that train, rows that validate, and test rows that are
//! asked for once, at the end.

use crate::{AutomlError, Metric, Result, SelectionData};
use foretaste_data::{Attributes, Histories, Interactions, Parts, SplitRule};
use foretaste_models::{BoxedModel, Device, FitContext, ModelSettings, NoProgress, Progress, Trained};

/// A log and what is known beside it.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// The interactions.
    pub table: &'a Interactions,
    /// Smallest and largest rating; none where nobody states them.
    pub scale: Option<(f32, f32)>,
    /// What is known of users.
    pub user_attributes: Option<&'a Attributes>,
    /// What is known of items.
    pub item_attributes: Option<&'a Attributes>,
}

/// A log split into what trains, what validates, and what tests once at the end.
pub struct Task<'a> {
    /// What may be learned from.
    pub data: SelectionData<'a>,
    /// What counts.
    pub metric: Metric,
    /// Training and validation rows.
    pub known: Histories,
    /// Test rows.
    pub test: Histories,
    /// Rows that are known at testing and train nothing, under splits that have such.
    given: Histories,
}

impl<'a> Task<'a> {
    /// Splits `log` under `rule` and `seed`; `validation` is the share of the training rows that validates.
    ///
    /// # Errors
    /// What splitting meets; [`AutomlError::Nothing`] where no row is left to validate by.
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
        // Where nobody states the scale, the known ratings show it.
        let shown = || {
            let ends = (f32::MAX, f32::MIN);
            known.values().iter().fold(ends, |(low, high), v| (low.min(*v), high.max(*v)))
        };
        let scale = metric.judges_ratings().then(|| log.scale.unwrap_or_else(shown));
        let Log { user_attributes, item_attributes, .. } = log;
        let data = SelectionData { train, validation, scale, user_attributes, item_attributes, device };
        Ok(Self { data, metric, known, test, given })
    }

    /// How much longer all known rows train than the training rows do.
    pub(crate) fn growth(&self) -> f64 {
        self.known.len() as f64 / self.data.train.len() as f64
    }

    /// Trains settings on all rows that do not test.
    ///
    /// # Errors
    /// What training meets.
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
    /// What training meets.
    pub fn test_of(&self, settings: &ModelSettings, seed: u64) -> Result<f64> {
        Ok(self.tested(self.refit(settings, seed, &NoProgress)?.as_ref()))
    }
}
