//! A trained DeepFM.
//!
//! Both parts of the score are sums over user, item, time and recent items: the machine's by the form of
//! `fm/machine.rs`, the deep part's by its first layer, which is linear. An item's contribution to each is
//! computed once for all users.

use super::deep::Shape;
use super::fields::{Features, Fields};
use super::{Objective, Settings};
use crate::engine::fold_in::{Population, Regression};
use crate::engine::kernels::{add, dot};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::fm::{fold, join};
use crate::{ModelSettings, Predictor, RatingModel, Reading, Result, state};
use foretaste_data::{Histories, History};
use rayon::prelude::*;

/// A trained DeepFM.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    fields: Fields,
    intercept: f32,
    /// One row per feature: the embedding, then the weight.
    table: Vec<f32>,
    /// The deep part's weights, in the order of `deep.rs`.
    weights: Vec<f32>,
    population: Population,
    /// Each item's part, the unknown item's last.
    items: Vec<Part>,
}

/// The contribution of a few fields to a score.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Part {
    /// `q` and `c` of the machine.
    folded: Vec<f32>,
    /// To the sums of the first layer.
    first: Vec<f32>,
}

/// The four kinds of parts, in the order of `a_0`.
#[derive(Clone, Copy)]
enum Of {
    User,
    Item,
    Time,
    Before,
}

/// Gives ids without training rows (and the unknown one, the last) the mean of those with some.
fn fill(rows: &mut [f32], width: usize, known: &[bool]) {
    let n = known.iter().filter(|known| **known).count().max(1) as f64;
    let mean: Vec<f32> = (0..width)
        .map(|at| {
            let sum: f64 = rows
                .chunks_exact(width)
                .zip(known)
                .filter(|(_, known)| **known)
                .map(|(row, _)| f64::from(row[at]))
                .sum();
            (sum / n) as f32
        })
        .collect();
    let known = known.iter().copied().chain(std::iter::repeat(false));
    rows.chunks_exact_mut(width)
        .zip(known)
        .filter(|(_, known)| !known)
        .for_each(|(row, _)| row.copy_from_slice(&mean));
}

/// Variance of users' levels: of their mean ratings less the items' means, less what `noise` adds to such
/// means.
fn level_variance(train: &Histories, noise: f32) -> f32 {
    let mut items = vec![(0.0, 0.0); train.n_items()];
    for (item, value) in train.items().iter().zip(train.values()) {
        let (sum, n) = &mut items[*item as usize];
        (*sum, *n) = (*sum + f64::from(*value), *n + 1.0);
    }
    let level = |user: u32| {
        let own = train.user(user);
        let sum: f64 = own
            .items
            .iter()
            .zip(own.values)
            .map(|(item, value)| f64::from(*value) - items[*item as usize].0 / items[*item as usize].1)
            .sum();
        (!own.is_empty()).then(|| (sum / own.len() as f64, 1.0 / own.len() as f64))
    };
    let levels: Vec<(f64, f64)> = (0..train.n_users() as u32).filter_map(level).collect();
    let n = levels.len().max(1) as f64;
    let mean = levels.iter().map(|level| level.0).sum::<f64>() / n;
    (levels.iter().map(|level| (level.0 - mean).powi(2) - f64::from(noise) * level.1).sum::<f64>() / n)
        .max(0.0) as f32
}

impl Model {
    pub(super) fn new(
        settings: Settings,
        fields: Fields,
        intercept: f32,
        mut table: Vec<f32>,
        weights: Vec<f32>,
        train: &Histories,
        train_error: f64,
    ) -> Self {
        let width = settings.factors + 1;
        let users: Vec<bool> =
            (0..train.n_users() as u32).map(|user| !train.range(user).is_empty()).collect();
        let mut items = vec![false; train.n_items()];
        train.items().iter().for_each(|item| items[*item as usize] = true);
        for (ids, known) in fields.ids().into_iter().zip([&users, &items]) {
            fill(&mut table[ids.start * width..ids.end * width], width, known);
        }
        let population = Population { mean: Vec::new(), variance: Vec::new(), noise: 1.0, trained: users };
        let mut model = Self { settings, fields, intercept, table, weights, population, items: Vec::new() };
        let folded: Vec<Vec<f32>> =
            (0..train.n_users() as u32).into_par_iter().map(|user| model.user(user).folded).collect();
        let component =
            |user: usize, c: usize| if c == 0 { folded[user][width - 1] } else { folded[user][c - 1] };
        model.population = Population::of(
            width,
            std::mem::take(&mut model.population.trained),
            (train_error * train_error) as f32,
            component,
        );
        if model.settings.objective == Objective::Rating {
            // The deep part has learned a share of a user's level, which `c` does not contain.
            let spread = level_variance(train, model.population.noise);
            model.population.variance[0] = model.population.variance[0].max(spread);
        }
        model.with_items()
    }

    /// Computes the items' parts.
    fn with_items(mut self) -> Self {
        let parts = (0..=self.fields.items as u32)
            .into_par_iter()
            .map(|item| self.part(Of::Item, |features| self.fields.item(item, features)));
        self.items = parts.collect();
        self
    }

    fn shape(&self) -> Shape {
        Shape {
            input: self.fields.len() * self.settings.factors,
            size: self.settings.size,
            depth: self.settings.depth,
        }
    }

    /// The contribution of the fields that `fill` names.
    fn part(&self, of: Of, fill: impl FnOnce(&mut Features)) -> Part {
        let (factors, shape) = (self.settings.factors, self.shape());
        let mut features = Features::default();
        fill(&mut features);
        let mut folded = vec![0.0; factors + 1];
        fold(&self.table, features.entries.iter().copied(), &mut folded);
        if shape.depth == 0 {
            return Part { folded, first: Vec::new() };
        }
        let mut first = vec![0.0; shape.size];
        let [range, _] = shape.layer(0);
        let before: usize = self.fields.counts()[..of as usize].iter().sum();
        let mut rows = self.weights[range].chunks_exact(shape.size).skip(before * factors);
        let mut embedding = vec![0.0; factors];
        for field in features.fields() {
            embedding.fill(0.0);
            for (feature, x) in field {
                add(&mut embedding, &self.table[*feature as usize * (factors + 1)..][..factors], *x);
            }
            embedding.iter().zip(&mut rows).for_each(|(e, row)| add(&mut first, row, *e));
        }
        Part { folded, first }
    }

    fn user(&self, user: u32) -> Part {
        // A user without training rows still has attributes.
        self.part(Of::User, |features| self.fields.user(user, features))
    }

    fn item(&self, item: u32) -> &Part {
        &self.items[(item as usize).min(self.fields.items)]
    }

    /// The log-odds of a click in each row of `asked`, given the rows `known` of the same users; under
    /// `objective = "rating"` the ratings.
    #[must_use]
    pub fn scores(&self, known: &Histories, asked: &Histories) -> Vec<f32> {
        (self as &dyn RatingModel).predict(known, asked, Reading::Frozen)
    }

    /// Features' rows, then the layers.
    #[cfg(test)]
    pub(super) fn all_weights(&self) -> Vec<f32> {
        [self.table.as_slice(), &self.weights].concat()
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let fields = Fields::restore(&settings, tensors)?;
        let width = settings.factors + 1;
        let model = Self {
            intercept: tensors.scalar("intercept")?,
            table: tensors.values("features", &[Some(fields.features()), Some(width)])?,
            population: Population::restore(width, tensors)?,
            weights: Vec::new(),
            items: Vec::new(),
            fields,
            settings,
        };
        let shape = model.shape();
        let mut weights = Vec::with_capacity(shape.len());
        for layer in shape.layers() {
            let [_, biases] = shape.layer(layer);
            weights.extend(
                tensors
                    .values(&format!("layer.{layer}"), &[Some(shape.fan_in(layer)), Some(biases.len())])?,
            );
            weights.extend(tensors.values(&format!("layer_bias.{layer}"), &[Some(biases.len())])?);
        }
        Ok(Self { weights, ..model }.with_items())
    }
}

/// A folded part in the order of the regression: `c` first.
fn theta(folded: &[f32]) -> Vec<f64> {
    let (q, c) = folded.split_at(folded.len() - 1);
    c.iter().chain(q).map(|v| f64::from(*v)).collect()
}

/// One user: the contribution of the user's fields, the regression that updates it, and the known rows.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    own: Part,
    regression: Regression,
    /// Known rows, in time order.
    items: Vec<u32>,
    timestamps: Vec<i64>,
}

impl User {
    pub(super) fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let own = model.user(user);
        let regression = Regression::new(theta(&own.folded));
        let mut state = Self { own, regression, items: Vec::new(), timestamps: Vec::new() };
        let trained = model.population.knows(user);
        for row in 0..known.len() {
            if trained || model.settings.objective == Objective::Click {
                state.remember(known.items[row], known.timestamps.at(row));
            } else {
                state.update(model, known.items[row], known.values[row], known.timestamps.at(row));
            }
        }
        state
    }

    fn remember(&mut self, item: u32, timestamp: i64) {
        let at = self.timestamps.partition_point(|t| *t <= timestamp);
        self.timestamps.insert(at, timestamp);
        self.items.insert(at, item);
    }

    /// The contribution of time and recent items at `timestamp`.
    fn around(&self, model: &Model, timestamp: i64) -> [Part; 2] {
        let fields = &model.fields;
        let times = self.timestamps.as_slice();
        [
            model.part(Of::Time, |features| fields.time(timestamp, features)),
            model.part(Of::Before, |features| fields.before(&self.items, times.into(), timestamp, features)),
        ]
    }

    pub(super) fn predict(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        let (item, [time, before]) = (model.item(item), self.around(model, timestamp));
        let parts = [&self.own.folded, &item.folded, &time.folded, &before.folded];
        let machine = model.intercept + join(&parts.map(Vec::as_slice));
        let shape = model.shape();
        if shape.depth == 0 {
            return machine;
        }
        let mut sums = model.weights[shape.layer(0)[1].clone()].to_vec();
        for part in [&self.own, item, &time, &before] {
            add(&mut sums, &part.first, 1.0);
        }
        machine + shape.finish_one(&model.weights, &mut sums, &mut vec![0.0; shape.size])
    }

    /// `(1, q)` of everything but the user: the factor of the user's `(c, q)`.
    fn features(&self, model: &Model, item: u32, timestamp: i64) -> Vec<f64> {
        let [time, before] = self.around(model, timestamp);
        let mut q = model.item(item).folded.clone();
        [time, before].iter().for_each(|part| add(&mut q, &part.folded, 1.0));
        q.pop();
        std::iter::once(1.0).chain(q.into_iter().map(f64::from)).collect()
    }

    fn update(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        if model.settings.objective == Objective::Rating && value.is_finite() {
            let population = &model.population;
            let noise = f64::from(population.noise);
            if !self.regression.is_open() {
                let rows = self.items.iter().zip(&self.timestamps);
                let known: Vec<Vec<f64>> =
                    rows.map(|(item, timestamp)| self.features(model, *item, *timestamp)).collect();
                self.regression.open(&population.variance, noise, known.into_iter().map(|x| (x, 0.0)));
            }
            let x = self.features(model, item, timestamp);
            let rest = f64::from(self.predict(model, item, timestamp))
                - crate::engine::fold_in::dot(&self.regression.theta, &x);
            self.regression.observe(&x, f64::from(value) - rest, noise);
            let theta = &self.regression.theta;
            self.own.folded = theta[1..].iter().chain(&theta[..1]).map(|v| *v as f32).collect();
        }
        self.remember(item, timestamp);
    }

    fn scores(&self, model: &Model, timestamp: i64, out: &mut [f32]) {
        /// Items passed through the layers at once.
        const BLOCK: usize = 256;
        let [time, before] = self.around(model, timestamp);
        let shape = model.shape();
        // Everything but the item is one part.
        let around = [&self.own, &time, &before];
        let constant = model.intercept + join(&around.map(|part| part.folded.as_slice()));
        let mut q = vec![0.0; model.settings.factors];
        around.iter().for_each(|part| add(&mut q, &part.folded[..model.settings.factors], 1.0));
        for (item, out) in out.iter_mut().enumerate() {
            let (own, c) = model.item(item as u32).folded.split_at(q.len());
            *out = constant + c[0] + dot(&q, own);
        }
        if shape.depth == 0 {
            return;
        }
        let mut first = model.weights[shape.layer(0)[1].clone()].to_vec();
        around.iter().for_each(|part| add(&mut first, &part.first, 1.0));
        let (mut sums, mut next, mut deep) = (Vec::new(), vec![0.0; BLOCK * shape.size], vec![0.0; BLOCK]);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            sums.clear();
            for item in 0..out.len() {
                let other = &model.item((block * BLOCK + item) as u32).first;
                sums.extend(first.iter().zip(other).map(|(a, b)| a + b));
            }
            let deep = &mut deep[..out.len()];
            shape.finish(&model.weights, &mut sums, &mut next[..out.len() * shape.size], deep);
            add(out, deep, 1.0);
        }
    }

    fn fits(&self, model: &Model) -> bool {
        let width = model.settings.factors + 1;
        self.own.folded.len() == width
            && self.own.first.len() == model.items[0].first.len()
            && self.regression.fits(width)
            && self.items.len() == self.timestamps.len()
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        1 + self.table.len() + self.weights.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = self.fields.tensors();
        tensors.push(NamedTensor::scalar("intercept", self.intercept));
        tensors.push(NamedTensor::new(
            "features",
            &[self.fields.features(), self.settings.factors + 1],
            self.table.clone(),
        ));
        let shape = self.shape();
        for layer in shape.layers() {
            let [range, biases] = shape.layer(layer);
            tensors.push(NamedTensor::new(
                format!("layer.{layer}"),
                &[shape.fan_in(layer), biases.len()],
                self.weights[range].to_vec(),
            ));
            tensors.push(NamedTensor::new(
                format!("layer_bias.{layer}"),
                &[biases.len()],
                self.weights[biases].to_vec(),
            ));
        }
        tensors.extend(self.population.tensors());
        tensors
    }

    fn rates(&self) -> bool {
        self.settings.objective == Objective::Rating
    }

    fn ranks(&self) -> bool {
        true
    }

    fn start(&self, user: u32, known: History<'_>) -> User {
        User::start(self, user, known)
    }

    fn update(&self, user: &mut User, item: u32, value: f32, timestamp: i64) {
        user.update(self, item, value, timestamp);
    }

    fn predict(&self, user: &User, item: u32, timestamp: i64) -> f32 {
        user.predict(self, item, timestamp)
    }

    fn scores(&self, user: &User, timestamp: i64, out: &mut [f32]) {
        user.scores(self, timestamp, out);
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user: &User| user.fits(self))
    }
}
