//! Training over user-parallel windows with carried states (truncated backpropagation through time).

use super::network::window;
use super::parameters::Parameters;
use super::replay::Weights;
use super::{Model, NAME, Scale, Settings};
use crate::epochs::{self, Trainer};
use crate::model::training_mean;
use crate::recurrent::Carried;
use crate::tensors::{NamedTensor, Tensors};
use crate::{FitContext, Fitted, ModelError, ModelSettings, Result, biases};
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
    let parameters = Parameters::new(settings, &biases.items, context.seed, context.device);
    let trainer = Training { settings, scale, trained, train, context, parameters };
    epochs::train(trainer, &ModelSettings::Rnn(settings.clone()), (settings.epochs, settings.patience), train, validation, context)
}

struct Training<'a> {
    settings: &'a Settings,
    scale: Scale,
    /// Which items have training rows.
    trained: Vec<bool>,
    train: &'a Histories,
    context: &'a FitContext<'a>,
    parameters: Parameters,
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let (settings, device) = (self.settings, context.device);
        let rate = settings.learning_rate * settings.decay.powi(epoch as i32);
        let mut batches = Batches::new(self.train, settings.rows, settings.window, context.seed, epoch as u64);
        let mut batch = Batch::default();
        let mut carried = Carried::zeros(settings.rows, settings.size, device);
        // Sums stay on the device: reading one a step would make the device wait.
        let mut squares: Vec<Tensor<1>> = Vec::new();
        while batches.next_into(&mut batch) {
            context.go_on()?;
            let out = window(&self.parameters, settings, self.scale, &batch, carried, device);
            self.parameters.step(out.dense, out.tables, &out.rows, rate, settings.weight_decay);
            squares.push(out.squares);
            carried = out.carried;
        }
        let sums = Tensor::cat(squares, 0).try_into_vec_as::<f32>();
        let sums = sums.map_err(|e| ModelError::device(device.name(), e.to_string()))?;
        Ok(sums.iter().map(|s| f64::from(*s)).sum())
    }

    fn model(&self, _: f64) -> Result<Model> {
        let mut weights = Weights::new(self.settings, self.parameters.values()?);
        weights.wipe_untrained(&self.trained);
        Ok(Model { settings: self.settings.clone(), scale: self.scale, weights })
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        self.parameters.state()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.parameters.restore(state, self.context.device)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
