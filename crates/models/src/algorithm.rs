//! An algorithm before training: settings with a name, a range for each of them, and a way to
//! train.

use crate::engine::standard;
use crate::engine::tensors::Tensors;
use crate::{BoxedModel, FitContext, Fitted, Kind, ModelError, Result};
use foretaste_data::Histories;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// The settings of an algorithm and what follows from them. Implement it and [`crate::Predictor`] to add
/// a model; [`crate::register`] registers it under its name.
pub trait Algorithm:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name in arguments and files: lower case, words joined by `-`.
    const NAME: &'static str;
    /// The name in tables.
    const TITLE: &'static str;
    /// The settings worth searching, as TOML (`crates/hpo` documents the format); empty for none.
    const SEARCH_SPACE: &'static str;

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the setting and its range.
    fn check(&self) -> Result<()>;

    /// Trains on `train`. With `validation` rows the curve has their error, and the weights of the best epoch
    /// are kept. Settings were checked before.
    ///
    /// # Errors
    /// [`ModelError::Training`] when the rows cannot train the model, [`ModelError::Interrupted`] when asked
    /// to stop, [`ModelError::Device`] when the device fails.
    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted>;

    /// Builds a trained model from its settings and saved weights, which are the tensors of
    /// [`crate::Predictor::tensors`].
    ///
    /// # Errors
    /// [`ModelError::Saved`] for missing tensors or shapes that do not fit the settings.
    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel>;

    /// Whether a model of these settings predicts ratings.
    fn predicts_ratings(&self) -> bool {
        true
    }

    /// Whether the model must know who rates what (not how) in the rows to be predicted: a leak that tables
    /// must report.
    fn is_transductive(&self) -> bool {
        false
    }

    /// The setting that limits passes over the training rows; `None` for a model without passes, or one
    /// that more passes never hurt.
    fn epochs(&mut self) -> Option<&mut usize> {
        None
    }

    /// Whether the model is trained on ratings in standard units, because its step sizes, penalties or first
    /// weights assume a scale. [`ModelSettings::fit`] then moves all ratings to the mean and deviation of
    /// MovieLens 1M's stars, and predictions back: the model sees nothing of a log's own scale.
    fn in_standard_units(&self) -> bool {
        false
    }

    /// Whether the model means nothing without times. Where a log has none, rows have the order of their
    /// lines, which is enough for models of sequences.
    fn needs_times(&self) -> bool {
        false
    }

    /// Shortens training to this share of its length, but to at least one pass.
    fn shorten(&mut self, share: f64) {
        if let Some(epochs) = self.epochs() {
            *epochs = part(*epochs, share);
        }
    }
}

/// A share of a number of passes, at least one.
pub(crate) fn part(n: usize, share: f64) -> usize {
    ((n as f64 * share).round() as usize).max(1)
}

/// Type-erased [`Algorithm`].
trait AnyAlgorithm: Any + erased_serde::Serialize + Debug + Send + Sync {
    fn kind(&self) -> Kind;
    fn check(&self) -> Result<()>;
    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted>;
    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel>;
    fn predicts_ratings(&self) -> bool;
    fn is_transductive(&self) -> bool;
    fn in_standard_units(&self) -> bool;
    fn needs_times(&self) -> bool;
    fn with_epochs(&self, epochs: usize) -> ModelSettings;
    fn shortened(&self, share: f64) -> ModelSettings;
    fn equals(&self, other: &dyn Any) -> bool;
}

erased_serde::serialize_trait_object!(AnyAlgorithm);

impl<A: Algorithm> AnyAlgorithm for A {
    fn kind(&self) -> Kind {
        Kind::of::<A>()
    }

    fn check(&self) -> Result<()> {
        Algorithm::check(self)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        Algorithm::fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Algorithm::restore(self, tensors)
    }

    fn predicts_ratings(&self) -> bool {
        Algorithm::predicts_ratings(self)
    }

    fn is_transductive(&self) -> bool {
        Algorithm::is_transductive(self)
    }

    fn in_standard_units(&self) -> bool {
        Algorithm::in_standard_units(self)
    }

    fn needs_times(&self) -> bool {
        Algorithm::needs_times(self)
    }

    fn with_epochs(&self, epochs: usize) -> ModelSettings {
        let mut changed = self.clone();
        if let Some(limit) = changed.epochs() {
            *limit = epochs;
        }
        changed.into()
    }

    fn shortened(&self, share: f64) -> ModelSettings {
        let mut changed = self.clone();
        changed.shorten(share);
        changed.into()
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<A>() == Some(self)
    }
}

/// A model with its settings: all that determines a training besides data, seed and device. Made from any
/// [`Algorithm`] by `into()`, or by name through [`Kind`].
#[derive(Debug, Clone)]
pub struct ModelSettings(Arc<dyn AnyAlgorithm>);

impl<A: Algorithm> From<A> for ModelSettings {
    fn from(settings: A) -> Self {
        Self(Arc::new(settings))
    }
}

impl PartialEq for ModelSettings {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(other.0.as_ref())
    }
}

impl Serialize for ModelSettings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl ModelSettings {
    /// The settings as those of `A`; `None` if they belong to another algorithm.
    ///
    /// ```
    /// use foretaste_models::{ModelSettings, ease, pmf};
    /// let settings = ModelSettings::from(pmf::Settings::default());
    /// assert_eq!(settings.of::<pmf::Settings>().unwrap().factors, 128);
    /// assert!(settings.of::<ease::Settings>().is_none());
    /// ```
    #[must_use]
    pub fn of<A: Algorithm>(&self) -> Option<&A> {
        let settings: &dyn Any = self.0.as_ref();
        settings.downcast_ref()
    }

    /// The algorithm of these settings.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the setting and its range.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Checks the settings and trains on `train`. With `validation` rows the curve has their error and the
    /// weights of the best epoch are kept.
    ///
    /// # Errors
    /// [`ModelError::Setting`] before anything is trained, [`ModelError::Unserved`] where the data lack what
    /// the settings need, [`ModelError::Training`] when the rows cannot
    /// train the model, [`ModelError::Interrupted`] when asked to stop, [`ModelError::Device`] when the
    /// device fails.
    pub fn fit(
        &self,
        train: &Histories,
        validation: Option<&Histories>,
        context: &FitContext,
    ) -> Result<Fitted> {
        self.check()?;
        if self.0.needs_times() && !train.is_empty() && train.timestamps().iter().all(|time| time == 0) {
            let reason = "needs times, and the log has none".into();
            return Err(ModelError::Unserved { model: self.kind().name(), reason });
        }
        let fit = |train: &Histories, validation: Option<&Histories>, context: &FitContext| {
            context.device.guard(|| self.0.fit(train, validation, context))
        };
        if self.0.in_standard_units() {
            standard::fit(train, validation, context, fit)
        } else {
            fit(train, validation, context)
        }
    }

    /// Builds a trained model from saved weights.
    pub(crate) fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        standard::restored(self.0.restore(tensors)?, tensors)
    }

    /// The same settings with `epochs` epochs; unchanged for models without epochs.
    #[must_use]
    pub fn with_epochs(&self, epochs: usize) -> Self {
        self.0.with_epochs(epochs)
    }

    /// The same settings with this share of their training's length, at least one pass; unchanged for models
    /// that are trained without passes.
    #[must_use]
    pub fn shortened(&self, share: f64) -> Self {
        self.0.shortened(share)
    }

    /// Whether the model predicts ratings.
    #[must_use]
    pub fn predicts_ratings(&self) -> bool {
        self.0.predicts_ratings()
    }

    /// Whether the model must know who rates what (not how) in the rows to be predicted: a leak that tables
    /// must report.
    #[must_use]
    pub fn is_transductive(&self) -> bool {
        self.0.is_transductive()
    }

    /// The settings as TOML text.
    ///
    /// # Panics
    /// Never: settings are tables of numbers, words, flags and lists.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| panic!("settings are plain: {e}"))
    }
}

/// Settings of `A` from a TOML table, checked; settings that it does not name keep their defaults.
pub(crate) fn parse<A: Algorithm>(table: &toml::Table) -> Result<ModelSettings> {
    let settings: A = table.clone().try_into().map_err(|e: toml::de::Error| {
        let reason = e.message().to_owned();
        // serde names an unknown field in the message, and a mistyped one not at all.
        let unknown =
            reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()).map(str::to_owned);
        let alone = |name: &&String| {
            toml::Table::from_iter([((*name).clone(), table[*name].clone())]).try_into::<A>().is_err()
        };
        let setting = unknown.or_else(|| table.keys().find(alone).cloned()).unwrap_or_else(|| "?".into());
        ModelError::Setting { model: A::NAME, setting, reason }
    })?;
    settings.check()?;
    Ok(settings.into())
}
