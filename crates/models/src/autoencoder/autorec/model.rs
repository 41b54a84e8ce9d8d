//! A trained AutoRec.

use super::{Settings, Side};
use crate::autoencoder::{Network, Reader, Row, Rows, tensors_of};
use crate::engine::fold_in::Population;
use crate::engine::kernels::dot;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{ModelSettings, Predictor, Result, state};
use foretaste_data::History;
use rayon::prelude::*;

/// A trained AutoRec.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    mean: f32,
    network: Network,
    /// Columns (items under users' rows, users under items' rows) with training rows.
    trained: Vec<bool>,
    /// Mean squared training error.
    noise: f32,
    /// Under items' rows: each item's code, and the mean and mean variance of `(W_u, b_u)` over users.
    codes: Vec<f32>,
    population: Vec<f32>,
    variance: f32,
    /// Effective number of dimensions of the codes.
    dimensions: f32,
}

/// Largest number of items used to estimate the codes' number of dimensions.
const PROBES: usize = 1000;

/// `(E |x|^2)^2 / E (x . x')^2` over items: the participation ratio of the codes' second moments, as
/// many as there are dimensions if all are alike, 1 if all codes point the same way.
fn dimensions(codes: &[f32], size: usize) -> f32 {
    let n = codes.len() / size;
    let probes: Vec<&[f32]> = (0..n.min(PROBES))
        .map(|i| i * n / n.min(PROBES))
        .map(|item| &codes[item * size..(item + 1) * size])
        .collect();
    let product = |a: &[f32], b: &[f32]| 1.0 + f64::from(dot(a, b));
    let lengths = probes.iter().map(|x| product(x, x)).sum::<f64>() / probes.len().max(1) as f64;
    // Each pair counts in both orders.
    let row = |(at, x): (usize, &&[f32])| {
        product(x, x).powi(2) + 2.0 * probes[at + 1..].iter().map(|y| product(x, y).powi(2)).sum::<f64>()
    };
    let rows: Vec<f64> = probes.par_iter().enumerate().map(row).collect();
    let products = rows.iter().sum::<f64>() / (probes.len().max(1) as f64).powi(2);
    (lengths * lengths / products.max(1e-12)) as f32
}

impl Model {
    pub(super) fn new(
        settings: Settings,
        mean: f32,
        network: Network,
        rows: &Rows,
        train_error: f64,
    ) -> Self {
        let size = settings.size;
        let trained = rows.seen();
        let noise = (train_error * train_error).max(1e-6) as f32;
        let mut model = Self {
            settings,
            mean,
            network,
            trained,
            noise,
            codes: Vec::new(),
            population: Vec::new(),
            variance: 0.0,
            dimensions: 1.0,
        };
        if model.settings.side == Side::Items {
            model.codes = vec![0.0; rows.len() * size];
            let network = &model.network;
            model.codes.par_chunks_mut(size).enumerate().for_each(|(item, out)| {
                let mut sums = network.empty();
                let (users, values) = rows.row(item);
                users.iter().zip(values).for_each(|(user, value)| network.take_in(&mut sums, *user, *value));
                out.copy_from_slice(&network.hidden(&sums));
            });
            let population =
                Population::of(size + 1, model.trained.clone(), noise, |user, c| model.weight(user, c));
            model.variance = population.variance.iter().sum::<f32>() / (size + 1) as f32;
            model.population = population.mean;
            model.dimensions = dimensions(&model.codes, size).max(1.0);
        }
        model
    }

    /// Component `c` of a user's `(W_u, b_u)`.
    fn weight(&self, user: usize, c: usize) -> f32 {
        let size = self.settings.size;
        if c == size { self.network.output_bias[user] } else { self.network.output[user * size + c] }
    }

    fn offset(&self) -> f32 {
        if self.settings.center { self.mean } else { 0.0 }
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let size = settings.size;
        let network = Network::restore(settings.shape(0), tensors)?;
        Ok(Self {
            mean: tensors.scalar("mean")?,
            trained: tensors
                .values("trained", &[Some(network.shape.width)])?
                .into_iter()
                .map(|t| t > 0.0)
                .collect(),
            noise: tensors.scalar("noise")?,
            codes: tensors.values("codes", &[None, Some(size)])?,
            population: tensors.values("population", &[None])?,
            variance: tensors.scalar("variance")?,
            dimensions: tensors.scalar("dimensions")?,
            network,
            settings,
        })
    }
}

/// A user who is a column: output weights, and the variance of each.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    theta: Vec<f32>,
    variance: f32,
}

/// A user of either side's network.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum User {
    /// Of U-AutoRec.
    Row(Row),
    /// Of I-AutoRec.
    Column(Column),
}

impl Model {
    fn reader(&self) -> Reader<'_> {
        Reader { network: &self.network, offset: self.offset(), trained: &self.trained, fallback: self.mean }
    }

    fn code(&self, item: u32) -> Option<&[f32]> {
        let size = self.settings.size;
        self.codes.get(item as usize * size..(item as usize + 1) * size)
    }

    /// The rest of a variance `v` after one observation with this `|x|^2`.
    fn shrunk(&self, v: f32, squared: f32) -> f32 {
        v - v * v * squared / ((self.noise + v * squared) * self.dimensions)
    }

    fn of_column(&self, column: &Column, item: u32) -> f32 {
        let size = self.settings.size;
        match self.code(item) {
            None => self.offset() + column.theta[size],
            Some(code) => self.offset() + column.theta[size] + dot(code, &column.theta[..size]),
        }
    }

    fn update_column(&self, column: &mut Column, item: u32, value: f32) {
        let error = value - self.of_column(column, item);
        let Some(code) = self.code(item) else { return };
        let squared = 1.0 + dot(code, code);
        let gain = column.variance * error / (self.noise + column.variance * squared);
        column.theta.iter_mut().zip(code).for_each(|(w, h)| *w += gain * h);
        column.theta[self.settings.size] += gain;
        column.variance = self.shrunk(column.variance, squared);
    }

    fn column(&self, user: u32, known: History<'_>) -> Column {
        let trained = self.trained.get(user as usize).is_some_and(|t| *t);
        let theta = if trained {
            (0..=self.settings.size).map(|c| self.weight(user as usize, c)).collect()
        } else {
            self.population.clone()
        };
        let mut column = Column { theta, variance: self.variance };
        for row in 0..known.len() {
            if !trained {
                self.update_column(&mut column, known.items[row], known.values[row]);
            } else if let Some(code) = self.code(known.items[row]) {
                column.variance = self.shrunk(column.variance, 1.0 + dot(code, code));
            }
        }
        column
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.network.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let size = self.settings.size;
        let mut tensors = tensors_of(&self.network);
        tensors.extend([
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new(
                "trained",
                &[self.trained.len()],
                self.trained.iter().map(|t| f32::from(u8::from(*t))).collect(),
            ),
            NamedTensor::scalar("noise", self.noise),
            NamedTensor::new("codes", &[self.codes.len() / size, size], self.codes.clone()),
            NamedTensor::new("population", &[self.population.len()], self.population.clone()),
            NamedTensor::scalar("variance", self.variance),
            NamedTensor::scalar("dimensions", self.dimensions),
        ]);
        tensors
    }

    fn start(&self, user: u32, known: History<'_>) -> User {
        match self.settings.side {
            Side::Users => User::Row(self.reader().start(known)),
            Side::Items => User::Column(self.column(user, known)),
        }
    }

    fn update(&self, user: &mut User, item: u32, value: f32, _: i64) {
        match user {
            User::Row(row) => self.reader().update(row, item, value),
            User::Column(column) => self.update_column(column, item, value),
        }
    }

    fn predict(&self, user: &User, item: u32, _: i64) -> f32 {
        match user {
            User::Row(row) => self.reader().predict(row, item),
            User::Column(column) => self.of_column(column, item),
        }
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user| match user {
            User::Row(row) => self.settings.side == Side::Users && self.reader().fits(row),
            User::Column(column) => {
                self.settings.side == Side::Items && column.theta.len() == self.settings.size + 1
            }
        })
    }
}
