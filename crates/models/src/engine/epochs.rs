//! Training in epochs: early stopping, checkpoints and progress, shared by all models with epochs.

use crate::engine::checkpoint::Checkpoint;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::fit::EarlyStopping;
use crate::{
    EpochReport, FitContext, Fitted, ModelError, ModelSettings, Predictor, Reading, Result, Trained,
};
use foretaste_data::Histories;
use foretaste_metrics::rmse;

/// A model in training.
pub(crate) trait Trainer {
    /// The trained model.
    type Model: Predictor;

    /// The model's error over the validation rows.
    fn validate(&self, model: &Self::Model, train: &Histories, validation: &Histories) -> f64 {
        model.as_rating().map_or(f64::NAN, |model| {
            rmse(&model.predict(train, validation, Reading::Frozen), validation.values())
        })
    }

    /// One pass over the training rows; returns the sum of squared errors (or losses) before each update.
    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64>;

    /// The training error, given an epoch's mean loss.
    fn error(&self, mean: f64) -> f64 {
        mean.sqrt()
    }

    /// The model after an epoch with this training error.
    fn model(&self, train_error: f64) -> Result<Self::Model>;

    /// Everything needed to resume training; no name begins with the name of one of the model's own tensors.
    fn state(&self) -> Result<Vec<NamedTensor>>;

    /// Restores what [`state`](Self::state) returned.
    fn restore(&mut self, state: &Tensors) -> Result<()>;

    /// The model saved among the tensors of a checkpoint.
    fn saved(&self, tensors: &Tensors) -> Result<Self::Model>;
}

/// Trains for at most `epochs` epochs. With validation rows the best epoch's model is kept, and
/// training stops `patience` epochs after it.
pub(crate) fn train<T: Trainer>(
    trainer: T,
    settings: &ModelSettings,
    limits: (usize, usize),
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let (model, curve, best_epoch) = train_model(trainer, settings, limits, train, validation, context)?;
    Ok(Fitted { model: Box::new(model), curve, best_epoch })
}

/// As [`train`]; returns the model with its type, its curve and its epoch.
pub(crate) fn train_model<T: Trainer>(
    mut trainer: T,
    settings: &ModelSettings,
    (epochs, patience): (usize, usize),
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<(T::Model, Vec<EpochReport>, usize)> {
    let name = settings.kind().name();
    let checkpoint = Checkpoint::new(settings, train, validation, context);
    let mut stopping = EarlyStopping::default();
    let mut best: Option<T::Model> = None;
    if let Some((tensors, curve)) = checkpoint.load() {
        trainer.restore(&tensors)?;
        best = validation.map(|_| trainer.saved(&tensors)).transpose()?;
        stopping = curve;
    }
    let over = |stopping: &EarlyStopping| {
        stopping.curve.len() >= epochs || validation.is_some() && stopping.exhausted(patience)
    };
    while !over(&stopping) {
        let epoch = stopping.curve.len();
        let sum = trainer.epoch(epoch, context)?;
        let train_error = trainer.error(sum / train.len() as f64);
        if !train_error.is_finite() {
            let reason = format!("the error is not a number after epoch {}; lower learning_rate", epoch + 1);
            return Err(ModelError::Training { model: name, reason });
        }
        let candidate = validation.map(|_| trainer.model(train_error)).transpose()?;
        let validation_error = candidate
            .as_ref()
            .zip(validation)
            .map(|(model, validation)| trainer.validate(model, train, validation));
        let report = EpochReport::new(epoch + 1, epochs, train_error, validation_error);
        stopping.curve.push(report);
        if stopping.improved() {
            best = candidate;
        }
        context.progress.epoch(name, &report);
        let state = || -> Result<Vec<NamedTensor>> {
            let mut state = trainer.state()?;
            state.extend(best.iter().flat_map(Predictor::tensors));
            Ok(state)
        };
        // Nothing resumes from the last epoch.
        if !over(&stopping) {
            checkpoint.store(state, &stopping)?;
        }
    }
    let best_epoch = stopping.best_epoch();
    let model = match best {
        Some(model) => model,
        None => trainer.model(stopping.curve.last().map_or(1.0, |e| e.train_error))?,
    };
    checkpoint.remove();
    Ok((model, stopping.curve, best_epoch))
}
