//! T-SVD: matrix factorization whose users and items drift (timeSVD++), with SVD++ and biased MF as
//! settings.
//!
//! Koren 2009, *Collaborative Filtering with Temporal Dynamics*, equation 14 with the parts of
//! sections 3 and 4:
//!
//! ```text
//! r^_ui(t) = mu + b_u(t) + (b_i + b_{i,Bin(t)}) c_u(t) + q_i . (p_u(t) + |R(u)|^-1/2 sum_{j in R(u)} y_j)
//! b_u(t) = b_u + alpha_u dev_u(t) + b_{u,t}                        (bias = "linear")
//! b_u(t) = b_u + sum_l k_l(t) b_l / sum_l k_l(t) + b_{u,t}   (bias = "spline"),
//!                                                            k_l(t) = exp(-gamma |t - t_l|)
//! c_u(t) = c_u + c_{u,t}                                           (scale)
//! p_u(t) = p_u + a_u dev_u(t) + p_{u,t}                            (factor_drift, day_factors)
//! dev_u(t) = sign(t - t_u) |t - t_u|^0.4
//! ```
//!
//! `t` counts days. The paper's dev is in days; here it is divided by that of a year, so that drifts
//! are of the size of what drifts. Items have `item_bins` bins of equal length.
//!
//! **Days without training rows.** Parameters of a user's day exist where the user has training rows
//! on that day. On any other day, as on every day of a `future` split's test part, `b_{u,t}`,
//! `c_{u,t}` and `p_{u,t}` are 0, dev is that of the nearest day within the user's training days (a
//! drift continues to the last known day and no further), and a time beyond the bins has the nearest.
//!
//! An unknown user has the mean over users for `(b_u, p_u)`, no drift, and `y_j` of the known items;
//! an unknown item no bias and no factors. `streaming`: the paper has no update; here an
//! update moves `(b_u, p_u)` by one Bayesian regression step on `(1, q_i)`, as in PMF.

mod calendar;
mod model;
mod train;
mod user;

use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, Result};
use foretaste_data::Histories;

pub use model::{Model, User};
pub use train::fit;

const NAME: &str = "tsvd";

/// How a user's bias changes over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasDrift {
    /// It is constant.
    Static,
    /// Along `dev_u(t)`.
    Linear,
    /// Between control points.
    Spline,
}

/// Settings of T-SVD.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of a user's and an item's factor vector.
    pub factors: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Users whose changes are applied to the items together. It affects the result.
    pub batch: usize,
    /// Step size of the first epoch.
    pub learning_rate: f32,
    /// Step size of what depends on time, relative to `learning_rate`.
    pub time_learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// Penalty on factors, per rating.
    pub regularization: f32,
    /// Penalty on biases, per rating.
    pub bias_regularization: f32,
    /// Penalty on implicit factors, per user.
    pub implicit_regularization: f32,
    /// Penalty on what depends on time, per rating.
    pub time_regularization: f32,
    /// The implicit term of SVD++.
    pub implicit: bool,
    /// Time bins of the item biases; 1 is none.
    pub item_bins: usize,
    /// How a user's bias changes.
    pub bias: BiasDrift,
    /// Sharpness of the spline, per day.
    pub spline_gamma: f32,
    /// A bias for each of a user's days.
    pub day_bias: bool,
    /// A user's scale of item biases, and that of each of the user's days.
    pub scale: bool,
    /// Drift of each of a user's factors.
    pub factor_drift: bool,
    /// Factors for each of a user's days.
    pub day_factors: bool,
    /// Standard deviation of the initial factors.
    pub init_deviation: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            factors: 120,
            epochs: 60,
            batch: 16,
            learning_rate: 0.022,
            time_learning_rate: 0.16,
            decay: 0.896,
            regularization: 0.032,
            bias_regularization: 0.0019,
            implicit_regularization: 0.154,
            time_regularization: 0.122,
            implicit: true,
            item_bins: 38,
            bias: BiasDrift::Linear,
            spline_gamma: 0.3,
            day_bias: true,
            scale: false,
            factor_drift: true,
            day_factors: true,
            init_deviation: 0.006,
            patience: 4,
        }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "T-SVD";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "factors", self.factors, 1, 4096)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "batch", self.batch, 1, 65_536)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "time_learning_rate", self.time_learning_rate, 1e-4, 10.0)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "regularization", self.regularization, 0.0, 10.0)?;
        within(NAME, "bias_regularization", self.bias_regularization, 0.0, 10.0)?;
        within(NAME, "implicit_regularization", self.implicit_regularization, 0.0, 10.0)?;
        within(NAME, "time_regularization", self.time_regularization, 0.0, 10.0)?;
        within(NAME, "item_bins", self.item_bins, 1, 255)?;
        within(NAME, "spline_gamma", self.spline_gamma, 1e-4, 10.0)?;
        within(NAME, "init_deviation", self.init_deviation, 1e-6, 10.0)?;
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

#[cfg(test)]
mod tests;
