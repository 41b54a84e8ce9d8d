//! The context of a training, and its reports.

use crate::{Device, ModelError, Result, Trained};
use foretaste_data::{Attributes, Membership};
use std::path::Path;
use std::time::Duration;

/// One epoch of training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Epochs the settings allow.
    pub epochs: usize,
    /// Over the training rows, before each update: RMSE, or the mean loss of a model
    /// that ranks items.
    pub train_error: f64,
    /// Over the validation rows after the epoch: RMSE, frozen (streaming for sequence models), or 1 less
    /// the mean reciprocal rank of a model that ranks items; `None` without validation rows.
    pub validation_error: Option<f64>,
}

impl EpochReport {
    /// The report of epoch `epoch`, errors rounded to ten decimals, which a JSON reader reproduces
    /// exactly, and a resumed training's curve must equal an uninterrupted one's.
    pub(crate) fn new(epoch: usize, epochs: usize, train_error: f64, validation_error: Option<f64>) -> Self {
        let round = |x: f64| (x * 1e10).round() / 1e10;
        Self { epoch, epochs, train_error: round(train_error), validation_error: validation_error.map(round) }
    }
}

/// Observer of a training's progress, which can stop it.
pub trait Progress: Sync {
    /// An epoch has ended.
    fn epoch(&self, model: &'static str, report: &EpochReport);
    /// Whether to stop at the next step.
    fn cancelled(&self) -> bool;
}

/// Ignores progress and never stops.
pub struct NoProgress;

impl Progress for NoProgress {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// What training needs besides settings and data.
pub struct FitContext<'a> {
    /// Seed of every random choice.
    pub seed: u64,
    /// Where layers are computed.
    pub device: &'a Device,
    /// Observer of progress.
    pub progress: &'a dyn Progress,
    /// Folder of checkpoints, from which an interrupted training resumes; `None` trains without checkpoints.
    pub checkpoint: Option<&'a Path>,
    /// Shortest time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Attributes of users, for models that use them.
    pub user_attributes: Option<&'a Attributes>,
    /// Attributes of items, for models that use them.
    pub item_attributes: Option<&'a Attributes>,
    /// Users and items (nothing else) of rows to be predicted, for settings that are transductive.
    pub membership: Option<&'a Membership>,
}

impl<'a> FitContext<'a> {
    /// A training under `seed` on `device`, without progress reports or checkpoints.
    #[must_use]
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self {
            seed,
            device,
            progress: &NoProgress,
            checkpoint: None,
            checkpoint_every: Duration::from_secs(10),
            user_attributes: None,
            item_attributes: None,
            membership: None,
        }
    }
}

impl FitContext<'_> {
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.progress.cancelled() { Err(ModelError::Interrupted) } else { Ok(()) }
    }
}

/// A trained model and its training history.
pub struct Fitted {
    /// The model, with the weights of its best epoch.
    pub model: Box<dyn Trained>,
    /// One entry per epoch; empty for models without epochs.
    pub curve: Vec<EpochReport>,
    /// The epoch whose weights were kept: the best on validation, or the last; 0 without epochs.
    pub best_epoch: usize,
}

/// Tracks the best epoch on validation and whether patience is exhausted.
#[derive(Debug, Clone, Default)]
pub(crate) struct EarlyStopping {
    pub curve: Vec<EpochReport>,
}

impl EarlyStopping {
    /// The best epoch so far: lowest validation error, the earliest of equals; the last epoch without
    /// validation.
    pub fn best_epoch(&self) -> usize {
        let best = self
            .curve
            .iter()
            .filter_map(|e| e.validation_error.map(|v| (v, e.epoch)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(self.curve.len(), |(_, epoch)| epoch)
    }

    /// Whether the last epoch is the best one.
    pub fn improved(&self) -> bool {
        self.best_epoch() == self.curve.len()
    }

    /// Whether `patience` epochs passed since the best one.
    pub fn exhausted(&self, patience: usize) -> bool {
        self.curve.len() >= self.best_epoch() + patience.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_by_hand() {
        let mut stopping = EarlyStopping::default();
        for (epoch, validation) in [0.9, 0.8, 0.85, 0.81].into_iter().enumerate() {
            stopping.curve.push(EpochReport {
                epoch: epoch + 1,
                epochs: 9,
                train_error: 1.0,
                validation_error: Some(validation),
            });
        }
        assert_eq!(stopping.best_epoch(), 2);
        assert!(stopping.exhausted(2) && !stopping.exhausted(3) && !stopping.improved());
    }
}
