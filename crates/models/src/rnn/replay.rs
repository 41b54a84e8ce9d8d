//! The network's equations in plain code: one user, one interaction at a time.

use super::parameters::shapes;
use super::{Model, Scale, Settings, gap_feature};
use crate::recurrent::{Cell, CellWeights, accumulate};
use crate::tensors::{NamedTensor, Tensors};
use crate::{Result, UserState};

/// All weights, row-major.
pub(super) struct Weights {
    factors: usize,
    items: usize,
    cell: CellWeights,
    decoder: Vec<f32>,
    decoder_bias: Vec<f32>,
    user_bias: Vec<f32>,
    item_input: Vec<f32>,
    item_output: Vec<f32>,
}

impl Weights {
    pub fn restore(settings: &Settings, tensors: &Tensors) -> Result<Self> {
        let items = tensors.get("item_input", &[None, Some(settings.item_factors)])?.shape[0];
        let (dense, tables) = shapes(settings, items);
        let mut values = Vec::new();
        for (name, shape) in dense.iter().chain(&tables) {
            values.push(tensors.get(name, &[Some(shape[0]), Some(shape[1])])?.clone());
        }
        Ok(Self::new(settings, values))
    }

    /// From the tensors of [`shapes`], in their order, without the tables' untrained rows wiped.
    pub fn new(settings: &Settings, values: Vec<NamedTensor>) -> Self {
        let items = values.last().map_or(0, |t| t.shape[0]);
        let gates = settings.cell.gates().len();
        let mut values = values.into_iter().map(|t| t.data);
        let mut next = || values.next().unwrap_or_default();
        let mut run = || (0..gates).map(|_| next()).collect::<Vec<_>>();
        let (input, input_bias, hidden) = (run(), run(), run());
        let hidden_bias = if settings.cell == Cell::Gru { next() } else { Vec::new() };
        Self {
            factors: settings.item_factors,
            items,
            cell: CellWeights { cell: settings.cell, size: settings.size, input, input_bias, hidden, hidden_bias },
            decoder: next(),
            decoder_bias: next(),
            user_bias: next(),
            item_input: next(),
            item_output: next(),
        }
    }

    /// Items without training rows get no bias and no factors in the decoder.
    pub fn wipe_untrained(&mut self, trained: &[bool]) {
        for (row, trained) in self.item_output.chunks_exact_mut(self.factors + 1).zip(trained) {
            if !trained {
                row.fill(0.0);
            }
        }
    }

    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|t| t.data.len()).sum()
    }

    pub fn tensors(&self) -> Vec<NamedTensor> {
        let (cell, h, d) = (&self.cell, self.cell.size, self.factors);
        let mut tensors = Vec::new();
        for (name, parts, shape) in [("input", &cell.input, [2 * d + 2, h]), ("input_bias", &cell.input_bias, [1, h]), ("hidden", &cell.hidden, [h, h])] {
            for (gate, part) in cell.cell.gates().iter().zip(parts) {
                tensors.push(NamedTensor::new(format!("{name}.{gate}"), &shape, part.clone()));
            }
        }
        if cell.cell == Cell::Gru {
            tensors.push(NamedTensor::new("hidden_bias.new", &[1, h], cell.hidden_bias.clone()));
        }
        tensors.push(NamedTensor::new("decoder", &[h, d + 1], self.decoder.clone()));
        tensors.push(NamedTensor::new("decoder_bias", &[1, d + 1], self.decoder_bias.clone()));
        tensors.push(NamedTensor::new("user_bias", &[h, 1], self.user_bias.clone()));
        tensors.push(NamedTensor::new("item_input", &[self.items, d], self.item_input.clone()));
        tensors.push(NamedTensor::new("item_output", &[self.items, d + 1], self.item_output.clone()));
        tensors
    }
}

/// One user's state: the hidden units, the LSTM's memory and the time of the last interaction.
pub(super) struct State<'a> {
    scale: Scale,
    weights: &'a Weights,
    hidden: Vec<f32>,
    memory: Vec<f32>,
    last: Option<i64>,
}

impl<'a> State<'a> {
    pub fn new(model: &'a Model) -> Self {
        let zeros = vec![0.0; model.settings.size];
        Self { scale: model.scale, weights: &model.weights, hidden: zeros.clone(), memory: zeros, last: None }
    }
}

impl UserState for State<'_> {
    fn predict(&self, item: u32, _: i64) -> f32 {
        let w = self.weights;
        let mut user = [0.0];
        accumulate(&mut user, &self.hidden, &w.user_bias);
        let width = w.factors + 1;
        let Some(factors) = w.item_output.get(item as usize * width..(item as usize + 1) * width) else {
            return self.scale.mean + user[0];
        };
        let mut decoded = w.decoder_bias.clone();
        accumulate(&mut decoded, &self.hidden, &w.decoder);
        let product: f32 = decoded.iter().zip(factors).map(|(a, b)| a * b).sum();
        self.scale.mean + product + user[0]
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        let w = self.weights;
        let d = w.factors;
        let value = self.scale.standardize(value);
        let gap = gap_feature(self.last.map_or(0, |last| timestamp - last));
        self.last = Some(timestamp);
        let mut x = vec![0.0; 2 * d + 2];
        if let Some(embedding) = w.item_input.get(item as usize * d..(item as usize + 1) * d) {
            for (c, e) in embedding.iter().enumerate() {
                x[c] = *e;
                x[d + c] = value * e;
            }
        }
        x[2 * d] = value;
        x[2 * d + 1] = gap;
        w.cell.step(&x, &mut self.hidden, &mut self.memory);
    }
}
