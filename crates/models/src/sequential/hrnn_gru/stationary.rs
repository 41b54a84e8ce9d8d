//! The stationary part: what the network adds to.
//!
//! With `stationary = "fm"` a factorization machine predicts, one of several that are each trained
//! without one fold of the users. A training row is predicted by the machine that has not seen its
//! user, so that the network learns from the residuals of ratings that the machine has not seen; a
//! row to be predicted, by the mean of all of them (cross-fitting: Wolpert 1992, *Stacked generalization*).
//! Every user is new to every machine and is folded in rating by rating. One difference remains: the
//! known rows of a training user trained all machines but one, so their residuals are a
//! little smaller at prediction than they were in training.

use super::{NAME, Settings};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{FitContext, ModelError, Predictor, RatingModel, Reading, Result, fm};
use foretaste_data::{Histories, History, Timestamps, Values, rng, stream_seed};
use rand::seq::SliceRandom;

/// Trained machines, one per fold; empty without a stationary part of this kind.
#[derive(Default)]
pub(super) struct Machines(Vec<fm::Model>);

/// Settings of a machine.
fn machine(settings: &Settings) -> fm::Settings {
    fm::Settings {
        factors: settings.fm_factors,
        iterations: settings.fm_iterations,
        burn_in: settings.fm_iterations / 8,
        kept: 16,
        drift: settings.fm_drift,
        day: false,
        user_bag: fm::Bag::None,
        ..fm::Settings::default()
    }
}

/// The fold of each user: those with rows are assigned in random order.
fn deal(train: &Histories, seed: u64, folds: usize) -> Vec<usize> {
    let mut users: Vec<u32> =
        (0..train.n_users() as u32).filter(|user| !train.range(*user).is_empty()).collect();
    users.shuffle(&mut rng(seed, "hrnn folds"));
    let mut dealt = vec![0; train.n_users()];
    users.iter().enumerate().for_each(|(at, user)| dealt[*user as usize] = at % folds);
    dealt
}

/// The rows of the users that `keep` names; the others' histories are empty.
fn part(all: &Histories, keep: impl Fn(u32) -> bool) -> Histories {
    let mut columns = (vec![0], Vec::new(), Values::default(), Timestamps::default());
    for user in 0..all.n_users() as u32 {
        if keep(user) {
            let history = all.user(user);
            columns.1.extend_from_slice(history.items);
            columns.2.extend(history.values);
            columns.3.extend(history.timestamps);
        }
        columns.0.push(columns.1.len());
    }
    Histories::new(columns.0, columns.1, columns.2, columns.3, all.n_items())
}

impl Machines {
    /// Trains the machines and predicts every training row from its user's rows before it.
    ///
    /// # Errors
    /// Those of [`fm::fit`].
    pub fn fit(settings: &Settings, train: &Histories, context: &FitContext) -> Result<(Self, Vec<f32>)> {
        if !settings.has_machines() {
            return Ok((Self::default(), Vec::new()));
        }
        let nothing = Histories::new(vec![0; train.n_users() + 1], vec![], vec![], vec![], train.n_items());
        let mut predictions = vec![0.0; train.len()];
        let mut machines = Vec::new();
        let dealt = deal(train, context.seed, settings.fm_folds);
        for at in 0..settings.fm_folds {
            let within = |user: u32| dealt[user as usize] == at;
            let others = part(train, |user| !within(user));
            if others.is_empty() {
                let reason = format!(
                    "one user alone cannot be cut into {} folds; set stationary = \"factors\"",
                    settings.fm_folds
                );
                return Err(ModelError::Training { model: NAME, reason });
            }
            let seed = stream_seed(context.seed, &format!("hrnn machine {at}"));
            let settings = fm::Settings {
                user_bag: fm::Bag::Strict,
                item_attributes: settings.metadata && context.item_attributes.is_some(),
                ..machine(settings)
            };
            let machine =
                fm::train_model(&settings, &others, &FitContext { seed, checkpoint: None, ..*context })?;
            let held = part(train, within);
            let mut found =
                (&machine as &dyn RatingModel).predict(&nothing, &held, Reading::Streaming).into_iter();
            for user in (0..train.n_users() as u32).filter(|user| within(*user)) {
                predictions[train.range(user)].iter_mut().zip(&mut found).for_each(|(out, p)| *out = p);
            }
            machines.push(machine.for_strangers());
        }
        Ok((Self(machines), predictions))
    }

    /// A new user's state in every machine.
    pub fn start(&self) -> Vec<fm::User> {
        self.0.iter().map(|machine| machine.start(u32::MAX, History::default())).collect()
    }

    /// The mean of all machines' predictions; `None` without machines.
    pub fn predict(&self, states: &[fm::User], item: u32, timestamp: i64) -> Option<f32> {
        let sum: f32 =
            self.0.iter().zip(states).map(|(machine, user)| machine.predict(user, item, timestamp)).sum();
        (!self.0.is_empty()).then(|| sum / self.0.len() as f32)
    }

    /// Adds an interaction to every machine's state.
    pub fn update(&self, states: &mut [fm::User], item: u32, value: f32, timestamp: i64) {
        self.0.iter().zip(states).for_each(|(machine, user)| machine.update(user, item, value, timestamp));
    }

    /// Whether there is a state of each machine's sizes.
    pub fn fit_states(&self, states: &[fm::User]) -> bool {
        self.0.len() == states.len() && self.0.iter().zip(states).all(|(machine, user)| user.fits(machine))
    }

    pub fn parameters(&self) -> usize {
        self.0.iter().map(Predictor::parameters).sum()
    }

    pub fn tensors(&self) -> Vec<NamedTensor> {
        let of = |(at, machine): (usize, &fm::Model)| {
            machine
                .tensors()
                .into_iter()
                .map(move |tensor| NamedTensor { name: format!("fm.{at}.{}", tensor.name), ..tensor })
                .collect::<Vec<_>>()
        };
        self.0.iter().enumerate().flat_map(of).collect()
    }

    pub fn restore(settings: &Settings, tensors: &Tensors) -> Result<Self> {
        let folds = if settings.has_machines() { settings.fm_folds } else { 0 };
        (0..folds)
            .map(|at| fm::Model::restore(machine(settings), &tensors.under(&format!("fm.{at}."))))
            .collect::<Result<_>>()
            .map(Self)
    }
}
