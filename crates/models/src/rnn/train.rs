//! Training over user-parallel windows with carried states (truncated backpropagation through time).

use super::network::window;
use super::parameters::Parameters;
use super::replay::Weights;
use super::{Model, NAME, Scale, Settings};
use crate::checkpoint::Checkpoint;
use crate::fit::EarlyStopping;
use crate::model::{rmse, training_mean};
use crate::tensors::NamedTensor;
use crate::{EpochReport, FitContext, Fitted, ModelError, ModelSettings, RatingModel, Reading, Result, biases};
use burn::tensor::Tensor;
use foretaste_data::Histories;
use foretaste_data::batch::{Batch, Batches};

/// Trains the RNN on `train`.
///
/// # Errors
/// [`ModelError::Training`] without training rows or with a row without value,
/// [`ModelError::Interrupted`] when asked to stop, [`ModelError::Device`] when the device fails.
pub fn fit(settings: &Settings, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
    let mean = training_mean(NAME, train)?;
    let variance = train.values().iter().map(|v| f64::from(v - mean).powi(2)).sum::<f64>() / train.len() as f64;
    let scale = Scale { mean, deviation: (variance.sqrt() as f32).max(1e-3) };
    let biases = biases::estimate(&biases::Settings::default(), train)?;
    let mut trained = vec![false; train.n_items()];
    for item in train.items() {
        trained[*item as usize] = true;
    }
    let checkpoint = Checkpoint::new(&ModelSettings::Rnn(settings.clone()), train, validation, context);
    let mut parameters = Parameters::new(settings, &biases.items, context.seed, context.device);
    let mut stopping = EarlyStopping::default();
    let mut best: Option<Model> = None;
    if let Some((tensors, state)) = checkpoint.load() {
        parameters = parameters.restore(&tensors, context.device)?;
        if validation.is_some() {
            best = Some(Model::restore(settings.clone(), &tensors)?);
        }
        stopping = state;
    }
    let snapshot = |parameters: &Parameters| -> Result<Model> {
        let mut weights = Weights::new(settings, parameters.values()?);
        weights.wipe_untrained(&trained);
        Ok(Model { settings: settings.clone(), scale, weights })
    };
    while stopping.curve.len() < settings.epochs && !(validation.is_some() && stopping.exhausted(settings.patience)) {
        let epoch = stopping.curve.len();
        let squares;
        (parameters, squares) = run_epoch(parameters, settings, scale, train, epoch, context)?;
        let train_rmse = (squares / train.len() as f64).sqrt();
        if !train_rmse.is_finite() {
            return Err(ModelError::Training { model: NAME, reason: format!("the loss is no number after epoch {}; lower learning_rate", epoch + 1) });
        }
        let candidate = match validation {
            Some(_) => Some(snapshot(&parameters)?),
            None => None,
        };
        let validation_rmse = candidate
            .as_ref()
            .zip(validation)
            .map(|(model, validation)| rmse(&(model as &dyn RatingModel).predict(train, validation, Reading::Frozen), validation.values()));
        let report = EpochReport::new(epoch + 1, settings.epochs, train_rmse, validation_rmse);
        stopping.curve.push(report);
        if stopping.improved() && candidate.is_some() {
            best = candidate;
        }
        context.progress.epoch(NAME, &report);
        let state = || -> Result<Vec<NamedTensor>> {
            let mut state = parameters.state()?;
            state.extend(best.iter().flat_map(RatingModel::tensors));
            Ok(state)
        };
        checkpoint.store(state, &stopping)?;
    }
    let best_epoch = stopping.best_epoch();
    let model = match best {
        Some(model) => model,
        None => snapshot(&parameters)?,
    };
    checkpoint.remove();
    Ok(Fitted { model: Box::new(model), curve: stopping.curve, best_epoch })
}

/// One pass over all histories; answers the parameters after it and the sum of squared errors.
fn run_epoch(
    mut parameters: Parameters,
    settings: &Settings,
    scale: Scale,
    train: &Histories,
    epoch: usize,
    context: &FitContext,
) -> Result<(Parameters, f64)> {
    let rate = settings.learning_rate * settings.decay.powi(epoch as i32);
    let device = context.device;
    let mut batches = Batches::new(train, settings.rows, settings.window, context.seed, epoch as u64);
    let mut batch = Batch::default();
    let mut hidden: Tensor<2> = Tensor::zeros([settings.rows, settings.size], device.burn());
    // Sums stay on the device: reading one a step would make the device wait.
    let mut squares: Vec<Tensor<1>> = Vec::new();
    while batches.next_into(&mut batch) {
        context.go_on()?;
        let out = window(&parameters, settings, scale, &batch, hidden, device);
        parameters = parameters.step(out.dense, out.tables, &out.rows, rate, settings.weight_decay);
        squares.push(out.squares);
        hidden = out.hidden;
    }
    let sums = Tensor::cat(squares, 0).try_into_vec_as::<f32>().map_err(|e| ModelError::Device { device: device.name().into(), reason: e.to_string() })?;
    Ok((parameters, sums.iter().map(|s| f64::from(*s)).sum()))
}
