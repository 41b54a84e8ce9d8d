//! Blocked stochastic gradient descent (Gemulla et al. 2011, *Large-Scale Matrix Factorization with
//! Distributed Stochastic Gradient Descent*).
//!
//! Users and items are partitioned into `blocks` groups each, ratings into the resulting grid of blocks.
//! A stratum is a set of blocks that share no user and no item; its blocks run in parallel, each in
//! its own fixed order. Which thread runs a block does not matter, so the result depends on the
//! settings and the seed alone. Sums use a fixed order of lanes and no fused multiply-add, so that
//! it does not depend on the processor either.

use super::{Model, NAME, Settings};
use crate::engine::epochs::{self, Trainer};
use crate::engine::fold_in::Population;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::{FitContext, Fitted, Result};
use foretaste_data::{Histories, rng};
use multiversion::multiversion;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

const LANES: usize = 8;

/// One group of users or items: factor rows padded with zeros to whole lanes, and biases.
struct Group {
    members: Vec<u32>,
    factors: Vec<f32>,
    biases: Vec<f32>,
}

/// A rating with row numbers within its groups and the mean subtracted.
#[derive(Clone, Copy)]
struct Rating {
    user: u32,
    item: u32,
    value: f32,
}

struct Grid {
    stride: usize,
    users: Vec<Group>,
    items: Vec<Group>,
    /// Block `(b, c)` of the grid is at `b * blocks + c`.
    ratings: Vec<Vec<Rating>>,
    /// How far `items` is rotated: position `b` holds group `(b + shift) % blocks`.
    shift: usize,
}

/// Trains PMF on `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or with a row without value,
/// [`crate::ModelError::Interrupted`] when asked to stop.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let mean = training_mean(NAME, train)?;
    let trained = (0..train.n_users() as u32).map(|u| !train.range(u).is_empty()).collect();
    let grid = Grid::new(settings, train, mean, context.seed);
    let trainer = Training { settings, mean, trained, grid };
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
    /// Which users have training rows.
    trained: Vec<bool>,
    grid: Grid,
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        self.grid.epoch(self.settings, epoch, context)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        let k = self.settings.factors;
        let [(user_factors, user_biases), (item_factors, item_biases)] =
            self.grid.sides().map(|(_, groups)| Grid::flat(groups, k, self.grid.stride));
        let component =
            |user: usize, c: usize| if c == 0 { user_biases[user] } else { user_factors[user * k + c - 1] };
        let population =
            Population::of(k + 1, self.trained.clone(), (train_error * train_error) as f32, component);
        Ok(Model {
            settings: self.settings.clone(),
            mean: self.mean,
            user_factors,
            item_factors,
            user_biases,
            item_biases,
            population,
        })
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let k = self.settings.factors;
        let tensors = self.grid.sides().into_iter().flat_map(|(side, groups)| {
            let (factors, biases) = Grid::flat(groups, k, self.grid.stride);
            let rows = biases.len();
            [
                NamedTensor::new(format!("now.{side}_factors"), &[rows, k], factors),
                NamedTensor::new(format!("now.{side}_biases"), &[rows], biases),
            ]
        });
        Ok(tensors.collect())
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.grid.restore(self.settings.factors, state)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}

impl Grid {
    fn new(settings: &Settings, train: &Histories, mean: f32, seed: u64) -> Self {
        let stride = settings.factors.next_multiple_of(LANES);
        let blocks = settings.blocks;
        let user_counts: Vec<usize> = (0..train.n_users() as u32).map(|u| train.range(u).len()).collect();
        let mut item_counts = vec![0; train.n_items()];
        for item in train.items() {
            item_counts[*item as usize] += 1;
        }
        let (users, user_places) = deal(&user_counts, blocks, settings, stride, seed, "users");
        let (items, item_places) = deal(&item_counts, blocks, settings, stride, seed, "items");
        let mut ratings: Vec<Vec<Rating>> = vec![Vec::new(); blocks * blocks];
        for user in 0..train.n_users() as u32 {
            let history = train.user(user);
            let (b, user) = user_places[user as usize];
            for (item, value) in history.items.iter().zip(history.values) {
                let (c, item) = item_places[*item as usize];
                ratings[b as usize * blocks + c as usize].push(Rating { user, item, value: value - mean });
            }
        }
        ratings
            .par_iter_mut()
            .enumerate()
            .for_each(|(block, ratings)| ratings.shuffle(&mut rng(seed, &format!("pmf order {block}"))));
        Self { stride, users, items, ratings, shift: 0 }
    }

    /// One pass over all ratings; returns the sum of squared errors before each update.
    fn epoch(&mut self, settings: &Settings, epoch: usize, context: &FitContext) -> Result<f64> {
        let blocks = self.users.len();
        let rate = settings.learning_rate * settings.decay.powi(epoch as i32);
        let step = Step {
            rate,
            keep: 1.0 - rate * settings.regularization,
            bias_rate: if settings.biases { rate } else { 0.0 },
            bias_keep: 1.0 - rate * settings.bias_regularization,
        };
        let mut strata: Vec<usize> = (0..blocks).collect();
        strata.shuffle(&mut rng(context.seed, &format!("pmf strata {epoch}")));
        let mut squares = 0.0;
        for stratum in strata {
            context.go_on()?;
            self.items.rotate_left((stratum + blocks - self.shift) % blocks);
            self.shift = stratum;
            let (stride, ratings) = (self.stride, &self.ratings);
            let sums: Vec<f64> = self
                .users
                .par_iter_mut()
                .zip(&mut self.items)
                .enumerate()
                .with_max_len(1)
                .map(|(b, (users, items))| {
                    let ratings = &ratings[b * blocks + (b + stratum) % blocks];
                    sweep(
                        ratings,
                        (&mut users.factors, &mut users.biases),
                        (&mut items.factors, &mut items.biases),
                        stride,
                        &step,
                    )
                })
                .collect();
            squares += sums.iter().sum::<f64>();
        }
        Ok(squares)
    }

    fn sides(&self) -> [(&'static str, &Vec<Group>); 2] {
        [("user", &self.users), ("item", &self.items)]
    }

    /// Factors (without padding) and biases of one side, in index order.
    fn flat(groups: &[Group], k: usize, stride: usize) -> (Vec<f32>, Vec<f32>) {
        let members = groups.iter().map(|g| g.members.len()).sum::<usize>();
        let (mut factors, mut biases) = (vec![0.0; members * k], vec![0.0; members]);
        for group in groups {
            for (row, member) in group.members.iter().enumerate() {
                let member = *member as usize;
                factors[member * k..(member + 1) * k]
                    .copy_from_slice(&group.factors[row * stride..row * stride + k]);
                biases[member] = group.biases[row];
            }
        }
        (factors, biases)
    }

    fn restore(&mut self, k: usize, tensors: &Tensors) -> Result<()> {
        let stride = self.stride;
        for (side, groups) in [("user", &mut self.users), ("item", &mut self.items)] {
            let factors = tensors.values(&format!("now.{side}_factors"), &[None, Some(k)])?;
            let biases = tensors.values(&format!("now.{side}_biases"), &[None])?;
            for group in groups {
                for (row, member) in group.members.iter().enumerate() {
                    let member = *member as usize;
                    group.factors[row * stride..row * stride + k]
                        .copy_from_slice(&factors[member * k..(member + 1) * k]);
                    group.biases[row] = biases[member];
                }
            }
        }
        Ok(())
    }
}

/// Assigns members to groups of about equal numbers of ratings (largest first, each to the lightest
/// group) and draws their initial factors. Returns the groups and each member's (group, row).
fn deal(
    counts: &[usize],
    blocks: usize,
    settings: &Settings,
    stride: usize,
    seed: u64,
    side: &str,
) -> (Vec<Group>, Vec<(u32, u32)>) {
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.shuffle(&mut rng(seed, &format!("pmf deal {side}")));
    order.sort_by_key(|m| std::cmp::Reverse(counts[*m as usize]));
    let mut groups: Vec<Group> =
        (0..blocks).map(|_| Group { members: Vec::new(), factors: Vec::new(), biases: Vec::new() }).collect();
    let mut loads = vec![(0, 0); blocks];
    let mut places = vec![(0, 0); counts.len()];
    for member in order {
        let lightest = (0..blocks).min_by_key(|b| loads[*b]).unwrap_or(0);
        loads[lightest].0 += counts[member as usize];
        loads[lightest].1 += 1;
        places[member as usize] = (lightest as u32, groups[lightest].members.len() as u32);
        groups[lightest].members.push(member);
    }
    // Uniform numbers of the wanted deviation: no logarithm, so the same bits on every machine.
    let reach = settings.init_deviation * 3.0_f32.sqrt();
    for (b, group) in groups.iter_mut().enumerate() {
        let mut random = rng(seed, &format!("pmf init {side} {b}"));
        group.factors = vec![0.0; group.members.len() * stride];
        group.biases = vec![0.0; group.members.len()];
        for (row, member) in group.factors.chunks_exact_mut(stride).zip(&group.members) {
            for factor in &mut row[..settings.factors] {
                let drawn = random.random_range(-1.0_f32..1.0) * reach;
                // Members without ratings keep zeros, and so predict without factors.
                *factor = if counts[*member as usize] > 0 { drawn } else { 0.0 };
            }
        }
    }
    (groups, places)
}

/// The settings that an update needs.
struct Step {
    rate: f32,
    keep: f32,
    bias_rate: f32,
    bias_keep: f32,
}

type Side<'a> = (&'a mut [f32], &'a mut [f32]);

/// Updates along `ratings` in order; returns the sum of squared errors before each update.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
fn sweep(ratings: &[Rating], users: Side, items: Side, stride: usize, step: &Step) -> f64 {
    let mut squares = 0.0;
    for rating in ratings {
        let (u, i) = (rating.user as usize, rating.item as usize);
        let p = &mut users.0[u * stride..(u + 1) * stride];
        let q = &mut items.0[i * stride..(i + 1) * stride];
        squares += update(p, q, &mut users.1[u], &mut items.1[i], rating.value, step);
    }
    squares
}

/// One gradient step on one rating; returns the squared error before it. Rows are whole lanes.
#[inline(always)]
#[allow(clippy::inline_always)] // Only code within `sweep` is compiled for the processor at hand.
fn update(
    p: &mut [f32],
    q: &mut [f32],
    user_bias: &mut f32,
    item_bias: &mut f32,
    value: f32,
    step: &Step,
) -> f64 {
    let error = value - (*user_bias + *item_bias + product(p, q));
    let pull = step.rate * error;
    for (p, q) in p.iter_mut().zip(q.iter_mut()) {
        let (a, b) = (*p, *q);
        *p = a * step.keep + pull * b;
        *q = b * step.keep + pull * a;
    }
    *user_bias = *user_bias * step.bias_keep + step.bias_rate * error;
    *item_bias = *item_bias * step.bias_keep + step.bias_rate * error;
    f64::from(error) * f64::from(error)
}

/// Inner product of two rows of whole lanes, summed in one order on every processor: two rows of
/// lanes at a time give two independent chains of additions.
#[inline(always)]
#[allow(clippy::inline_always)] // As above.
fn product(p: &[f32], q: &[f32]) -> f32 {
    const WIDE: usize = 2 * LANES;
    let mut sums = [0.0_f32; WIDE];
    let ((p_wide, p_rest), (q_wide, q_rest)) = (p.as_chunks::<WIDE>(), q.as_chunks::<WIDE>());
    for (p, q) in p_wide.iter().zip(q_wide) {
        for lane in 0..WIDE {
            sums[lane] += p[lane] * q[lane];
        }
    }
    if let ([p, ..], [q, ..]) = (p_rest.as_chunks::<LANES>().0, q_rest.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += p[lane] * q[lane];
        }
    }
    let s: [f32; LANES] = std::array::from_fn(|lane| sums[lane] + sums[LANES + lane]);
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

#[cfg(test)]
mod tests;
