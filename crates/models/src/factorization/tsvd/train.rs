//! Stochastic gradient descent in batches of users.
//!
//! Within a batch users run in parallel, each updating its own parameters rating by rating; the changes they
//! make to the items are added in the users' order when all have ended. The implicit sum of a user is
//! carried along the pass and its change applied to the `y_j` once (each gets `change / sqrt(n)`,
//! which is what rating-by-rating steps add up to), so that a rating costs `factors` operations
//! instead of `|R(u)| factors`. The result depends on `batch` and the seed, not on threads.

use super::calendar::{Bins, Calendar, day};
use super::model::Model;
use super::user::{Asked, BIAS, FACTORS, Items, Layout, Row, SCALE, Step, pass};
use super::{BiasDrift, NAME, Settings};
use crate::engine::epochs::{self, Trainer};
use crate::engine::fold_in::Population;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::{FitContext, Fitted, Result, biases};
use foretaste_data::{Histories, rng};
use multiversion::multiversion;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Groups of items to which changes are applied in parallel.
const SHARDS: usize = 16;

/// Trains T-SVD on `train`.
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
    let trainer = Training::new(settings, train, training_mean(NAME, train)?, context.seed)?;
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.epochs, settings.patience),
        train,
        validation,
        context,
    )
}

pub(super) struct Training<'a> {
    settings: &'a Settings,
    train: &'a Histories,
    mean: f32,
    bins: Bins,
    calendars: Vec<Calendar>,
    pub layouts: Vec<Layout>,
    pub items: Items,
    /// Parameters of each user.
    pub users: Vec<Vec<f32>>,
    /// Placeholder for `y`, without the implicit term.
    no_implicit: Vec<f32>,
}

impl<'a> Training<'a> {
    pub fn new(settings: &'a Settings, train: &'a Histories, mean: f32, seed: u64) -> Result<Self> {
        let first = biases::estimate(&biases::Settings::default(), train)?;
        let (k, n_items) = (settings.factors, train.n_items());
        let (low, high) =
            train.timestamps().iter().fold((i64::MAX, i64::MIN), |(low, high), t| (low.min(t), high.max(t)));
        let bins = Bins { first: day(low), last: day(high), n: settings.item_bins };
        let calendars: Vec<Calendar> =
            (0..train.n_users() as u32).map(|u| Calendar::new(train.user(u).timestamps)).collect();
        let layouts: Vec<Layout> = (0..train.n_users() as u32)
            .map(|u| Layout::new(settings, Calendar::knots(settings, train.range(u).len())))
            .collect();
        let reach = settings.init_deviation * 3.0_f32.sqrt();
        let mut random = rng(seed, "tsvd init items");
        let mut seen = vec![false; n_items];
        train.items().iter().for_each(|item| seen[*item as usize] = true);
        let mut q = vec![0.0; n_items * k];
        for (row, seen) in q.chunks_exact_mut(k).zip(&seen) {
            for value in row {
                let drawn = random.random_range(-1.0_f32..1.0) * reach;
                *value = if *seen { drawn } else { 0.0 };
            }
        }
        let items = Items {
            factors: k,
            bins: settings.item_bins,
            q,
            y: if settings.implicit { vec![0.0; n_items * k] } else { Vec::new() },
            bias: first.items,
            bin_bias: vec![0.0; n_items * settings.item_bins],
        };
        let mut random = rng(seed, "tsvd init users");
        let users = layouts
            .iter()
            .zip(&calendars)
            .enumerate()
            .map(|(user, (layout, calendar))| {
                let mut theta = vec![0.0; layout.len(calendar.days.len())];
                theta[BIAS] = first.users[user];
                theta[SCALE] = 1.0;
                theta[FACTORS..FACTORS + k]
                    .iter_mut()
                    .for_each(|p| *p = random.random_range(-1.0_f32..1.0) * reach);
                theta
            })
            .collect();
        let no_implicit = vec![0.0; if settings.implicit { 0 } else { n_items * k }];
        Ok(Self { settings, train, mean, bins, calendars, layouts, items, users, no_implicit })
    }

    pub fn step(&self, epoch: usize) -> Step {
        let s = self.settings;
        let rate = s.learning_rate * s.decay.powi(epoch as i32);
        Step {
            rate,
            time_rate: rate * s.time_learning_rate,
            regularization: s.regularization,
            bias_regularization: s.bias_regularization,
            time_regularization: s.time_regularization,
            implicit: s.implicit,
            linear: s.bias == BiasDrift::Linear,
            day_bias: s.day_bias,
            scale: s.scale,
            factor_drift: s.factor_drift,
            day_factors: s.day_factors,
            bins: s.item_bins > 1,
        }
    }

    /// A user's ratings for a pass: built each time, since storing them takes more memory than all else.
    fn rows(&self, user: u32) -> Vec<Row> {
        let (history, calendar) = (self.train.user(user), &self.calendars[user as usize]);
        let of_day = |day| (day, self.bins.of(day) as u8, calendar.moment(day));
        let mut last = of_day(0);
        let row = |at: usize| {
            let day = day(history.timestamps.at(at));
            if last.0 != day {
                last = of_day(day);
            }
            let (_, bin, moment) = last;
            Row { item: history.items[at], bin, moment, value: history.values[at] - self.mean }
        };
        (0..history.len()).map(row).collect()
    }

    /// One user's pass; the order of ratings follows from seed and epoch.
    pub fn visit(&self, user: u32, theta: &mut [f32], step: &Step, seed: u64, epoch: usize) -> Asked {
        let (rows, calendar, layout) =
            (self.rows(user), &self.calendars[user as usize], self.layouts[user as usize]);
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.shuffle(&mut rng(seed, &format!("tsvd order {epoch} {user}")));
        let history = self.train.user(user);
        let implicit = self.items.implicit(history.items);
        let spline = |at: usize| {
            calendar.spline(day(history.timestamps.at(at)), layout.knots, self.settings.spline_gamma)
        };
        pass(theta, layout, rows, &order, &spline, &self.items, step, implicit)
    }

    /// Applies the changes of a batch's users to the items.
    pub fn take_in(&mut self, batch: &[Asked], step: &Step) {
        let (k, bins) = (self.settings.factors, self.settings.item_bins);
        let shard = self.train.n_items().div_ceil(SHARDS).max(1);
        let y_keep = 1.0 - step.rate * self.settings.implicit_regularization;
        let items = &mut self.items;
        let y = if items.y.is_empty() { &mut self.no_implicit } else { &mut items.y };
        let columns = items.q.par_chunks_mut(shard * k).zip(y.par_chunks_mut(shard * k));
        let columns =
            columns.zip(items.bias.par_chunks_mut(shard)).zip(items.bin_bias.par_chunks_mut(shard * bins));
        columns.enumerate().for_each(|(s, (((q, y), bias), bin_bias))| {
            let (low, high) = ((s * shard) as u32, ((s + 1) * shard) as u32);
            for asked in batch {
                let weight = 1.0 / (asked.rows.len() as f32).sqrt();
                for (at, row) in
                    asked.rows.iter().enumerate().filter(|(_, row)| (low..high).contains(&row.item))
                {
                    let item = (row.item - low) as usize;
                    add(&mut q[item * k..(item + 1) * k], &asked.q[at * k..(at + 1) * k], 1.0, 1.0);
                    if step.implicit {
                        add(&mut y[item * k..(item + 1) * k], &asked.implicit, y_keep, weight);
                    }
                    bias[item] += asked.biases[at][0];
                    bin_bias[item * bins + usize::from(row.bin)] += asked.biases[at][1];
                }
            }
        });
    }
}

/// `to = keep to + weight from`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
fn add(to: &mut [f32], from: &[f32], keep: f32, weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *to * keep + weight * from;
    }
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let step = self.step(epoch);
        let mut order: Vec<u32> =
            (0..self.train.n_users() as u32).filter(|u| !self.train.range(*u).is_empty()).collect();
        order.shuffle(&mut rng(context.seed, &format!("tsvd users {epoch}")));
        let mut squares = 0.0;
        for batch in order.chunks(self.settings.batch) {
            context.go_on()?;
            let thetas: Vec<(u32, Vec<f32>)> =
                batch.iter().map(|u| (*u, std::mem::take(&mut self.users[*u as usize]))).collect();
            let visited: Vec<(u32, Vec<f32>, Asked)> = thetas
                .into_par_iter()
                .with_max_len(1)
                .map(|(user, mut theta)| {
                    let asked = self.visit(user, &mut theta, &step, context.seed, epoch);
                    (user, theta, asked)
                })
                .collect();
            let mut asked = Vec::with_capacity(visited.len());
            for (user, theta, own) in visited {
                self.users[user as usize] = theta;
                squares += own.squares;
                asked.push(own);
            }
            self.take_in(&asked, &step);
        }
        Ok(squares)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        let trained: Vec<bool> =
            (0..self.train.n_users() as u32).map(|u| !self.train.range(u).is_empty()).collect();
        // b first, then p: the regression's (1, q).
        let component = |user: usize, c: usize| self.users[user][if c == 0 { BIAS } else { FACTORS + c - 1 }];
        let population =
            Population::of(self.settings.factors + 1, trained, (train_error * train_error) as f32, component);
        Ok(Model::new(
            self.settings.clone(),
            self.mean,
            self.bins,
            self.items.clone(),
            self.calendars.clone(),
            self.users.clone(),
            population,
        ))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state = Model::item_tensors("now.", &self.items);
        state.push(NamedTensor::new(
            "now.users",
            &[self.users.iter().map(Vec::len).sum()],
            self.users.concat(),
        ));
        Ok(state)
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.items = Model::items("now.", self.settings, state)?;
        let all = state.values("now.users", &[Some(self.users.iter().map(Vec::len).sum())])?;
        let mut rest = all.as_slice();
        for user in &mut self.users {
            let (own, tail) = rest.split_at(user.len());
            user.copy_from_slice(own);
            rest = tail;
        }
        Ok(())
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
