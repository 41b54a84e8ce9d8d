//! AutoRec: an autoencoder with one hidden layer over items' (I-AutoRec) or users' (U-AutoRec) ratings.
//!
//! Sedhain, Menon, Sanner and Xie 2015, *AutoRec: Autoencoders Meet Collaborative Filtering*:
//!
//! ```text
//! h(r) = f(W g(V r + b_1) + b_o),   min sum_i |r_i - h(r_i)|^2_observed + lambda/2 (|W|^2 + |V|^2)
//! ```
//!
//! with `g` the sigmoid and `f` the identity. The paper minimizes by L-BFGS or RProp; here by Adam on
//! batches of rows with a falling step size. As in the paper ratings enter as they are, so that the
//! input also says who rated; with `center` the global mean is subtracted, and a missing rating is an
//! average one. An item without training rows gets the mean (U-AutoRec) or the output of its empty row
//! (I-AutoRec); a user without any has the mean of the users' output weights (I-AutoRec).
//!
//! `streaming`: U-AutoRec's input is the user's ratings, and an update adds one. I-AutoRec's
//! input is an item's ratings; given the items' codes `g` its prediction is linear in the user's
//! output weights, and an update changes these by one Bayesian regression step whose
//! covariance is kept as one number (500 x 500 numbers per user would be too many): with
//! `theta ~ N(m, v I)` the gain is `v x / (s + v |x|^2)`, and `v` loses what the full covariance
//! would lose, spread over the effective number of dimensions of the codes (their participation ratio).

mod model;

use crate::autoencoder::{
    self, Activation, Objective, Optimizer, Rows, Shape, Training as Engine, transposed,
};
use crate::engine::epochs::{self, Trainer};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::model::training_mean;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, Result};
use foretaste_data::Histories;

pub use model::{Model, User};

const NAME: &str = "autorec";

/// What a row of ratings belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// An item: I-AutoRec.
    Items,
    /// A user: U-AutoRec.
    Users,
}

/// Settings of AutoRec.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a row of ratings belongs to.
    pub side: Side,
    /// Hidden units.
    pub size: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Rows per step.
    pub batch: usize,
    /// Step size of Adam in the first epoch.
    pub learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// `lambda` of the paper's objective.
    pub regularization: f32,
    /// Whether the mean rating is subtracted from the input.
    pub center: bool,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            side: Side::Items,
            size: 500,
            epochs: 200,
            batch: 374,
            learning_rate: 0.0017,
            decay: 0.984,
            regularization: 170.0,
            center: false,
            patience: 10,
        }
    }
}

impl Settings {
    fn shape(&self, width: usize) -> Shape {
        Shape::mirrored(width, &[self.size], Activation::Sigmoid, Activation::Identity)
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "AutoRec";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        autoencoder::check(NAME, &[self.size], self.batch, self.learning_rate, 0.0)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "regularization", self.regularization, 0.0, 1e6)?;
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

/// Trains AutoRec on `train`.
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
    let mean = training_mean(NAME, train)?;
    let users = Rows::users(train, if settings.center { mean } else { 0.0 });
    let rows = if settings.side == Side::Items { transposed(&users) } else { users };
    let objective = Objective {
        optimizer: Optimizer::Adam,
        batch: settings.batch,
        regularization: settings.regularization,
        mean: false,
        dropout: 0.0,
        refeeding: 0,
        drop_last: false,
    };
    let engine = Engine::new(settings.shape(rows.width), objective, &rows, context.seed, context.device);
    let trainer = Training { settings, mean, rows: &rows, engine };
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.epochs, settings.patience),
        train,
        validation,
        context,
    )
}

struct Training<'a> {
    settings: &'a Settings,
    mean: f32,
    rows: &'a Rows,
    engine: Engine<'a>,
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let rate = self.settings.learning_rate * self.settings.decay.powi(epoch as i32);
        self.engine.epoch(epoch, rate, context)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        Ok(Model::new(self.settings.clone(), self.mean, self.engine.network()?, self.rows, train_error))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        self.engine.state()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.engine.restore(state)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
