//! Training in epochs: early stopping, checkpoints and progress, the same for every model that has them.

use crate::checkpoint::Checkpoint;
use crate::fit::EarlyStopping;
use crate::model::rmse;
use crate::tensors::{NamedTensor, Tensors};
use crate::{EpochReport, FitContext, Fitted, ModelError, ModelSettings, RatingModel, Reading, Result};
use foretaste_data::Histories;

/// A model in training.
pub(crate) trait Trainer {
    /// What it becomes.
    type Model: RatingModel + 'static;

    /// How validation rows are read. A sequence model's next prediction is what counts: streaming.
    fn reading(&self) -> Reading {
        Reading::Frozen
    }

    /// One pass over the training rows; answers the sum of squared errors met on the way.
    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64>;

    /// The model as it stands after an epoch with this training error.
    fn model(&self, train_rmse: f64) -> Result<Self::Model>;

    /// All that training goes on from; names begin with anything but a name of the model's own tensors.
    fn state(&self) -> Result<Vec<NamedTensor>>;

    /// Takes up what [`state`](Self::state) gave.
    fn restore(&mut self, state: &Tensors) -> Result<()>;

    /// The model saved among the tensors of a checkpoint.
    fn saved(&self, tensors: &Tensors) -> Result<Self::Model>;
}

/// Trains for at most `epochs` epochs. With validation rows the best epoch's model is kept, and
/// training stops `patience` epochs after it.
pub(crate) fn train<T: Trainer>(
    mut trainer: T,
    settings: &ModelSettings,
    (epochs, patience): (usize, usize),
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let name = settings.kind().name();
    let checkpoint = Checkpoint::new(settings, train, validation, context);
    let mut stopping = EarlyStopping::default();
    let mut best: Option<T::Model> = None;
    if let Some((tensors, curve)) = checkpoint.load() {
        trainer.restore(&tensors)?;
        best = validation.map(|_| trainer.saved(&tensors)).transpose()?;
        stopping = curve;
    }
    while stopping.curve.len() < epochs && !(validation.is_some() && stopping.exhausted(patience)) {
        let epoch = stopping.curve.len();
        let train_rmse = (trainer.epoch(epoch, context)? / train.len() as f64).sqrt();
        if !train_rmse.is_finite() {
            let reason = format!("the error is no number after epoch {}; lower learning_rate", epoch + 1);
            return Err(ModelError::Training { model: name, reason });
        }
        let candidate = validation.map(|_| trainer.model(train_rmse)).transpose()?;
        let validation_rmse = candidate.as_ref().zip(validation).map(|(model, validation)| {
            let model: &dyn RatingModel = model;
            rmse(&model.predict(train, validation, trainer.reading()), validation.values())
        });
        let report = EpochReport::new(epoch + 1, epochs, train_rmse, validation_rmse);
        stopping.curve.push(report);
        if stopping.improved() {
            best = candidate;
        }
        context.progress.epoch(name, &report);
        let state = || -> Result<Vec<NamedTensor>> {
            let mut state = trainer.state()?;
            state.extend(best.iter().flat_map(RatingModel::tensors));
            Ok(state)
        };
        checkpoint.store(state, &stopping)?;
    }
    let best_epoch = stopping.best_epoch();
    let model = match best {
        Some(model) => model,
        None => trainer.model(stopping.curve.last().map_or(1.0, |e| e.train_rmse))?,
    };
    checkpoint.remove();
    Ok(Fitted { model: Box::new(model), curve: stopping.curve, best_epoch })
}
