//! Probabilistic matrix factorization.
//!
//! Salakhutdinov and Mnih 2008, equation 4: the maximum a posteriori estimate of
//!
//! ```text
//! E = 1/2 sum_(u,i) (r_ui - r^_ui)^2 + lambda/2 sum_(u,i) (|P_u|^2 + |Q_i|^2),   r^_ui = mu + P_u . Q_i
//! ```
//!
//! with the penalty applied once per rating, as stochastic gradient descent does (so that it grows with
//! a user's ratings, Zhou et al. 2008). With `biases` the prediction is `mu + b_u + b_i + P_u . Q_i`
//! (Koren, Bell and Volinsky 2009, equation 4). Training: [`train`](self), in parallel and equal to
//! the bit whatever the number of threads.
//!
//! `streaming`: a user's `(b_u, P_u)` is a Bayesian linear regression on the fixed `(1, Q_i)`; its
//! prior is the spread of all trained users, its noise the training error, and an update is
//! one Kalman step. An unknown user has the prior's mean; an unknown item has no bias and no factors.

mod fold_in;
mod train;

use crate::engine::fold_in::Population;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Predictor, Result, state};

use foretaste_data::{Histories, History};

pub use fold_in::User;
pub use train::fit;

const NAME: &str = "pmf";

/// Settings of PMF.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of a user's and an item's factor vector.
    pub factors: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Step size of the first epoch.
    pub learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// Penalty on factors, per rating.
    pub regularization: f32,
    /// Penalty on biases, per rating.
    pub bias_regularization: f32,
    /// Whether users and items have biases.
    pub biases: bool,
    /// Standard deviation of the initial factors.
    pub init_deviation: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
    /// Rows and columns of the grid of rating blocks: the largest number of useful threads. Part of
    /// what determines the result, unlike the number of threads.
    pub blocks: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            factors: 128,
            epochs: 60,
            learning_rate: 0.03,
            decay: 0.9,
            regularization: 0.04,
            bias_regularization: 0.002,
            biases: true,
            init_deviation: 0.006,
            patience: 5,
            blocks: 8,
        }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "PMF";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "factors", self.factors, 1, 4096)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "regularization", self.regularization, 0.0, 10.0)?;
        within(NAME, "bias_regularization", self.bias_regularization, 0.0, 10.0)?;
        within(NAME, "init_deviation", self.init_deviation, 1e-6, 10.0)?;
        within(NAME, "patience", self.patience, 1, 100_000)?;
        within(NAME, "blocks", self.blocks, 1, 256)
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

/// A trained factorization. Factors are row-major, one row of `factors` per user or item; users and
/// items without training rows have zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    mean: f32,
    user_factors: Vec<f32>,
    item_factors: Vec<f32>,
    user_biases: Vec<f32>,
    item_biases: Vec<f32>,
    population: Population,
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let k = settings.factors;
        Ok(Self {
            mean: tensors.scalar("mean")?,
            user_factors: tensors.values("user_factors", &[None, Some(k)])?,
            item_factors: tensors.values("item_factors", &[None, Some(k)])?,
            user_biases: tensors.values("user_biases", &[None])?,
            item_biases: tensors.values("item_biases", &[None])?,
            population: Population::restore(k + 1, tensors)?,
            settings,
        })
    }

    fn item(&self, item: u32) -> Option<(f32, &[f32])> {
        let (item, k) = (item as usize, self.settings.factors);
        Some((*self.item_biases.get(item)?, self.item_factors.get(item * k..(item + 1) * k)?))
    }

    /// `(b_u, P_u)` of a trained user.
    fn user(&self, user: u32) -> Option<Vec<f32>> {
        let (user, k) = (user as usize, self.settings.factors);
        if !self.population.knows(user as u32) {
            return None;
        }
        let mut theta = Vec::with_capacity(k + 1);
        theta.push(self.user_biases[user]);
        theta.extend_from_slice(&self.user_factors[user * k..(user + 1) * k]);
        Some(theta)
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.user_factors.len()
            + self.item_factors.len()
            + self.user_biases.len()
            + self.item_biases.len()
            + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let (k, users, items) = (self.settings.factors, self.user_biases.len(), self.item_biases.len());
        let mut tensors = vec![
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new("user_factors", &[users, k], self.user_factors.clone()),
            NamedTensor::new("item_factors", &[items, k], self.item_factors.clone()),
            NamedTensor::new("user_biases", &[users], self.user_biases.clone()),
            NamedTensor::new("item_biases", &[items], self.item_biases.clone()),
        ];
        tensors.extend(self.population.tensors());
        tensors
    }

    fn start(&self, user: u32, known: History<'_>) -> User {
        User::start(self, user, known)
    }

    fn update(&self, user: &mut User, item: u32, value: f32, _: i64) {
        user.update(self, item, value);
    }

    fn predict(&self, user: &User, item: u32, _: i64) -> f32 {
        user.predict(self, item)
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user: &User| user.fits(self))
    }
}
