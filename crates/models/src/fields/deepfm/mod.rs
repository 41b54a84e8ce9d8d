//! DeepFM: a factorization machine and a deep network over the same field embeddings.
//!
//! Guo et al. 2017, *DeepFM: A Factorization-Machine based Neural Network for CTR Prediction*, equations 1 to
//! 4:
//!
//! ```text
//! s      = w_0 + y_FM + y_DNN
//! y_FM   = <w, x> + sum_{j<k} <V_j, V_k> x_j x_k                   (over all pairs of features)
//! a_0    = (e_1, .., e_m),   e_f = sum_{j in field f} V_j x_j      (V is shared with y_FM)
//! a_l    = relu(a_l-1 W_l + b_l)                                   (`depth` layers of `size` units)
//! y_DNN  = <w_out, a_depth> + b_out
//! ```
//!
//! `objective = "rating"` takes `s` as the rating (squared error), `"click"` as the log-odds of a click
//! (logistic loss): a rating of at least `threshold`, or an interaction without value; each row then also
//! trains `negatives` sampled items as not clicked. `depth = 0` is the factorization machine.
//!
//! | field | features |
//! |---|---|
//! | user, item | the id |
//! | a column of attributes | its values, each `1/n` of `n` (`metadata`, where the data set has attributes) |
//! | hour, weekday | of the row's time, UTC (`calendar`) |
//! | recent | the newest items of the user before the row's time, each `1/n` (`recent` of them, at most) |
//!
//! A user or item without training rows has the mean of those with some, and attributes of their own.
//! `streaming`: the paper has no online update. Here an update joins the recent items; under `rating` it also
//! moves the user's `(c_u, q_u)`, on which `y_FM` is linear, by one Bayesian regression step, while `y_DNN`
//! is unchanged.
//!
//! Embeddings and their sparse Adam steps are on the host for every device; the layers are native code on the
//! CPU (`deep.rs`) and burn's elsewhere (`network.rs`).

mod deep;
mod fields;
mod model;
#[cfg(feature = "burn")]
mod network;
mod train;

use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelError, Result};
use foretaste_data::Histories;

pub use model::{Model, User};
pub use train::{fit, train};

const NAME: &str = "deepfm";

/// What the score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The rating.
    Rating,
    /// The log-odds of a click.
    Click,
}

/// Settings of DeepFM.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What the score is.
    pub objective: Objective,
    /// The lowest rating that counts as a click.
    pub threshold: f32,
    /// Sampled negatives per row, from all items that the user has no row of.
    pub negatives: usize,
    /// Length of a feature's embedding.
    pub factors: usize,
    /// Layers of the deep part; 0 leaves it out.
    pub depth: usize,
    /// Units of a layer.
    pub size: usize,
    /// Share of every layer's units that is dropped in training.
    pub dropout: f32,
    /// Attributes of users and items as fields, where the data set has them.
    pub metadata: bool,
    /// Hour and weekday as fields.
    pub calendar: bool,
    /// How many of the user's newest items are a field; 0 for none.
    pub recent: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Examples per step.
    pub batch: usize,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// Decoupled weight decay of the features a step touches (Loshchilov and Hutter 2019), in units of the
    /// step size.
    pub weight_decay: f32,
    /// Standard deviation of the initial embeddings.
    pub init_deviation: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Rating,
            threshold: 4.0,
            negatives: 0,
            factors: 16,
            depth: 2,
            size: 128,
            dropout: 0.0,
            metadata: true,
            calendar: true,
            recent: 0,
            epochs: 20,
            batch: 1024,
            learning_rate: 0.001,
            decay: 1.0,
            weight_decay: 0.0,
            init_deviation: 0.01,
            patience: 2,
        }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "DeepFM";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        if !self.threshold.is_finite() {
            return Err(ModelError::Setting {
                model: NAME,
                setting: "threshold".into(),
                reason: "must be a number".into(),
            });
        }
        if self.negatives > 0 && self.objective == Objective::Rating {
            let reason = "items without a rating have nothing to learn; set objective = \"click\"".into();
            return Err(ModelError::Setting { model: NAME, setting: "negatives".into(), reason });
        }
        within(NAME, "negatives", self.negatives, 0, 1000)?;
        within(NAME, "factors", self.factors, 1, 4096)?;
        within(NAME, "depth", self.depth, 0, 32)?;
        within(NAME, "size", self.size, 1, 8192)?;
        within(NAME, "dropout", self.dropout, 0.0, 0.95)?;
        within(NAME, "recent", self.recent, 0, 1000)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "batch", self.batch, 1, 1_000_000)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "weight_decay", self.weight_decay, 0.0, 100.0)?;
        within(NAME, "init_deviation", self.init_deviation, 1e-6, 10.0)?;
        within(NAME, "patience", self.patience, 1, 100_000)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn predicts_ratings(&self) -> bool {
        self.objective == Objective::Rating
    }

    fn in_standard_units(&self) -> bool {
        self.predicts_ratings()
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }
}

#[cfg(test)]
mod tests;
