//! A trained AutoRec.

use super::{Settings, Side};
use crate::autoencoder::{Network, Reader, Rows, tensors_of};
use crate::fold_in::Population;
use crate::kernels::dot;
use crate::tensors::{NamedTensor, Tensors};
use crate::{ModelSettings, RatingModel, Result, Trained, UserState};
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
    /// How many dimensions the codes really have.
    dimensions: f32,
}

/// Items that tell how many dimensions the codes have, at most.
const PROBES: usize = 1000;

/// `(E |x|^2)^2 / E (x . x')^2` over items: the participation ratio of the codes' second moments, as
/// many as there are dimensions if all are alike, 1 if all codes point the same way.
fn dimensions(codes: &[f32], size: usize) -> f32 {
    let n = codes.len() / size;
    let probes: Vec<&[f32]> = (0..n.min(PROBES)).map(|i| i * n / n.min(PROBES)).map(|item| &codes[item * size..(item + 1) * size]).collect();
    let product = |a: &[f32], b: &[f32]| 1.0 + f64::from(dot(a, b));
    let lengths = probes.iter().map(|x| product(x, x)).sum::<f64>() / probes.len().max(1) as f64;
    // A pair counts in both orders.
    let row = |(at, x): (usize, &&[f32])| product(x, x).powi(2) + 2.0 * probes[at + 1..].iter().map(|y| product(x, y).powi(2)).sum::<f64>();
    let rows: Vec<f64> = probes.par_iter().enumerate().map(row).collect();
    let products = rows.iter().sum::<f64>() / (probes.len().max(1) as f64).powi(2);
    (lengths * lengths / products.max(1e-12)) as f32
}

impl Model {
    pub(super) fn new(settings: Settings, mean: f32, network: Network, rows: &Rows, train_error: f64) -> Self {
        let size = settings.size;
        let trained = rows.seen();
        let noise = (train_error * train_error).max(1e-6) as f32;
        let mut model = Self { settings, mean, network, trained, noise, codes: Vec::new(), population: Vec::new(), variance: 0.0, dimensions: 1.0 };
        if model.settings.side == Side::Items {
            model.codes = vec![0.0; rows.len() * size];
            let network = &model.network;
            model.codes.par_chunks_mut(size).enumerate().for_each(|(item, out)| {
                let mut sums = network.empty();
                let (users, values) = rows.row(item);
                users.iter().zip(values).for_each(|(user, value)| network.take_in(&mut sums, *user, *value));
                out.copy_from_slice(&network.hidden(&sums));
            });
            let population = Population::of(size + 1, model.trained.clone(), noise, |user, c| model.weight(user, c));
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
            trained: tensors.values("trained", &[Some(network.shape.width)])?.into_iter().map(|t| t > 0.0).collect(),
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
struct UserColumn<'a> {
    model: &'a Model,
    theta: Vec<f32>,
    variance: f32,
}

impl UserColumn<'_> {
    fn code(&self, item: u32) -> Option<&[f32]> {
        let size = self.model.settings.size;
        self.model.codes.get(item as usize * size..(item as usize + 1) * size)
    }

    fn observe_known(&mut self, item: u32) {
        if let Some(squared) = self.code(item).map(|code| 1.0 + dot(code, code)) {
            self.shrink(squared);
        }
    }

    /// What one observation with this `|x|^2` leaves of the variance.
    fn shrink(&mut self, squared: f32) {
        let v = self.variance;
        self.variance -= v * v * squared / ((self.model.noise + v * squared) * self.model.dimensions);
    }
}

impl UserState for UserColumn<'_> {
    fn predict(&self, item: u32, _: i64) -> f32 {
        let size = self.model.settings.size;
        match self.code(item) {
            None => self.model.offset() + self.theta[size],
            Some(code) => self.model.offset() + self.theta[size] + dot(code, &self.theta[..size]),
        }
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        let error = value - self.predict(item, timestamp);
        let model = self.model;
        let size = model.settings.size;
        let Some(code) = model.codes.get(item as usize * size..(item as usize + 1) * size) else { return };
        let squared = 1.0 + dot(code, code);
        let gain = self.variance * error / (model.noise + self.variance * squared);
        self.theta.iter_mut().zip(code).for_each(|(w, h)| *w += gain * h);
        self.theta[size] += gain;
        self.shrink(squared);
    }
}

impl Trained for Model {
    fn settings(&self) -> ModelSettings {
        ModelSettings::Autorec(self.settings.clone())
    }

    fn parameters(&self) -> usize {
        self.network.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let size = self.settings.size;
        let mut tensors = tensors_of(&self.network);
        tensors.extend([
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new("trained", &[self.trained.len()], self.trained.iter().map(|t| f32::from(u8::from(*t))).collect()),
            NamedTensor::scalar("noise", self.noise),
            NamedTensor::new("codes", &[self.codes.len() / size, size], self.codes.clone()),
            NamedTensor::new("population", &[self.population.len()], self.population.clone()),
            NamedTensor::scalar("variance", self.variance),
            NamedTensor::scalar("dimensions", self.dimensions),
        ]);
        tensors
    }

    fn as_rating(&self) -> Option<&dyn RatingModel> {
        Some(self)
    }
}

impl RatingModel for Model {
    fn start<'a>(&'a self, user: u32, known: History<'_>) -> Box<dyn UserState + 'a> {
        if self.settings.side == Side::Users {
            return Box::new(Reader::new(&self.network, self.offset(), &self.trained, self.mean, known));
        }
        let trained = self.trained.get(user as usize).is_some_and(|t| *t);
        let theta = if trained { (0..=self.settings.size).map(|c| self.weight(user as usize, c)).collect() } else { self.population.clone() };
        let mut state = UserColumn { model: self, theta, variance: self.variance };
        for row in 0..known.len() {
            if trained {
                state.observe_known(known.items[row]);
            } else {
                state.reveal(known.items[row], known.values[row], known.timestamps.at(row));
            }
        }
        Box::new(state)
    }
}
