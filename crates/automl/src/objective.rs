//! The objective of a trial: trains and evaluates one configuration of one model, and ends early when pruned.

use crate::{Metric, Result, SelectionData};
use foretaste_hpo::{Configuration, Direction, Halt, Report, Running, Space, Trial, Value};
use foretaste_models::{EpochReport, ModelError, ModelSettings, Progress, Trained};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A model that can be tuned: its fixed settings and its search space.
#[derive(Clone)]
pub struct Candidate {
    /// Name in arguments and files.
    pub name: String,
    /// Name in tables.
    pub title: String,
    /// Settings of trial 0, and of everything that is not searched.
    pub settings: ModelSettings,
    /// The search space; `None` for a model without choices.
    pub space: Option<Space>,
}

impl Candidate {
    /// A candidate with its model's own search space, as far as the settings leave a choice.
    ///
    /// # Errors
    /// [`crate::AutomlError::Search`] where the model's `search.toml` is malformed.
    pub fn new(name: &str, title: &str, settings: ModelSettings) -> Result<Self> {
        let space = Space::given(settings.kind().search_space(), &values(&settings))?;
        Ok(Self { name: name.into(), title: title.into(), settings, space })
    }

    /// The searched part of the settings: the configuration of trial 0.
    #[must_use]
    pub fn default_configuration(&self) -> Configuration {
        self.space
            .as_ref()
            .map(|space| space.default_configuration(&values(&self.settings)))
            .unwrap_or_default()
    }

    /// The settings under a configuration.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the model refuses a value.
    pub fn with(&self, configuration: &Configuration) -> Result<ModelSettings, ModelError> {
        // A model without choices has one trial with an empty configuration.
        if self.space.is_none() {
            return Ok(self.settings.clone());
        }
        let mut table: toml::Table = self.settings.to_toml().parse().unwrap_or_default();
        for (name, value) in configuration {
            let value = match value {
                Value::Flag(flag) => toml::Value::Boolean(*flag),
                Value::Integer(i) => toml::Value::Integer(*i),
                Value::Float(x) => toml::Value::Float(*x),
                Value::Text(text) => toml::Value::String(text.clone()),
            };
            table.insert(name.clone(), value);
        }
        self.settings.kind().settings(table)
    }

    /// The settings of a trial, with the number of epochs at which it reported its best.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the model refuses a value.
    pub fn of_trial(&self, trial: &Trial, direction: Direction) -> Result<ModelSettings, ModelError> {
        let settings = self.with(&trial.configuration)?;
        let loss = |report: &Report| report.value * direction.sign();
        Ok(match trial.reports.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))) {
            Some(report) => settings.with_epochs(report.step as usize),
            None => settings,
        })
    }
}

/// Flat settings by name.
fn values(settings: &ModelSettings) -> Configuration {
    let table: toml::Table = settings.to_toml().parse().unwrap_or_default();
    let value = |value: toml::Value| match value {
        toml::Value::Boolean(flag) => Some(Value::Flag(flag)),
        toml::Value::Integer(i) => Some(Value::Integer(i)),
        toml::Value::Float(x) => Some(Value::Float(x)),
        toml::Value::String(text) => Some(Value::Text(text)),
        _ => None,
    };
    table.into_iter().filter_map(|(name, v)| Some((name, value(v)?))).collect()
}

/// The result of a configuration.
pub struct Scored {
    /// The metric over the validation rows.
    pub value: f64,
    /// The settings, with the best number of epochs.
    pub settings: ModelSettings,
    /// Predictions of the validation rows, for blending; `None` if ratings are not
    /// evaluated.
    pub predictions: Option<Vec<f32>>,
    /// The trained model.
    pub model: Box<dyn Trained>,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of predicting the validation rows.
    pub predict_seconds: f64,
}

/// Trains and evaluates configurations of one candidate.
pub struct Objective<'a> {
    /// What may be learned from.
    pub data: &'a SelectionData<'a>,
    /// What counts.
    pub metric: &'a Metric,
    /// The model.
    pub candidate: &'a Candidate,
}

impl Objective<'_> {
    /// Trains and evaluates one trial, reporting epochs to it. `folder` holds the checkpoints of trainings
    /// that were interrupted.
    ///
    /// # Errors
    /// [`Halt`], from the study or the training.
    pub fn run(&self, trial: &mut Running, folder: Option<&Path>) -> Result<Scored, Halt> {
        let settings = self.candidate.with(trial.configuration())?;
        let seed = trial.seed();
        let checkpoint = folder.map(|folder| folder.join(format!("trial-{}", trial.number())));
        if let Some(folder) = &checkpoint {
            std::fs::create_dir_all(folder)
                .map_err(|e| Halt::Failed(format!("{}: cannot create: {e}", folder.display())))?;
        }
        let reporter =
            Reporter { trial: Mutex::new(trial), halt: Mutex::new(None), direction: self.metric.direction };
        let scored = self.score(&settings, seed, &reporter, checkpoint.as_deref());
        let halt = reporter.halt.into_inner().unwrap_or_else(PoisonError::into_inner);
        // An interrupted training keeps its checkpoint; one that another worker took over is that worker's.
        let interrupted = matches!(scored, Err(ModelError::Interrupted))
            && matches!(halt, None | Some(Halt::Interrupted | Halt::Lost | Halt::Storage(_)));
        if let Some(folder) = checkpoint.filter(|_| !interrupted) {
            let _ = std::fs::remove_dir_all(folder);
        }
        match (scored, halt) {
            (Err(ModelError::Interrupted), Some(halt)) => Err(halt),
            (Err(ModelError::Interrupted), None) => Err(Halt::Interrupted),
            (Err(error), _) => Err(Halt::Failed(error.to_string())),
            // The pruner decided after the last epoch: the model is complete, and counts.
            (Ok(scored), _) => Ok(scored),
        }
    }

    /// Trains and evaluates settings without a study.
    ///
    /// # Errors
    /// Those of training.
    pub fn score(
        &self,
        settings: &ModelSettings,
        seed: u64,
        progress: &dyn Progress,
        checkpoint: Option<&Path>,
    ) -> Result<Scored, ModelError> {
        let SelectionData { train, validation, scale, .. } = self.data;
        let clock = Instant::now();
        let fitted = self.data.fit(settings, seed, progress, checkpoint)?;
        let train_seconds = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let predictions = self.metric.predictions(fitted.model.as_ref(), train, validation);
        let value = match &predictions {
            Some(predictions) => crate::metric::clipped_rmse(predictions, validation.values(), *scale),
            None => self.metric.of(fitted.model.as_ref(), [train, train], validation, *scale),
        };
        let settings =
            if fitted.best_epoch > 0 { settings.with_epochs(fitted.best_epoch) } else { settings.clone() };
        Ok(Scored {
            value,
            settings,
            predictions,
            model: fitted.model,
            train_seconds,
            predict_seconds: clock.elapsed().as_secs_f64(),
        })
    }
}

/// Reports a training's epochs to a trial, and ends the training with the trial.
struct Reporter<'a> {
    trial: Mutex<&'a mut Running>,
    halt: Mutex<Option<Halt>>,
    direction: Direction,
}

impl Progress for Reporter<'_> {
    fn epoch(&self, model: &'static str, report: &EpochReport) {
        tracing::debug!("{model} epoch {}/{}: {:?}", report.epoch, report.epochs, report.validation_error);
        let Some(error) = report.validation_error else { return };
        // Models that rank report 1 less the mean reciprocal rank, whatever the metric.
        let value = if self.direction == Direction::Minimize { error } else { 1.0 - error };
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(halt) = trial.report(report.epoch as u64, value) {
            *self.halt.lock().unwrap_or_else(PoisonError::into_inner) = Some(halt);
        }
    }

    fn cancelled(&self) -> bool {
        self.halt.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            || self.trial.lock().unwrap_or_else(PoisonError::into_inner).interrupted()
    }
}
