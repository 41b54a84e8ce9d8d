//! Training by Adam: one batch of examples a step.

use super::deep::{Pass, Shape};
use super::fields::{Features, Fields};
use super::model::{Model, User};
#[cfg(feature = "burn")]
use super::network::Network;
use super::{NAME, Objective, Settings};
use crate::engine::epochs::{self, Trainer};
use crate::engine::kernels::{adam, add, dot};
use crate::engine::noise::Mask;
use crate::engine::optimizer::{AdamStep, step_rows, steps_of, steps_tensor};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::ranking::{distinct, require_rows};
use crate::{EpochReport, FitContext, Fitted, Result};
use foretaste_data::{Histories, rng, stream_seed};
use foretaste_metrics::rmse;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Examples that a thread processes at once.
const CHUNK: usize = 128;

/// Trains DeepFM on `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or, where ratings are predicted, with a row without
/// value, [`crate::ModelError::Interrupted`] when asked to stop, [`crate::ModelError::Device`] when the
/// device fails.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let trainer = Training::new(settings, train, context, context.device.is_flex())?;
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.epochs, settings.patience),
        train,
        validation,
        context,
    )
}

/// As [`fit`], for a caller that needs the model's type.
///
/// # Errors
/// As [`fit`].
pub fn train(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<(Model, Vec<EpochReport>)> {
    let trainer = Training::new(settings, train, context, context.device.is_flex())?;
    let settings = settings.clone().into();
    let Settings { epochs, patience, .. } = *trainer.settings;
    epochs::train_model(trainer, &settings, (epochs, patience), train, validation, context)
        .map(|(model, curve, _)| (model, curve))
}

/// A row's user and time, an item, and the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Example {
    pub row: u32,
    pub item: u32,
    pub label: f32,
}

/// The label of a value: the value, or 1 for a click and 0 for none.
pub(super) fn label(settings: &Settings, value: f32) -> f32 {
    match settings.objective {
        Objective::Rating => value,
        Objective::Click => f32::from(u8::from(value.is_nan() || value >= settings.threshold)),
    }
}

/// The loss of a score and its slope.
fn loss(objective: Objective, score: f32, label: f32) -> (f64, f32) {
    match objective {
        Objective::Rating => (f64::from(score - label).powi(2), 2.0 * (score - label)),
        Objective::Click => (log_loss(score, label), 1.0 / (1.0 + (-score).exp()) - label),
    }
}

/// `-ln P(label)` under the log-odds `score`.
fn log_loss(score: f32, label: f32) -> f64 {
    let score = f64::from(score);
    score.max(0.0) - score * f64::from(label) + (-score.abs()).exp().ln_1p()
}

/// The sources of examples.
#[derive(Clone, Copy)]
struct Read<'a> {
    fields: &'a Fields,
    factors: usize,
    table: &'a [f32],
    intercept: f32,
    train: &'a Histories,
    /// User of each training row.
    rows: &'a [u32],
}

/// A chunk of examples in a pass.
#[derive(Debug, Default)]
struct Chunk {
    features: Features,
    /// Fields' embeddings, `[rows, fields factors]`, and the loss's gradients by them.
    input: Vec<f32>,
    back: Vec<f32>,
    /// Sums over fields, `[rows, factors]`.
    sums: Vec<f32>,
    scores: Vec<f32>,
    /// Gradients at the scores.
    slopes: Vec<f32>,
    loss: f64,
    pass: Pass,
}

impl Chunk {
    /// Embeddings, and the machine's part of the scores.
    fn gather(&mut self, from: Read<'_>, examples: &[Example]) {
        let Read { fields, factors, table, intercept, train, rows } = from;
        let (n, width) = (fields.len(), factors + 1);
        self.features.clear();
        for example in examples {
            let user = rows[example.row as usize];
            let timestamp = train.timestamps().at(example.row as usize);
            let own = train.user(user);
            fields.user(user, &mut self.features);
            fields.item(example.item, &mut self.features);
            fields.time(timestamp, &mut self.features);
            fields.before(own.items, own.timestamps, timestamp, &mut self.features);
        }
        for (values, size) in [
            (&mut self.input, n * factors),
            (&mut self.back, n * factors),
            (&mut self.sums, factors),
            (&mut self.scores, 1),
        ] {
            values.clear();
            values.resize(examples.len() * size, 0.0);
        }
        let mut all = self.features.fields();
        let rows = self
            .input
            .chunks_exact_mut(n * factors)
            .zip(self.sums.chunks_exact_mut(factors))
            .zip(&mut self.scores);
        for ((input, sum), score) in rows {
            let (mut linear, mut squares) = (0.0, 0.0);
            for (embedding, field) in input.chunks_exact_mut(factors).zip(&mut all) {
                for (feature, x) in field {
                    let (v, w) =
                        table[*feature as usize * width..(*feature as usize + 1) * width].split_at(factors);
                    add(embedding, v, *x);
                    linear += x * w[0];
                    squares += x * x * dot(v, v);
                }
                add(sum, embedding, 1.0);
            }
            *score = intercept + linear + 0.5 * (dot(sum, sum) - squares);
        }
    }

    /// Compares the scores with the labels; `share` is an example's share of the loss.
    fn compare(&mut self, objective: Objective, examples: &[Example], share: f32) {
        self.loss = 0.0;
        self.slopes.clear();
        for (example, score) in examples.iter().zip(&self.scores) {
            let (loss, slope) = loss(objective, *score, example.label);
            self.loss += loss;
            self.slopes.push(slope * share);
        }
    }
}

/// The layers, by where they are computed.
pub(super) enum Layers {
    /// Weights and moments.
    Native([Vec<f32>; 3]),
    #[cfg(feature = "burn")]
    Device(Box<Network>),
}

/// DeepFM in training.
pub(super) struct Training<'a> {
    pub settings: &'a Settings,
    fields: Fields,
    train: &'a Histories,
    /// User of each training row.
    rows: Vec<u32>,
    /// Each user's distinct items, if negatives are sampled.
    taken: Vec<Vec<u32>>,
    shape: Shape,
    /// The intercept and its moments.
    pub intercept: [f32; 3],
    /// One row per feature: the embedding, then the weight; and the moments.
    pub table: [Vec<f32>; 3],
    pub layers: Layers,
    chunks: Vec<Chunk>,
    pub steps: u64,
    seed: u64,
}

impl<'a> Training<'a> {
    /// Initial values; `native` says where the layers are computed.
    pub fn new(
        settings: &'a Settings,
        train: &'a Histories,
        context: &FitContext,
        native: bool,
    ) -> Result<Self> {
        let intercept = match settings.objective {
            Objective::Rating => training_mean(NAME, train)?,
            Objective::Click => {
                require_rows(NAME, train)?;
                // The log-odds of a click, with one pseudo-count of either kind.
                let clicks = train.values().iter().filter(|value| label(settings, **value) > 0.5).count();
                let misses = train.len() * (1 + settings.negatives) - clicks;
                ((clicks as f64 + 1.0) / (misses as f64 + 1.0)).ln() as f32
            }
        };
        let fields = Fields::new(settings, train, context);
        let (factors, seed) = (settings.factors, context.seed);
        let mut random = rng(seed, "deepfm embeddings");
        let normal = || -> f32 {
            let x: f32 = StandardNormal.sample(&mut random);
            x * settings.init_deviation
        };
        let mut table: Vec<f32> =
            std::iter::repeat_with(normal).take(fields.features() * (factors + 1)).collect();
        table.chunks_exact_mut(factors + 1).for_each(|row| row[factors] = 0.0);
        let shape = Shape { input: fields.len() * factors, size: settings.size, depth: settings.depth };
        let weights = shape.first(seed);
        let layers = if native || shape.depth == 0 {
            let zeros = vec![0.0; weights.len()];
            Layers::Native([weights, zeros.clone(), zeros])
        } else {
            #[cfg(not(feature = "burn"))]
            unreachable!("a device but the CPU comes with the feature burn");
            #[cfg(feature = "burn")]
            Layers::Device(Box::new(Network::new(shape, &weights, context.device)))
        };
        let zeros = vec![0.0; table.len()];
        Ok(Self {
            settings,
            rows: train.row_users(),
            taken: if settings.negatives > 0 {
                (0..train.n_users() as u32).map(|user| distinct(train.user(user).items)).collect()
            } else {
                Vec::new()
            },
            train,
            fields,
            shape,
            intercept: [intercept, 0.0, 0.0],
            table: [table, zeros.clone(), zeros],
            layers,
            chunks: Vec::new(),
            steps: 0,
            seed,
        })
    }

    /// A row's examples: itself and its sampled negatives.
    fn examples(&self, row: u32, random: &mut impl Rng, out: &mut Vec<Example>) {
        out.push(Example {
            row,
            item: self.train.items()[row as usize],
            label: label(self.settings, self.train.values()[row as usize]),
        });
        if self.settings.negatives > 0 {
            out.extend(
                drawn(
                    self.settings.negatives,
                    self.train.n_items(),
                    &self.taken[self.rows[row as usize] as usize],
                    random,
                )
                .map(|item| Example { row, item, label: 0.0 }),
            );
        }
    }

    /// One step; returns the sum of the examples' losses before it.
    pub fn step(&mut self, examples: &[Example], rate: f32) -> Result<f64> {
        self.steps += 1;
        let settings = self.settings;
        let step = AdamStep { rate, weight_decay: settings.weight_decay, number: self.steps };
        let (corrections, share) = (step.corrections(), 1.0 / examples.len() as f32);
        let mask = Mask {
            share: settings.dropout,
            seed: stream_seed(self.seed, &format!("deepfm dropout {}", self.steps)),
        };
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.resize_with(examples.len().div_ceil(CHUNK), Chunk::default);
        let shape = self.shape;
        let from = Read {
            fields: &self.fields,
            factors: settings.factors,
            table: &self.table[0],
            intercept: self.intercept[0],
            train: self.train,
            rows: &self.rows,
        };
        match &mut self.layers {
            Layers::Native([weights, first, second]) => {
                chunks.par_iter_mut().zip(examples.par_chunks(CHUNK)).enumerate().for_each(
                    |(at, (chunk, examples))| {
                        chunk.gather(from, examples);
                        chunk.pass.forward(shape, weights, &chunk.input, &mut chunk.scores, mask, at * CHUNK);
                        chunk.compare(settings.objective, examples, share);
                        chunk.pass.backward(
                            shape,
                            weights,
                            &chunk.input,
                            &chunk.slopes,
                            mask.keep(),
                            &mut chunk.back,
                        );
                    },
                );
                descend([weights, first, second], &chunks, rate, corrections);
            }
            #[cfg(feature = "burn")]
            Layers::Device(network) => {
                chunks
                    .iter_mut()
                    .zip(examples.chunks(CHUNK))
                    .for_each(|(chunk, examples)| chunk.gather(from, examples));
                let mut scores: Vec<f32> =
                    chunks.iter().flat_map(|chunk| chunk.scores.iter().copied()).collect();
                let passed = network.forward(
                    chunks.iter().flat_map(|chunk| chunk.input.iter().copied()).collect(),
                    &mut scores,
                    mask,
                )?;
                for ((chunk, examples), scores) in
                    chunks.iter_mut().zip(examples.chunks(CHUNK)).zip(scores.chunks(CHUNK))
                {
                    chunk.scores.copy_from_slice(scores);
                    chunk.compare(settings.objective, examples, share);
                }
                let slopes = chunks.iter().flat_map(|chunk| chunk.slopes.iter().copied()).collect();
                let back = network.backward(passed, slopes, step)?;
                chunks
                    .iter_mut()
                    .zip(back.chunks(CHUNK * shape.input))
                    .for_each(|(chunk, back)| chunk.back.copy_from_slice(back));
            }
        }
        let slope: f32 = chunks.iter().flat_map(|chunk| &chunk.slopes).sum();
        let [value, first, second] = self.intercept.each_mut().map(std::slice::from_mut);
        adam(value, first, second, &[slope], rate, corrections);
        let (ids, gradients) = self.feature_gradients(&chunks);
        step_rows(self.table.each_mut().map(Vec::as_mut_slice), settings.factors + 1, &ids, &gradients, step);
        let loss = chunks.iter().map(|chunk| chunk.loss).sum();
        self.chunks = chunks;
        Ok(loss)
    }

    /// The features that the chunks have, ascending, and a row of gradients for each.
    fn feature_gradients(&self, chunks: &[Chunk]) -> (Vec<u32>, Vec<f32>) {
        let (fields, factors) = (self.fields.len(), self.settings.factors);
        let width = factors + 1;
        // Where each feature occurs: the place is the example's and field's.
        let mut touched: Vec<(u32, u32, f32)> = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            for (place, field) in chunk.features.fields().enumerate() {
                touched.extend(
                    field.iter().map(|(feature, x)| (*feature, (at * CHUNK * fields + place) as u32, *x)),
                );
            }
        }
        touched.par_sort_unstable_by_key(|(feature, place, _)| (*feature, *place));
        let runs: Vec<&[(u32, u32, f32)]> = touched.chunk_by(|a, b| a.0 == b.0).collect();
        let mut gradients = vec![0.0; runs.len() * width];
        let table = &self.table[0];
        gradients.par_chunks_exact_mut(width).zip(&runs).with_min_len(64).for_each(|(gradient, run)| {
            // `sum x (g q + dL/de)` less the feature's part of `q`, `sum g x^2 V`.
            let (embedding, weight) = gradient.split_at_mut(factors);
            let mut own = 0.0;
            for (_, place, x) in *run {
                let (example, field) = (*place as usize / fields, *place as usize % fields);
                let (chunk, row) = (&chunks[example / CHUNK], example % CHUNK);
                let slope = chunk.slopes[row];
                add(embedding, &chunk.sums[row * factors..(row + 1) * factors], x * slope);
                add(embedding, &chunk.back[(row * fields + field) * factors..][..factors], *x);
                weight[0] += x * slope;
                own += slope * x * x;
            }
            let at = run[0].0 as usize * width;
            add(embedding, &table[at..at + factors], -own);
        });
        (runs.iter().map(|run| run[0].0).collect(), gradients)
    }

    /// The loss of `examples` on average, and its gradients: the intercept's, the features that `examples`
    /// have and a row for each, and the layers'. Weights are unchanged.
    #[cfg(test)]
    #[allow(clippy::type_complexity)]
    pub fn gradients(&mut self, examples: &[Example]) -> Result<(f64, f32, (Vec<u32>, Vec<f32>), Vec<f32>)> {
        let loss = self.step(examples, 0.0)? / examples.len() as f64;
        let mut layers = vec![0.0; self.shape.len()];
        self.chunks.iter().for_each(|chunk| add(&mut layers, &chunk.pass.gradients, 1.0));
        Ok((
            loss,
            self.chunks.iter().flat_map(|chunk| &chunk.slopes).sum(),
            self.feature_gradients(&self.chunks),
            layers,
        ))
    }

    /// The layers' weights, in the order of `deep.rs`.
    fn weights(&self) -> Result<Vec<f32>> {
        match &self.layers {
            Layers::Native([weights, ..]) => Ok(weights.clone()),
            #[cfg(feature = "burn")]
            Layers::Device(network) => network.weights(),
        }
    }
}

/// `n` items that are not among `taken`, or fewer if hardly any other is left.
fn drawn(n: usize, n_items: usize, taken: &[u32], random: &mut impl Rng) -> impl Iterator<Item = u32> {
    (0..n).filter_map(move |_| {
        (0..10)
            .map(|_| random.random_range(0..n_items as u32))
            .find(|item| taken.binary_search(item).is_err())
    })
}

/// Adam's step on the layers' weights, along the chunks' gradients added in their order.
fn descend(
    [weights, first, second]: [&mut Vec<f32>; 3],
    chunks: &[Chunk],
    rate: f32,
    corrections: (f32, f32),
) {
    const STRETCH: usize = 8192;
    let stretches = weights
        .par_chunks_mut(STRETCH)
        .zip(first.par_chunks_mut(STRETCH))
        .zip(second.par_chunks_mut(STRETCH));
    stretches.enumerate().for_each(|(at, ((weights, first), second))| {
        let range = at * STRETCH..at * STRETCH + weights.len();
        let mut sum = chunks[0].pass.gradients[range.clone()].to_vec();
        chunks[1..].iter().for_each(|chunk| add(&mut sum, &chunk.pass.gradients[range.clone()], 1.0));
        adam(weights, first, second, &sum, rate, corrections);
    });
}

impl Trainer for Training<'_> {
    type Model = Model;

    /// The RMSE of ratings, or the log-loss of clicks; sampled negatives are the same after every epoch.
    fn validate(&self, model: &Model, train: &Histories, validation: &Histories) -> f64 {
        let scores = (model as &dyn crate::RatingModel).predict(train, validation, crate::Reading::Frozen);
        if self.settings.objective == Objective::Rating {
            return rmse(&scores, validation.values());
        }
        let own = scores
            .iter()
            .zip(validation.values())
            .map(|(score, value)| log_loss(*score, label(self.settings, *value)));
        let mut losses: Vec<f64> = own.collect();
        if self.settings.negatives > 0 {
            let mut random = rng(self.seed, "deepfm validation");
            for user in 0..validation.n_users() as u32 {
                let asked = validation.user(user);
                let taken = distinct(&[asked.items, train.user(user).items].concat());
                let state = (!asked.is_empty()).then(|| User::start(model, user, train.user(user)));
                for (timestamp, state) in asked.timestamps.iter().zip(state.iter().cycle()) {
                    losses.extend(
                        drawn(self.settings.negatives, train.n_items(), &taken, &mut random)
                            .map(|item| log_loss(state.predict(model, item, timestamp), 0.0)),
                    );
                }
            }
        }
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    fn error(&self, mean: f64) -> f64 {
        if self.settings.objective == Objective::Rating { mean.sqrt() } else { mean }
    }

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let settings = self.settings;
        let mut order: Vec<u32> = (0..self.train.len() as u32).collect();
        order.shuffle(&mut rng(self.seed, &format!("deepfm order {epoch}")));
        let mut random = rng(self.seed, &format!("deepfm negatives {epoch}"));
        let rate = settings.learning_rate * settings.decay.powi(epoch as i32);
        let (mut sum, mut seen) = (0.0, 0);
        let mut examples = Vec::new();
        for rows in order.chunks((settings.batch / (1 + settings.negatives)).max(1)) {
            context.go_on()?;
            examples.clear();
            rows.iter().for_each(|row| self.examples(*row, &mut random, &mut examples));
            sum += self.step(&examples, rate)?;
            seen += examples.len();
        }
        Ok(sum * self.train.len() as f64 / seen.max(1) as f64)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        Ok(Model::new(
            self.settings.clone(),
            self.fields.clone(),
            self.intercept[0],
            self.table[0].clone(),
            self.weights()?,
            self.train,
            train_error,
        ))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let whole = |name: String, values: &[f32]| NamedTensor::new(name, &[values.len()], values.to_vec());
        let mut state =
            vec![steps_tensor("steps", self.steps), whole("now.intercept".into(), &self.intercept)];
        for (at, kind) in ["now", "first", "second"].into_iter().enumerate() {
            state.push(whole(format!("{kind}.table"), &self.table[at]));
            if let Layers::Native(layers) = &self.layers {
                state.push(whole(format!("{kind}.layers"), &layers[at]));
            }
        }
        #[cfg(feature = "burn")]
        if let Layers::Device(network) = &self.layers {
            state.extend(network.state()?);
        }
        Ok(state)
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.steps = steps_of(state, "steps")?;
        let whole = |name: String, n: usize| state.values(&name, &[Some(n)]);
        self.intercept.copy_from_slice(&whole("now.intercept".into(), 3)?);
        for (at, kind) in ["now", "first", "second"].into_iter().enumerate() {
            self.table[at] = whole(format!("{kind}.table"), self.table[at].len())?;
            if let Layers::Native(layers) = &mut self.layers {
                layers[at] = whole(format!("{kind}.layers"), layers[at].len())?;
            }
        }
        #[cfg(feature = "burn")]
        if let Layers::Device(network) = &mut self.layers {
            network.restore(state)?;
        }
        Ok(())
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
