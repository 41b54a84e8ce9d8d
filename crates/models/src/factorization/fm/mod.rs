//! Factorization machines over users, items, days, bags and attributes.
//!
//! Rendle 2012, *Factorization Machines with libFM*, equation 1: every feature has a weight and a
//! factor vector, every pair of features interacts through the product of theirs. Learning is by
//! Gibbs sampling (`mcmc`, the default), alternating least squares (`als`) or stochastic gradient
//! descent (`sgd`); the likelihood is normal or, under `mcmc`, an ordered probit (as in the package
//! myFM). Features: [`features`](self), arbitrary ones through [`Design`] and [`learn`].
//!
//! Under `mcmc` a prediction is the mean over draws, of which `kept` are kept, evenly spaced after
//! `burn_in`. Parts of items and days are stored folded, users' features raw, so that a new user's
//! known ratings form a bag.
//!
//! A user, item or day without training rows has the prior mean of its group. `streaming`: libFM has no
//! online update. Here an update moves the user's own `(c_u, q_u)`, on which the prediction is linear
//! given the item and the day, by one Bayesian regression step in each of sixteen draws (under `probit`
//! linearized at the prediction).

mod design;
mod features;
mod hyper;
mod machine;
mod model;
mod probit;
mod sgd;
mod sweep;
mod train;

use crate::algorithm::part;
use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, Result};
use foretaste_data::Histories;

pub use design::{Block, Design};
pub(crate) use machine::{fold, join};
pub use model::{Model, User};
pub(crate) use train::train_model;
pub use train::{fit, learn};

const NAME: &str = "fm";

/// How parameters are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// Gibbs sampling with hyper-priors.
    Mcmc,
    /// Alternating least squares, one parameter after the other.
    Als,
    /// Stochastic gradient descent.
    Sgd,
}

/// The likelihood of a rating given its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Score plus normal noise.
    Normal,
    /// One of several levels, by cutpoints on score plus normal noise.
    Probit,
}

/// Which interactions a bag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bag {
    /// No bag.
    None,
    /// Training interactions.
    Strict,
    /// Also the users and items (not the ratings) of the rows to be predicted: the literature's form, a leak.
    Transductive,
}

/// Settings of the factorization machine.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How parameters are learned.
    pub learner: Learner,
    /// The likelihood.
    pub likelihood: Likelihood,
    /// Length of a feature's factor vector.
    pub factors: usize,
    /// Draws of each chain (`mcmc`) or passes (`als`, `sgd`).
    pub iterations: usize,
    /// Chains side by side, each with its own initial values and random numbers (`mcmc`): their draws are
    /// averaged.
    pub chains: usize,
    /// Draws of each chain before the first that is kept.
    pub burn_in: usize,
    /// Largest number of draws kept, over all chains.
    pub kept: usize,
    /// In streaming: by how much the variance of a user's level grows from one time stamp with ratings to
    /// the next. 0 never discounts old ratings.
    pub drift: f32,
    /// Standard deviation of the initial factors.
    pub init_deviation: f32,
    /// The day of the rating as a category.
    pub day: bool,
    /// The items a user rated, as a bag.
    pub user_bag: Bag,
    /// The users who rated an item, as a bag.
    pub item_bag: Bag,
    /// Attributes of the user.
    pub user_attributes: bool,
    /// Attributes of the item.
    pub item_attributes: bool,
    /// Step size (`sgd`).
    pub learning_rate: f32,
    /// Penalty on a factor (`als`).
    pub regularization: f32,
    /// Penalty on a weight (`als`).
    pub weight_regularization: f32,
    /// Penalty on factors, per rating (`sgd`).
    pub sgd_regularization: f32,
    /// Penalty on weights, per rating (`sgd`).
    pub sgd_weight_regularization: f32,
    /// Epochs without a better validation error before training stops (`als`, `sgd`).
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            learner: Learner::Mcmc,
            likelihood: Likelihood::Normal,
            factors: 32,
            iterations: 512,
            chains: 1,
            burn_in: 32,
            kept: 96,
            drift: 0.0,
            init_deviation: 0.1,
            day: true,
            user_bag: Bag::Strict,
            item_bag: Bag::Strict,
            user_attributes: false,
            item_attributes: false,
            learning_rate: 0.01,
            regularization: 10.0,
            weight_regularization: 1.0,
            sgd_regularization: 0.03,
            sgd_weight_regularization: 0.005,
            patience: 5,
        }
    }
}

impl Settings {
    /// Checks of a rating model beyond [`check`](Self::check): bags cost `sgd` a step per member and rating.
    pub(crate) fn check_features(&self) -> Result<()> {
        if self.learner == Learner::Sgd && (self.user_bag != Bag::None || self.item_bag != Bag::None) {
            let reason = "sgd visits every member of a bag with every rating; set user_bag and item_bag \
                to \"none\", or learn by mcmc or als"
                .into();
            return Err(crate::ModelError::Setting { model: NAME, setting: "learner".into(), reason });
        }
        Ok(())
    }

    /// Whether predictions need the users and items of the rows to be predicted.
    #[must_use]
    pub fn is_transductive(&self) -> bool {
        self.user_bag == Bag::Transductive || self.item_bag == Bag::Transductive
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "FM";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "factors", self.factors, 1, 4096)?;
        within(NAME, "iterations", self.iterations, 1, 1_000_000)?;
        within(NAME, "chains", self.chains, 1, 256)?;
        within(NAME, "burn_in", self.burn_in, 0, 1_000_000)?;
        within(NAME, "kept", self.kept, 1, 10_000)?;
        within(NAME, "drift", self.drift, 0.0, 10.0)?;
        within(NAME, "init_deviation", self.init_deviation, 1e-6, 10.0)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "regularization", self.regularization, 0.0, 1e6)?;
        within(NAME, "weight_regularization", self.weight_regularization, 0.0, 1e6)?;
        within(NAME, "sgd_regularization", self.sgd_regularization, 0.0, 10.0)?;
        within(NAME, "sgd_weight_regularization", self.sgd_weight_regularization, 0.0, 10.0)?;
        within(NAME, "patience", self.patience, 1, 100_000)?;
        let fail = |setting: &str, reason: &str| {
            Err(crate::ModelError::Setting { model: NAME, setting: setting.into(), reason: reason.into() })
        };
        if self.chains > 1 && self.learner != Learner::Mcmc {
            return fail("chains", "several chains need learner = \"mcmc\"");
        }
        if self.chains > self.kept {
            return fail("kept", "fewer draws than chains; keep at least one of each");
        }
        if self.likelihood == Likelihood::Probit && self.learner != Learner::Mcmc {
            return fail("likelihood", "probit needs learner = \"mcmc\"");
        }
        Ok(())
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn is_transductive(&self) -> bool {
        Self::is_transductive(self)
    }

    fn in_standard_units(&self) -> bool {
        self.predicts_ratings()
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        // Draws are averaged: more of them never hurt.
        (self.learner != Learner::Mcmc).then_some(&mut self.iterations)
    }

    fn shorten(&mut self, share: f64) {
        for passes in [&mut self.iterations, &mut self.burn_in, &mut self.kept] {
            *passes = part(*passes, share);
        }
    }
}

#[cfg(test)]
mod tests;
