//! Learning: Gibbs draws, least-squares sweeps or gradient passes, each an epoch.

use super::design::Design;
use super::features::{self, Layout};
use super::hyper::{Hyper, draw_alpha};
use super::machine::Machine;
use super::model::{Draw, Model, Samples};
use super::probit::Cutpoints;
use super::sweep::{Prior, Sweeper};
use super::{Learner, Likelihood, NAME, Settings, sgd};
use crate::engine::epochs::{self, Trainer};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::{Algorithm, FitContext, Fitted, ModelError, Result};
use foretaste_data::{Histories, ValueSlice, rng};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Largest number of levels of an ordered probit.
const MOST_LEVELS: usize = 64;

/// Trains a factorization machine on `train`.
///
/// # Errors
/// [`ModelError::Training`] without training rows, with a row without value, or without what the
/// settings' features need; [`ModelError::Interrupted`] when asked to stop.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    training_mean(NAME, train)?;
    settings.check_features()?;
    let (design, layout) = features::design(settings, train, context)?;
    let patience = if settings.learner == Learner::Mcmc { settings.iterations } else { settings.patience };
    let trainer = Training::new(settings, &design, layout, train, context.seed)?;
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.iterations, patience),
        train,
        validation,
        context,
    )
}

/// The model after all iterations, for models that build on it.
pub(crate) fn train_model(settings: &Settings, train: &Histories, context: &FitContext) -> Result<Model> {
    let (design, layout) = features::design(settings, train, context)?;
    let mut training = Training::new(settings, &design, layout, train, context.seed)?;
    let mut squares = 0.0;
    for iteration in 0..settings.iterations {
        squares = training.epoch(iteration, context)?;
    }
    training.model((squares / train.len() as f64).sqrt())
}

/// Learns a machine over any design: `each` is called with every iteration's number (from 1) and predictions
/// for `asked`, which must have the blocks and features of `design`; under `mcmc` average them.
///
/// # Errors
/// [`ModelError::Training`] when target and design do not fit together.
pub fn learn(
    settings: &Settings,
    design: &Design,
    target: &[f32],
    asked: &Design,
    seed: u64,
    mut each: impl FnMut(usize, &[f32]),
) -> Result<()> {
    settings.check()?;
    let mut chains = chains(settings, design, target.into(), seed)?;
    for iteration in 0..settings.iterations {
        step(&mut chains, iteration);
        let mut predictions = vec![0.0; asked.len()];
        for chain in &chains {
            let folded: Vec<Vec<f32>> =
                asked.blocks().iter().enumerate().map(|(b, block)| chain.machine.fold(b, block)).collect();
            for (sum, score) in predictions.iter_mut().zip(chain.machine.predict(asked, &folded)) {
                let one = chain.levels.as_ref().map_or(score, |levels| {
                    levels.cutpoints.expectation(&levels.values, f64::from(score)).0 as f32
                });
                *sum += one / settings.chains as f32;
            }
        }
        each(iteration + 1, &predictions);
    }
    Ok(())
}

/// Chains that share nothing but the data: the first runs under `seed` itself.
fn chains<'a>(
    settings: &'a Settings,
    design: &'a Design,
    target: ValueSlice<'a>,
    seed: u64,
) -> Result<Vec<Chain<'a>>> {
    let seed =
        |chain: usize| if chain == 0 { seed } else { rng(seed, &format!("fm chain {chain}")).random() };
    (0..settings.chains).map(|chain| Chain::new(settings, design, target, seed(chain))).collect()
}

/// One iteration of all chains, in parallel; returns the mean over chains of [`Chain::step`]'s sums.
fn step(chains: &mut [Chain], iteration: usize) -> f64 {
    let squares: Vec<f64> = chains.par_iter_mut().map(|chain| chain.step(iteration)).collect();
    squares.iter().sum::<f64>() / squares.len() as f64
}

/// The ordered probit's part of a chain.
struct Levels {
    values: Vec<f32>,
    of_rows: Vec<u8>,
    cutpoints: Cutpoints,
}

/// A machine in training on a design.
struct Chain<'a> {
    settings: &'a Settings,
    design: &'a Design,
    target: ValueSlice<'a>,
    seed: u64,
    sweeper: Sweeper<'a>,
    machine: Machine,
    hyper: Hyper,
    alpha: f32,
    levels: Option<Levels>,
}

impl<'a> Chain<'a> {
    fn new(settings: &'a Settings, design: &'a Design, target: ValueSlice<'a>, seed: u64) -> Result<Self> {
        let fail = |reason: String| Err(ModelError::Training { model: NAME, reason });
        if target.len() != design.len() || target.is_empty() {
            return fail(format!("{} target values for {} rows", target.len(), design.len()));
        }
        let width = settings.factors + 1;
        let table = |(place, block): (usize, &super::Block)| {
            let mut random = rng(seed, &format!("fm init {place}"));
            let mut table = vec![0.0; block.n_features() * width];
            for row in table.chunks_exact_mut(width) {
                for factor in &mut row[..settings.factors] {
                    let noise: f32 = StandardNormal.sample(&mut random);
                    *factor = settings.init_deviation * noise;
                }
            }
            table
        };
        let mut tables: Vec<Vec<f32>> = design.blocks().iter().enumerate().map(table).collect();
        let sweeper = Sweeper::new(design);
        // Features without rows stay at their prior's mean, 0.
        for (place, table) in tables.iter_mut().enumerate() {
            table
                .chunks_exact_mut(width)
                .enumerate()
                .filter(|(feature, _)| !sweeper.occurs(place, *feature))
                .for_each(|(_, row)| row.fill(0.0));
        }
        let levels = match settings.likelihood {
            Likelihood::Normal => None,
            Likelihood::Probit => {
                let mut values = target.to_vec();
                values.sort_unstable_by(f32::total_cmp);
                values.dedup();
                if values.len() < 2 || values.len() > MOST_LEVELS {
                    return fail(format!(
                        "an ordered probit needs 2 to {MOST_LEVELS} distinct ratings, not {}; use likelihood \
                         = \"normal\"",
                        values.len()
                    ));
                }
                let of_rows: Vec<u8> =
                    target.iter().map(|t| values.partition_point(|v| v < t) as u8).collect();
                let mut shares = vec![0.0; values.len()];
                of_rows.iter().for_each(|level| shares[usize::from(*level)] += 1.0 / target.len() as f64);
                Some(Levels { values, of_rows, cutpoints: Cutpoints::first(&shares) })
            }
        };
        let mean = target.iter().map(|t| f64::from(*t)).sum::<f64>() / target.len() as f64;
        let machine = Machine {
            factors: settings.factors,
            intercept: if levels.is_some() { 0.0 } else { mean as f32 },
            tables,
        };
        let (precision, weight_precision) = match settings.learner {
            Learner::Mcmc => (1.0, 1.0),
            _ => (settings.regularization, settings.weight_regularization),
        };
        let hyper = Hyper::new(settings.factors, design.n_groups(), precision, weight_precision);
        Ok(Self { settings, design, target, seed, sweeper, machine, hyper, alpha: 1.0, levels })
    }

    /// One iteration; returns the sum of squared errors of the machine before it.
    fn step(&mut self, iteration: usize) -> f64 {
        if self.settings.learner == Learner::Sgd {
            return sgd::pass(
                &mut self.machine,
                self.design,
                self.target,
                self.settings,
                self.seed,
                iteration,
            );
        }
        let folded: Vec<Vec<f32>> =
            self.design.blocks().iter().enumerate().map(|(b, block)| self.machine.fold(b, block)).collect();
        let scores = self.machine.predict(self.design, &folded);
        let squares = |predicted: &dyn Fn(f32) -> f64| {
            scores.iter().zip(self.target).map(|(s, t)| (f64::from(*t) - predicted(*s)).powi(2)).sum::<f64>()
        };
        if self.settings.learner == Learner::Als {
            let squares = squares(&|s| f64::from(s));
            let mut errors: Vec<f32> = self.target.iter().zip(&scores).map(|(t, s)| t - s).collect();
            let mean = errors.iter().map(|e| f64::from(*e)).sum::<f64>() / errors.len() as f64;
            self.machine.intercept += mean as f32;
            errors.iter_mut().for_each(|e| *e -= mean as f32);
            let hyper = &self.hyper;
            let none: Option<&mut rand_chacha::ChaCha8Rng> = None;
            self.sweeper.sweep(
                &mut self.machine,
                &folded,
                &mut errors,
                1.0,
                |dimension, group| hyper.prior(dimension, group),
                none,
            );
            return squares;
        }

        let mut random = rng(self.seed, &format!("fm gibbs {iteration}"));
        let (squares, mut errors) = match &mut self.levels {
            None => {
                let squares = squares(&|s| f64::from(s));
                self.alpha = draw_alpha(squares, self.target.len(), &mut random);
                (squares, self.target.iter().zip(&scores).map(|(t, s)| t - s).collect::<Vec<f32>>())
            }
            Some(levels) => {
                let squares = squares(&|s| levels.cutpoints.expectation(&levels.values, f64::from(s)).0);
                levels.cutpoints.draw(&levels.of_rows, &scores, &mut random);
                let mut errors = vec![0.0; scores.len()];
                levels.cutpoints.draw_latent(&levels.of_rows, &scores, &mut errors, self.seed, iteration);
                (squares, errors)
            }
        };
        self.hyper.draw(&self.machine, self.design, &self.sweeper, &mut random);
        if self.levels.is_none() {
            // The cutpoints hold the ordered probit's intercept.
            let n = errors.len() as f64;
            let alpha = f64::from(self.alpha);
            let sum: f64 = errors.iter().map(|e| f64::from(*e)).sum();
            let old = f64::from(self.machine.intercept);
            let precision = alpha * n + 1.0;
            let noise: f64 = StandardNormal.sample(&mut random);
            let new = alpha * (sum + n * old) / precision + noise / precision.sqrt();
            self.machine.intercept = new as f32;
            errors.iter_mut().for_each(|e| *e -= (new - old) as f32);
        }
        let hyper = &self.hyper;
        self.sweeper.sweep(
            &mut self.machine,
            &folded,
            &mut errors,
            self.alpha,
            |dimension, group| hyper.prior(dimension, group),
            Some(&mut random),
        );
        squares
    }

    /// The state for a checkpoint, under names that begin with `prefix`.
    fn state(&self, prefix: &str) -> Vec<NamedTensor> {
        let width = self.machine.width();
        let mut state = vec![NamedTensor::new(
            format!("{prefix}scalars"),
            &[2],
            vec![self.machine.intercept, self.alpha],
        )];
        for (place, table) in self.machine.tables.iter().enumerate() {
            state.push(NamedTensor::new(
                format!("{prefix}table.{place}"),
                &[table.len() / width, width],
                table.clone(),
            ));
        }
        let priors: Vec<f32> = self.hyper.priors.iter().flat_map(|p| [p.mean, p.precision]).collect();
        state.push(NamedTensor::new(format!("{prefix}priors"), &[self.hyper.priors.len(), 2], priors));
        if let Some(levels) = &self.levels {
            state.push(NamedTensor::doubles(&format!("{prefix}cutpoints"), &levels.cutpoints.0));
        }
        state
    }

    fn restore(&mut self, prefix: &str, state: &Tensors) -> Result<()> {
        let width = self.machine.width();
        let scalars = state.values(&format!("{prefix}scalars"), &[Some(2)])?;
        (self.machine.intercept, self.alpha) = (scalars[0], scalars[1]);
        for (place, table) in self.machine.tables.iter_mut().enumerate() {
            *table =
                state.values(&format!("{prefix}table.{place}"), &[Some(table.len() / width), Some(width)])?;
        }
        let priors = state.values(&format!("{prefix}priors"), &[Some(self.hyper.priors.len()), Some(2)])?;
        self.hyper.priors = priors.chunks_exact(2).map(|p| Prior { mean: p[0], precision: p[1] }).collect();
        if let Some(levels) = &mut self.levels {
            levels.cutpoints =
                Cutpoints(state.doubles(&format!("{prefix}cutpoints"), levels.cutpoints.0.len())?);
        }
        Ok(())
    }

    /// The machine at this iteration as a draw of the model.
    fn draw(&self) -> Draw {
        let folded = |place: usize| {
            self.design.blocks().get(place).map_or(Vec::new(), |block| self.machine.fold(place, block))
        };
        let prior = |group: u32| {
            (0..self.machine.width())
                .map(|dimension| self.hyper.prior(dimension, group).mean)
                .collect::<Vec<f32>>()
        };
        // The group of a block's first features: users, items, days.
        let group = |place: usize| self.design.blocks()[place].groups().first().map_or(0, |g| *g);
        let cutpoints = self
            .levels
            .as_ref()
            .map_or(Vec::new(), |levels| levels.cutpoints.0.iter().map(|c| *c as f32).collect());
        let mut users = self.machine.tables[0].clone();
        users.extend(prior(group(0)));
        let mut items = folded(1);
        items.extend(prior(group(1)));
        let mut days = folded(2);
        if !days.is_empty() {
            days.extend(prior(group(2)));
        }
        Draw { intercept: self.machine.intercept, users, items, days, cutpoints }
    }
}

struct Training<'a> {
    settings: &'a Settings,
    layout: Layout,
    train: &'a Histories,
    trained: Vec<bool>,
    samples: Samples,
    chains: Vec<Chain<'a>>,
}

impl<'a> Training<'a> {
    fn new(
        settings: &'a Settings,
        design: &'a Design,
        layout: Layout,
        train: &'a Histories,
        seed: u64,
    ) -> Result<Self> {
        let chains = chains(settings, design, train.values(), seed)?;
        let trained = (0..train.n_users() as u32).map(|u| !train.range(u).is_empty()).collect();
        Ok(Self { settings, layout, train, trained, samples: Samples::default(), chains })
    }

    /// Whether the draws of this iteration (from 0) are kept.
    fn keeps(&self, iteration: usize) -> bool {
        if self.settings.learner != Learner::Mcmc {
            return false;
        }
        let burn_in = self.settings.burn_in.min(self.settings.iterations - 1);
        let spacing =
            (self.settings.iterations - burn_in).div_ceil(self.settings.kept / self.settings.chains);
        iteration >= burn_in && (self.settings.iterations - 1 - iteration).is_multiple_of(spacing)
    }
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        context.go_on()?;
        let squares = step(&mut self.chains, epoch);
        if self.keeps(epoch) {
            self.chains.iter().for_each(|chain| self.samples.push(chain.draw()));
        }
        Ok(squares)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        // Before the first kept draw, and without draws at all, the current machine.
        let samples = if self.samples.is_empty() {
            self.chains.iter().map(Chain::draw).collect()
        } else {
            self.samples.clone()
        };
        let values = self.chains[0].levels.as_ref().map_or(Vec::new(), |levels| levels.values.clone());
        Ok(Model::new(
            self.settings,
            self.layout.clone(),
            samples,
            values,
            self.train,
            self.trained.clone(),
            train_error,
        ))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state: Vec<NamedTensor> = self
            .chains
            .iter()
            .enumerate()
            .flat_map(|(at, chain)| chain.state(&format!("now.chain.{at}.")))
            .collect();
        state.extend(self.samples.tensors("now.kept.", self.settings.factors + 1));
        Ok(state)
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        for (at, chain) in self.chains.iter_mut().enumerate() {
            chain.restore(&format!("now.chain.{at}."), state)?;
        }
        self.samples = Samples::restore("now.kept.", self.settings.factors + 1, state)?;
        Ok(())
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
