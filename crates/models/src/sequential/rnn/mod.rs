//! RNN: a recurrent cell (GRU or LSTM) over a user's past, predicting the next rating of a given item.
//!
//! The flat sequence model of the talk's `MovieLens` chart: [`crate::hrnn_gru`]'s network without sessions,
//! gate, attributes, memories of residuals and users' factors,
//!
//! ```text
//! x_t  = [e_i, v e_i, v, max(-v, 0), ln(1 + gap)/16, ln(1 + n)/8, e^(-n/8)],   v = (r - mu) / sigma
//! h_t  = cell(x_t, h_t-1)
//! r^_i = mu + (W_o h_t-1 + W_c w_t) . (F_i, 1)   (w_t: gap, counts, 1; F_i's last starts as the item's bias)
//! ```
//!
//! `frozen` and `streaming` as in HRNN. A user without history has the state 0; an item without training
//! rows has no embedding, no bias and no factors.

use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::hrnn_gru::{self, Stationary};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, Result};
use foretaste_data::Histories;

pub use crate::engine::recurrent::Cell;

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
    /// Histories in a batch.
    pub rows: usize,
    /// Steps of a history in a batch: how far gradients reach back.
    pub window: usize,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
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
    /// The same network as [`hrnn_gru`] settings.
    fn network(&self) -> hrnn_gru::Settings {
        hrnn_gru::Settings {
            cell: self.cell,
            depth: 1,
            size: self.size,
            height: 0,
            item_factors: self.item_factors,
            gate: false,
            metadata: false,
            memories: false,
            stationary: Stationary::Biases,
            epochs: self.epochs,
            rows: self.rows,
            bptt: self.window,
            learning_rate: self.learning_rate,
            decay: self.decay,
            warm_up: 1,
            clip: 0.0,
            weight_decay: self.weight_decay,
            input_dropout: 0.0,
            dropout: 0.0,
            recency_mask: false,
            min_user_history_length_percentile: 0.0,
            max_user_history_length_percentile: 1.0,
            patience: self.patience,
            ..hrnn_gru::Settings::default()
        }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "RNN";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
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

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn in_standard_units(&self) -> bool {
        self.predicts_ratings()
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }
}

/// Trains the RNN on `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or with a row without value,
/// [`crate::ModelError::Interrupted`] when asked to stop, [`crate::ModelError::Device`] when the device
/// fails.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    hrnn_gru::fit_as(&settings.clone().into(), &settings.network(), train, validation, context)
}

/// A trained RNN: an [`hrnn_gru::Model`].
pub struct Model;

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<hrnn_gru::Model> {
        let network = settings.network();
        hrnn_gru::Model::restore_as(settings.into(), &network, tensors)
    }
}
