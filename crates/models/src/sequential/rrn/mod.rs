//! RRN: users and items as states of recurrent networks over time.
//!
//! Wu, Ahmed, Beutel, Smola and Jing 2017, *Recurrent Recommender Networks*, sections 3.2 to 3.4:
//!
//! ```text
//! y_t = W_embed [x_{t-1}, 1_newbie, tau_t, tau_{t-1}],   u_t = LSTM(u_{t-1}, y_t)   (likewise for items)
//! r^_ij|t = mu + <u~_it, m~_jt> + <u_i, m_j> + b_i + b_j,   u~ = W_user u + b_user,   m~ = W_item m + b_item
//! ```
//!
//! `x_{t-1}` are the ratings of the step before, as a sum of embeddings; steps without ratings are
//! left out; a step lasts `user_days` or `item_days`. The state at a step has seen the ratings of
//! earlier steps alone, so a rating is predicted from what was known before its step, in training
//! as at prediction ("extrapolated states": one step more, with the time asked for).
//!
//! Training alternates ("subspace descent"): backward through the users' networks with the items' states
//! fixed, then the other way round. Networks take Adam steps, as in the paper; embeddings and the
//! stationary factors `u_i, m_j` take them on the touched rows alone (the paper: gradient descent).
//! Stationary factors begin with those of a small PMF, all else at random.
//!
//! `streaming`: an update joins its step and moves the user's later steps. Within its step the
//! paper has no update; here it also moves the stationary `(b_i, u_i)` by one Bayesian regression
//! step on `(1, m_j)`, as in PMF, from which a new user gets a stationary part. An item without
//! training rows has the state of a new item and no stationary part; in a user's history it enters with
//! its first, random embedding.

mod model;
mod native;
#[cfg(feature = "burn")]
mod network;
mod replay;
mod steps;
mod train;

use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, Result};
use foretaste_data::Histories;

pub use model::{Model, User};
pub use train::fit;

const NAME: &str = "rrn";

/// Settings of RRN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hidden units of each network.
    pub size: usize,
    /// Length of the input embedding.
    pub embedding: usize,
    /// Length of `u~` and `m~`.
    pub dynamic_factors: usize,
    /// Length of the stationary factors.
    pub stationary_factors: usize,
    /// Days a user's step lasts.
    pub user_days: usize,
    /// Days an item's step lasts.
    pub item_days: usize,
    /// Rounds over users and items, at most.
    pub epochs: usize,
    /// Passes of the PMF that the stationary part begins from.
    pub pretraining: usize,
    /// Sequences in a batch.
    pub rows: usize,
    /// Steps of a sequence in a batch: how far gradients reach back.
    pub window: usize,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Step size of the stationary part, relative to `learning_rate`.
    pub stationary_learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// Decoupled weight decay of embeddings and stationary factors, in units of the step size.
    pub weight_decay: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 40,
            embedding: 40,
            dynamic_factors: 20,
            stationary_factors: 20,
            user_days: 1,
            item_days: 30,
            epochs: 10,
            pretraining: 15,
            rows: 32,
            window: 16,
            learning_rate: 0.002,
            stationary_learning_rate: 0.5,
            decay: 0.85,
            weight_decay: 0.1,
            patience: 2,
        }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "RRN";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "size", self.size, 1, 4096)?;
        within(NAME, "embedding", self.embedding, 1, 4096)?;
        within(NAME, "dynamic_factors", self.dynamic_factors, 1, 4096)?;
        within(NAME, "stationary_factors", self.stationary_factors, 1, 4096)?;
        within(NAME, "user_days", self.user_days, 1, 10_000)?;
        within(NAME, "item_days", self.item_days, 1, 10_000)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "pretraining", self.pretraining, 1, 1_000)?;
        within(NAME, "rows", self.rows, 1, 65_536)?;
        within(NAME, "window", self.window, 1, 4096)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "stationary_learning_rate", self.stationary_learning_rate, 0.0, 10.0)?;
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
        true
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }
}

/// Mean and deviation of the ratings, and of their days.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    mean: f32,
    deviation: f32,
    day_mean: f32,
    day_deviation: f32,
}

impl Scale {
    /// `tau` of a day.
    fn tau(self, day: i32) -> f32 {
        (day as f32 - self.day_mean) / self.day_deviation
    }

    fn standardize(self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// The first day of the step of `days` days that a time stamp falls into.
fn step_day(timestamp: i64, days: usize) -> i32 {
    let days = days as i64;
    (timestamp.div_euclid(86_400).div_euclid(days) * days) as i32
}

#[cfg(test)]
mod tests;
