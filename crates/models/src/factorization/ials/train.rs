//! Alternating passes over users and items.

use super::solve::{Problem, Space, System, gram};
use super::{Model, NAME, Settings, Solver};
use crate::engine::epochs::{self, Trainer};
use crate::engine::kernels::dot;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::ranking::{by_item, popularity, require_rows};
use crate::{FitContext, Fitted, Result, mean_reciprocal_rank};
use foretaste_data::{Histories, rng};
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

/// The interactions, by one side's rows, with weights.
struct Side {
    offsets: Vec<usize>,
    others: Vec<(u32, f32)>,
}

impl Side {
    /// Users and items of `train`; each row of a pair with several rows counts.
    fn both(settings: &Settings, train: &Histories) -> [Self; 2] {
        let weighted: Vec<(u32, f32)> = train
            .items()
            .iter()
            .zip(train.values())
            .map(|(item, value)| (*item, settings.weight(*value)))
            .collect();
        let (offsets, entries) = by_item(train.offsets(), train.items(), train.n_items());
        let others = entries.into_iter().map(|(user, place)| (user, weighted[place].1)).collect();
        [Self { offsets: train.offsets().to_vec(), others: weighted }, Self { offsets, others }]
    }

    /// Solves all rows of `mine` given `theirs`.
    fn solve(&self, settings: &Settings, mine: &mut [f32], theirs: &[f32]) {
        let k = settings.factors;
        let gram = gram(theirs, k, settings.unobserved);
        let n = theirs.len() / k;
        let row = |other: u32| &theirs[other as usize * k..(other as usize + 1) * k];
        mine.par_chunks_mut(k).enumerate().for_each_init(Space::default, |space, (at, x)| {
            let others = &self.others[self.offsets[at]..self.offsets[at + 1]];
            if others.is_empty() {
                x.fill(0.0);
                return;
            }
            let penalty = settings.penalty(others.len(), n);
            match settings.solver {
                Solver::Cg => Problem { gram: &gram, penalty, table: theirs, rows: others }.descend(
                    settings.steps,
                    0.0,
                    x,
                    space,
                ),
                Solver::Cholesky => {
                    let mut system = System::new(gram.clone(), k);
                    others.iter().for_each(|(other, weight)| system.add(row(*other), *weight));
                    x.copy_from_slice(&system.solve(penalty));
                }
            }
        });
    }
}

/// Trains iALS on `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows, [`crate::ModelError::Interrupted`] when asked to
/// stop.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    require_rows(NAME, train)?;
    let mut random = rng(context.seed, "ials factors");
    let normal = Normal::new(0.0, 0.1 / (settings.factors as f32).sqrt())
        .map_err(|e| crate::ModelError::Training { model: NAME, reason: e.to_string() })?;
    let items = (0..train.n_items() * settings.factors).map(|_| normal.sample(&mut random)).collect();
    let users = vec![0.0; train.n_users() * settings.factors];
    let trainer = Training { settings, train, sides: Side::both(settings, train), users, items };
    let limits = (settings.epochs, settings.patience);
    let (mut model, curve, best_epoch) =
        epochs::train_model(trainer, &settings.clone().into(), limits, train, validation, context)?;
    model.keep(train);
    Ok(Fitted { model: Box::new(model), curve, best_epoch })
}

struct Training<'a> {
    settings: &'a Settings,
    train: &'a Histories,
    sides: [Side; 2],
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn validate(&self, model: &Model, train: &Histories, validation: &Histories) -> f64 {
        1.0 - mean_reciprocal_rank(model, train, validation)
    }

    /// Returns the sum of `(w_u . h_i - 1)^2` over the training rows, after the step.
    fn epoch(&mut self, _: usize, context: &FitContext) -> Result<f64> {
        let k = self.settings.factors;
        self.sides[0].solve(self.settings, &mut self.users, &self.items);
        context.go_on()?;
        self.sides[1].solve(self.settings, &mut self.items, &self.users);
        context.go_on()?;
        let square = |(user, row): (usize, &[f32])| -> f64 {
            let others = &self.sides[0].others[self.sides[0].offsets[user]..self.sides[0].offsets[user + 1]];
            others
                .iter()
                .map(|(item, _)| {
                    f64::from(dot(row, &self.items[*item as usize * k..(*item as usize + 1) * k]) - 1.0)
                        .powi(2)
                })
                .sum()
        };
        let sums: Vec<f64> = self.users.par_chunks(k).enumerate().map(square).collect();
        Ok(sums.iter().sum())
    }

    fn model(&self, _: f64) -> Result<Model> {
        Ok(Model::new(self.settings.clone(), self.items.clone(), popularity(self.train)))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let k = self.settings.factors;
        let of = |name: &str, values: &[f32]| NamedTensor::new(name, &[values.len() / k, k], values.to_vec());
        Ok(vec![of("now.users", &self.users), of("now.items", &self.items)])
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let k = self.settings.factors;
        self.users = state.values("now.users", &[Some(self.train.n_users()), Some(k)])?;
        self.items = state.values("now.items", &[Some(self.train.n_items()), Some(k)])?;
        Ok(())
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
