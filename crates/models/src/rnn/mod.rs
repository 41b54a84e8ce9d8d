//! RNN: a recurrent cell (GRU or LSTM) over a user's past, predicting the next rating of a given item.
//!
//! Each past interaction (item, rating, time gap) is one input; the state before an interaction and
//! the item asked for give the prediction. The flat sequence model of the talk's `MovieLens` chart;
//! the decoder is a factor product:
//!
//! ```text
//! x_t  = [e_i, v e_i, v, g],   v = (r - mu) / sigma,   g = ln(1 + seconds since the last) / 16
//! h'   = cell(x_t W + b, h)                     ([`Cell`])
//! r^_i = mu + (h W_o + b_o) . q_i + h . w_u       (the last component of q_i starts as the item's bias)
//! ```
//!
//! `frozen` and `streaming`: the state runs through known ratings in time order and answers each
//! asked rating from what is known *before* it; under streaming, the asked rating is the next input.
//! A user without history has the state 0; an item without training rows has its first, random
//! embedding in the input and no bias and no factors in the decoder.
//!
//! Layers are trained on a burn device; prediction runs the same equations in plain code, so that
//! its bits depend neither on the device nor on how users are batched.

mod network;
mod parameters;
mod replay;
mod train;

use crate::error::within;
use crate::tensors::{NamedTensor, Tensors};
use crate::{ModelSettings, RatingModel, Reading, Result, UserState};
use foretaste_data::History;
use replay::{State, Weights};

pub use crate::recurrent::Cell;
pub use train::fit;

const NAME: &str = "rnn";

/// Settings of the RNN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Kind of cell.
    pub cell: Cell,
    /// Hidden units.
    pub size: usize,
    /// Length of an item's input embedding and of its decoder factors.
    pub item_factors: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Histories side by side in a batch.
    pub rows: usize,
    /// Steps of a history in a batch: how far gradients reach back.
    pub window: usize,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Factor of the step size from epoch to epoch.
    pub decay: f32,
    /// Decoupled weight decay of the item tables (Loshchilov and Hutter 2019), in units of the step size.
    pub weight_decay: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cell: Cell::Gru,
            size: 64,
            item_factors: 16,
            epochs: 15,
            rows: 64,
            window: 32,
            learning_rate: 0.0015,
            decay: 0.95,
            weight_decay: 0.2,
            patience: 2,
        }
    }
}

impl Settings {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`crate::ModelError::Setting`] naming the setting and its range.
    pub fn check(&self) -> Result<()> {
        within(NAME, "size", self.size, 1, 4096)?;
        within(NAME, "item_factors", self.item_factors, 1, 4096)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "rows", self.rows, 1, 65_536)?;
        within(NAME, "window", self.window, 1, 4096)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "weight_decay", self.weight_decay, 0.0, 10.0)?;
        within(NAME, "patience", self.patience, 1, 100_000)
    }

    /// Width of the input `x_t`.
    fn inputs(&self) -> usize {
        2 * self.item_factors + 2
    }
}

/// The rating scale as the network sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    mean: f32,
    deviation: f32,
}

impl Scale {
    /// `v` of the module's equations.
    fn standardize(self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// `g` of the module's equations for a gap in seconds.
fn gap_feature(seconds: i64) -> f32 {
    ((seconds.max(0) as f64 + 1.0).ln() / 16.0) as f32
}

/// A trained RNN.
pub struct Model {
    settings: Settings,
    scale: Scale,
    weights: Weights,
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let scale = Scale { mean: tensors.scalar("mean")?, deviation: tensors.scalar("deviation")? };
        Ok(Self { weights: Weights::restore(&settings, tensors)?, settings, scale })
    }
}

impl RatingModel for Model {
    fn settings(&self) -> ModelSettings {
        ModelSettings::Rnn(self.settings.clone())
    }

    fn start<'a>(&'a self, _: u32, known: History<'_>) -> Box<dyn UserState + 'a> {
        let mut state = State::new(self);
        for row in 0..known.len() {
            state.reveal(known.items[row], known.values[row], known.timestamps[row]);
        }
        Box::new(state)
    }

    /// Walks through known and asked rows in time order; known rows come first within a second.
    fn predict_user(&self, _: u32, known: History<'_>, asked: History<'_>, reading: Reading, out: &mut [f32]) {
        let mut state = State::new(self);
        let mut next = 0;
        for (row, out) in out.iter_mut().enumerate() {
            while next < known.len() && known.timestamps[next] <= asked.timestamps[row] {
                state.reveal(known.items[next], known.values[next], known.timestamps[next]);
                next += 1;
            }
            *out = state.predict(asked.items[row], asked.timestamps[row]);
            if reading == Reading::Streaming {
                state.reveal(asked.items[row], asked.values[row], asked.timestamps[row]);
            }
        }
    }

    fn parameters(&self) -> usize {
        self.weights.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = vec![NamedTensor::scalar("mean", self.scale.mean), NamedTensor::scalar("deviation", self.scale.deviation)];
        tensors.extend(self.weights.tensors());
        tensors
    }
}

#[cfg(test)]
mod tests;
