//! Training: whole histories in groups of lanes, Adam over all parameters.

use super::backward::backward;
use super::filter::forward;
use super::items::{LeftOut, Raters, Vectors, encoder_back, outer, through, turned};
use super::lanes::{Group, Lane, Plan, deal, height_of, rows_of};
use super::model::Model;
use super::parameters::{Bins, Layout, Sizes};
use super::touched::Touched;
use super::{Dense, NAME, Settings, Shape};
use crate::engine::codes::Codes;
use crate::engine::epochs::{self, Trainer};
use crate::engine::kernels::adam;
use crate::engine::optimizer::{AdamStep, steps_of, steps_tensor};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::{Device, FitContext, Fitted, RatingModel, Reading, Result};
use foretaste_data::{Histories, rng};
use foretaste_metrics::rmse;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Rows of a lane of short histories.
const HEIGHT: usize = 96;

/// Share of the highest step size that is left at the end.
const LAST_RATE: f32 = 0.05;

/// Trains an HRNN.
///
/// # Errors
/// Those of [`crate::Algorithm::fit`].
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let trainer = Training::new(settings, train, context)?;
    // Validation rows stop nothing: the step size has its way to go.
    let limits = (settings.epochs, settings.epochs);
    epochs::train(trainer, &settings.clone().into(), limits, train, validation, context)
}

/// An HRNN in training.
pub(super) struct Training<'a> {
    pub settings: &'a Settings,
    pub sizes: Sizes,
    pub layout: Layout,
    pub train: &'a Histories,
    pub counts: Vec<u32>,
    pub raters: Raters,
    pub user_codes: Codes,
    pub item_codes: Codes,
    pub range: (f32, f32),
    pub values: Vec<f32>,
    pub gradient: Vec<f32>,
    pub vectors: Vectors,
    first: Vec<f32>,
    second: Vec<f32>,
    seed: u64,
    steps: u64,
    /// Steps of the whole training, by the first pass.
    total: u64,
    engine: Engine,
}

/// Runs groups forward and back: native code on the CPU, burn elsewhere.
enum Engine {
    /// A tape for each thread.
    Native(Vec<Mutex<Vec<Lane>>>),
    #[cfg(feature = "burn")]
    Device(Device),
}

impl Engine {
    fn new(device: &Device) -> Self {
        #[cfg(feature = "burn")]
        if !device.is_flex() {
            return Self::Device(device.clone());
        }
        let _ = device;
        Self::Native((0..rayon::current_num_threads()).map(|_| Mutex::default()).collect())
    }

    /// Gradients of the shared parameters; the others take the place of what the groups held.
    fn run(&self, shape: Shape, dense: &Dense, groups: &mut [Group]) -> Result<Vec<Dense>> {
        match self {
            Self::Native(tapes) => {
                let run = |group: &mut Group| {
                    let tape = &tapes[rayon::current_thread_index().unwrap_or(0) % tapes.len()];
                    let mut tape = tape.lock().unwrap_or_else(PoisonError::into_inner);
                    forward(shape, dense, group, &mut tape);
                    backward(shape, dense, group, &tape)
                };
                Ok(groups.par_iter_mut().map(run).collect())
            }
            #[cfg(feature = "burn")]
            Self::Device(device) => Ok(vec![super::device::pass(shape, dense, groups, device)?]),
        }
    }
}

impl<'a> Training<'a> {
    pub fn new(settings: &'a Settings, train: &'a Histories, context: &FitContext) -> Result<Self> {
        let of = |attributes, n| Codes::new(Option::filter(attributes, |_| settings.metadata), n);
        let codes =
            (of(context.user_attributes, train.n_users()), of(context.item_attributes, train.n_items()));
        Self::with_codes(settings, train, codes, (context.seed, context.device))
    }

    /// With these attribute codes of users and of items.
    pub fn with_codes(
        settings: &'a Settings,
        train: &'a Histories,
        (user_codes, item_codes): (Codes, Codes),
        (seed, device): (u64, &Device),
    ) -> Result<Self> {
        let mean = training_mean(NAME, train)?;
        let mut counts = vec![0_u32; train.n_items()];
        train.items().iter().for_each(|item| counts[*item as usize] += 1);
        let sizes = Sizes {
            shape: Shape::new(settings),
            users: train.n_users(),
            items: train.n_items(),
            raters: settings.width(train.len()),
            bag: settings.bag,
            user_codes: user_codes.n,
            item_codes: item_codes.n,
            bins: Bins {
                n: settings.item_bins,
                first: train.timestamps().iter().min().unwrap_or_default(),
                last: train.timestamps().iter().max().unwrap_or_default(),
            },
        };
        let (layout, n) = Layout::new(sizes);
        let values = layout.first(sizes, settings, mean, &counts, seed);
        let exact = train.mean().unwrap_or_default();
        let of = |pick: fn(f32, f32) -> f32, begin: f32| train.values().iter().copied().fold(begin, pick);
        let mut training = Self {
            settings,
            sizes,
            layout,
            train,
            raters: if sizes.raters > 0 { Raters::new(train, &counts, exact) } else { Raters::none() },
            counts,
            user_codes,
            item_codes,
            range: (of(f32::min, f32::INFINITY), of(f32::max, f32::NEG_INFINITY)),
            values,
            gradient: vec![0.0; n],
            vectors: Vectors::default(),
            first: vec![0.0; n],
            second: vec![0.0; n],
            seed,
            steps: 0,
            total: 0,
            engine: Engine::new(device),
        };
        training.total = (training.batches(0).len() * settings.epochs) as u64;
        Ok(training)
    }

    /// Computes by the form for devices on `device`, even where that is the CPU.
    #[cfg(all(test, feature = "burn"))]
    pub fn compute_on(&mut self, device: &Device) {
        self.engine = Engine::Device(device.clone());
    }

    /// The groups of each step of an epoch.
    pub fn batches(&self, epoch: usize) -> Vec<Vec<Plan>> {
        let mut users: Vec<u32> =
            (0..self.train.n_users() as u32).filter(|user| !self.train.range(*user).is_empty()).collect();
        let random = &mut rng(self.seed, &format!("hrnn epoch {epoch}"));
        users.shuffle(random);
        let most = self.settings.rows(self.train.len());
        let mut plans = deal(self.train, &users, HEIGHT.min(most / 4).max(16), most);
        plans.shuffle(random);
        let mut batches: Vec<Vec<Plan>> = Vec::new();
        let mut rows = usize::MAX;
        for plan in plans {
            if rows >= most {
                batches.push(Vec::new());
                rows = 0;
            }
            rows += rows_of(&plan);
            batches.last_mut().unwrap_or_else(|| unreachable!("one was pushed")).push(plan);
        }
        // The longest first: threads that begin with it end together.
        batches.iter_mut().for_each(|plans| plans.sort_by_key(|plan| std::cmp::Reverse(height_of(plan))));
        batches
    }

    /// Draws which ratings are taken in and the noise of the biases, and fills in the gaps between ratings
    /// that are taken in.
    pub fn draw(&self, group: &mut Group, stream: &str) {
        let random = &mut rng(self.seed, stream);
        let times = self.train.timestamps();
        for piece in std::mem::take(&mut group.pieces) {
            let blind = random.random::<f32>() < self.settings.blind;
            let share = self.settings.update_dropout * random.random::<f32>();
            let mut last = 0;
            for n in 0..piece.len {
                let entry = piece.entry(n);
                let take = !blind && random.random::<f32>() >= share;
                group.take[entry] = f32::from(u8::from(take));
                group.draws[entry] = StandardNormal.sample(random);
                let time = times.at(piece.from + n);
                group.bins[entry] = self.sizes.bins.of(time) as u16;
                if n > 0 {
                    group.gaps[entry] = self.settings.gap(time - last);
                }
                if take || n == 0 {
                    last = time;
                }
            }
            group.pieces.push(piece);
        }
    }

    /// Fills in what depends on parameters.
    pub fn gather(&self, group: &mut Group) {
        let (layout, values, k) = (&self.layout, &self.values, self.sizes.shape.item());
        let kinds = self.sizes.shape.kinds;
        let (mean, log_noise) = (values[layout.mean.start], values[layout.log_noise.start]);
        let of = |table: &std::ops::Range<usize>, item: usize| values[table.start + item];
        for piece in std::mem::take(&mut group.pieces) {
            let first = piece.entry(0);
            for code in self.user_codes.of(piece.user as usize) {
                let at = layout.user_codes.start + *code as usize * k;
                let prior = &mut group.priors[first * k..(first + 1) * k];
                prior.iter_mut().zip(&values[at..at + k]).for_each(|(p, v)| *p += v);
            }
            for n in 0..piece.len {
                let entry = piece.entry(n);
                let item = group.items[entry] as usize;
                let deviation = (0.5 * of(&layout.log_bias_variance, item)).exp();
                group.base[entry] = mean + of(&layout.bias, item) + group.draws[entry] * deviation;
                if self.sizes.bins.n > 0 {
                    let bin = item * self.sizes.bins.n + usize::from(group.bins[entry]);
                    group.base[entry] += of(&layout.bins, bin);
                }
                group.noise[entry] = (log_noise + of(&layout.item_noise, item)).exp();
                let vector = &mut group.vectors[entry * k..(entry + 1) * k];
                vector.copy_from_slice(&self.vectors.items[item * k..(item + 1) * k]);
                if self.sizes.raters > 0 {
                    let residual = group.values[entry] - self.raters.means[piece.user as usize];
                    self.vectors.own.leave_out(piece.user, self.raters.scales[item], residual, vector);
                }
                group.bags[entry * k..(entry + 1) * k]
                    .copy_from_slice(&self.vectors.bags[item * k..(item + 1) * k]);
                group.kinds[entry * kinds..(entry + 1) * kinds]
                    .copy_from_slice(&self.vectors.kinds[item * kinds..(item + 1) * kinds]);
            }
            group.pieces.push(piece);
        }
    }

    /// Works out what rows read of items anew.
    pub fn refresh(&mut self) {
        let of = (&self.raters, &self.item_codes);
        self.vectors.refresh(self.sizes, &self.layout, &self.values, of, &self.counts);
    }

    /// The gradient of the loss over `groups` (laid out and drawn), into `self.gradient`; returns the sum of
    /// squared errors.
    pub fn step(&mut self, groups: &mut [Group]) -> Result<f64> {
        let rows = groups.iter().map(|group| rows_of(&group.pieces)).sum::<usize>();
        self.refresh();
        let dense = self.layout.dense(&self.values, self.range);
        groups.par_iter_mut().for_each(|group| {
            self.gather(group);
            for piece in &group.pieces {
                (0..piece.len).for_each(|n| group.weights[piece.entry(n)] = 1.0 / rows as f32);
            }
        });
        let found = self.engine.run(self.sizes.shape, &dense, groups)?;
        self.gradient.fill(0.0);
        found.iter().for_each(|dense| self.layout.add_dense(dense, &mut self.gradient));
        let touched = Touched::new(groups, self.sizes);
        self.items_back(&touched);
        self.users_back(groups);
        if self.sizes.raters > 0 {
            let left_out = self.left_out(groups);
            let k = self.sizes.shape.item();
            encoder_back(
                (self.sizes, &self.layout, &self.values),
                (self.train, &self.raters, &self.vectors),
                |item| touched.of(item).map(|sums| &sums[..k]),
                &left_out,
                &mut self.gradient,
            );
        }
        self.penalize();
        Ok(groups.iter().map(|group| group.squares).sum::<f64>() * rows as f64)
    }

    /// Gradients of what each item has of its own.
    fn items_back(&mut self, touched: &Touched) {
        let (layout, k, gradient) = (&self.layout, self.sizes.shape.item(), &mut self.gradient);
        let (bins, kinds) = (self.sizes.bins.n, self.sizes.shape.kinds);
        let (mut mean, mut log_noise) = (0.0, 0.0);
        let bag_out = turned(&self.values[layout.bag_out.clone()], k);
        let mut by_bag_out = vec![0.0; bag_out.len()];
        for (item, sums) in touched.items.iter().zip(touched.sums.chunks_exact(touched.width)) {
            let item = *item as usize;
            let (vector, rest) = sums.split_at(k);
            let (add, rest) = rest.split_at(k);
            mean += vector[0];
            log_noise += rest[1];
            gradient[layout.bias.start + item] = vector[0];
            for code in self.item_codes.of(item) {
                let at = layout.item_codes.start + *code as usize * k;
                through(&[1.0], vector, &mut gradient[at..at + k]);
                let at = layout.kind_codes.start + *code as usize * kinds;
                through(&[1.0], &rest[2 + bins..], &mut gradient[at..at + kinds]);
            }
            gradient[layout.log_bias_variance.start + item] =
                rest[0] * 0.5 * (0.5 * self.values[layout.log_bias_variance.start + item]).exp();
            gradient[layout.item_noise.start + item] = rest[1];
            let at = layout.bins.start + item * bins;
            gradient[at..at + bins].copy_from_slice(&rest[2..2 + bins]);
            if self.sizes.raters == 0 {
                let at = layout.free.start + item * (k - 1);
                gradient[at..at + k - 1].copy_from_slice(&vector[1..]);
            }
            let at = layout.bag.start + item * self.sizes.bag;
            let of = at..at + self.sizes.bag;
            outer(&self.values[of.clone()], add, &mut by_bag_out);
            through(add, &bag_out, &mut gradient[of]);
        }
        gradient[layout.bag_out.clone()].copy_from_slice(&by_bag_out);
        gradient[layout.mean.start] = mean;
        gradient[layout.log_noise.start] = log_noise;
    }

    /// Gradients of the users' attributes.
    fn users_back(&mut self, groups: &[Group]) {
        let k = self.sizes.shape.item();
        for (group, piece) in groups.iter().flat_map(|group| group.pieces.iter().map(move |p| (group, p))) {
            let entry = piece.entry(0);
            for code in self.user_codes.of(piece.user as usize) {
                let at = self.layout.user_codes.start + *code as usize * k;
                let from = &group.priors[entry * k..(entry + 1) * k];
                self.gradient[at..at + k].iter_mut().zip(from).for_each(|(by, from)| *by += from);
            }
        }
    }

    /// Gradients of what users left out of the vectors of the items they rated.
    fn left_out(&self, groups: &[Group]) -> Vec<LeftOut> {
        let k = self.sizes.shape.item();
        let pieces: Vec<_> =
            groups.iter().flat_map(|group| group.pieces.iter().map(move |piece| (group, piece))).collect();
        let of = |(group, piece): &(&Group, &super::lanes::Piece)| {
            let mut gradients = vec![0.0; 2 * k];
            let (own, own_ratings) = gradients.split_at_mut(k);
            for n in 0..piece.len {
                let entry = piece.entry(n);
                let scale = self.raters.scales[group.items[entry] as usize];
                let by_rating = scale * (group.values[entry] - self.raters.means[piece.user as usize]);
                let from = &group.vectors[entry * k..(entry + 1) * k];
                for ((own, rating), from) in own.iter_mut().zip(own_ratings.iter_mut()).zip(from) {
                    *own -= scale * from;
                    *rating -= by_rating * from;
                }
            }
            LeftOut { user: piece.user, gradients }
        };
        pieces.par_iter().with_min_len(16).map(of).collect()
    }

    /// Adds the gradients of the priors: `prior / rows` times the divergence of the biases' distribution from
    /// its prior and half the weighted squares.
    fn penalize(&mut self) {
        let (layout, values, gradient) = (&self.layout, &self.values, &mut self.gradient);
        let share = self.settings.prior / self.train.len() as f32;
        for (range, weight) in layout.penalties(self.settings) {
            let weight = weight * share;
            gradient[range.clone()].iter_mut().zip(&values[range]).for_each(|(by, v)| *by += weight * v);
        }
        if self.sizes.bins.n > 0 {
            let levels = values[layout.bins.clone()].chunks_exact(self.sizes.bins.n);
            let by = gradient[layout.bins.clone()].chunks_exact_mut(self.sizes.bins.n);
            for (by, levels) in by.zip(levels) {
                for bin in 1..levels.len() {
                    let change = share * self.settings.bin_penalty * (levels[bin] - levels[bin - 1]);
                    by[bin] += change;
                    by[bin - 1] -= change;
                }
            }
        }
        let precision = (-2.0 * values[layout.log_bias_deviation.start]).exp();
        let mut by_deviation = 0.0;
        for item in 0..self.sizes.items {
            let bias = values[layout.bias.start + item];
            let variance = values[layout.log_bias_variance.start + item].exp();
            gradient[layout.bias.start + item] += share * bias * precision;
            gradient[layout.log_bias_variance.start + item] += share * 0.5 * (variance * precision - 1.0);
            by_deviation += 1.0 - (bias * bias + variance) * precision;
        }
        gradient[layout.log_bias_deviation.start] = share * by_deviation;
    }

    /// The step size of step `n`, from 1.
    fn rate(&self, n: u64) -> f32 {
        let done = (n as f32 / self.total as f32).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f32::consts::PI * done).cos());
        let warm = (n as f32 / self.settings.warm_up as f32).min(1.0);
        self.settings.learning_rate * (LAST_RATE + (1.0 - LAST_RATE) * cosine) * warm
    }

    fn update(&mut self) {
        /// Values per task.
        const TASK: usize = 1 << 14;
        self.steps += 1;
        let rate = self.rate(self.steps);
        let corrections = AdamStep { rate, weight_decay: 0.0, number: self.steps }.corrections();
        let moments = self.first.par_chunks_mut(TASK).zip(self.second.par_chunks_mut(TASK));
        let tasks = self.values.par_chunks_mut(TASK).zip(moments).zip(self.gradient.par_chunks(TASK));
        tasks.for_each(|((value, (first, second)), gradient)| {
            adam(value, first, second, gradient, rate, corrections);
        });
    }

    /// What attributes say of each user, `[users, 1 + tastes]`; empty without attributes.
    fn priors(&self) -> Vec<f32> {
        let k = self.sizes.shape.item();
        let mut priors = vec![0.0; if self.user_codes.n > 0 { self.sizes.users * k } else { 0 }];
        for (user, prior) in priors.chunks_exact_mut(k).enumerate() {
            for code in self.user_codes.of(user) {
                let at = self.layout.user_codes.start + *code as usize * k;
                through(&[1.0], &self.values[at..at + k], prior);
            }
        }
        priors
    }
}

impl Trainer for Training<'_> {
    type Model = Model;

    /// Read streaming.
    fn validate(&self, model: &Model, train: &Histories, validation: &Histories) -> f64 {
        let model: &dyn RatingModel = model;
        rmse(&model.predict(train, validation, Reading::Streaming), validation.values())
    }

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let mut squares = 0.0;
        let mut spare: Vec<Group> = Vec::new();
        for plans in self.batches(epoch) {
            context.go_on()?;
            spare.resize_with(spare.len().max(plans.len()), Group::default);
            let groups = &mut spare[..plans.len()];
            groups.par_iter_mut().zip(&plans).enumerate().for_each(|(at, (group, plan))| {
                group.lay(self.train, self.sizes.shape, plan);
                self.draw(group, &format!("hrnn step {} group {at}", self.steps));
            });
            squares += self.step(groups)?;
            self.update();
        }
        Ok(squares)
    }

    fn model(&self, _: f64) -> Result<Model> {
        let mut vectors = Vectors::default();
        let of = (&self.raters, &self.item_codes);
        vectors.refresh(self.sizes, &self.layout, &self.values, of, &self.counts);
        Ok(Model::trained(self, vectors, self.priors()))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let of = |name: &str, values: &Vec<f32>| NamedTensor::new(name, &[values.len()], values.clone());
        Ok(vec![
            of("now.values", &self.values),
            of("now.first", &self.first),
            of("now.second", &self.second),
            steps_tensor("now.steps", self.steps),
        ])
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let of = |name: &str| state.values(name, &[Some(self.values.len())]);
        (self.values, self.first, self.second) = (of("now.values")?, of("now.first")?, of("now.second")?);
        self.steps = steps_of(state, "now.steps")?;
        Ok(())
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}

/// The settings' model trained on `train`, with its type.
#[cfg(test)]
pub(super) fn train_model(settings: &Settings, train: &Histories, context: &FitContext) -> Result<Model> {
    let trainer = Training::new(settings, train, context)?;
    let limits = (settings.epochs, settings.epochs);
    Ok(epochs::train_model(trainer, &settings.clone().into(), limits, train, None, context)?.0)
}

/// The number of trained parameters.
pub(super) fn parameters(sizes: Sizes) -> usize {
    Layout::new(sizes).1
}
