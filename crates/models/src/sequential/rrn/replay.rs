//! One side's network in plain code.

use super::{Scale, Settings};
use crate::Result;
use crate::engine::recurrent::{Cell, CellWeights, accumulate};
use crate::engine::tensors::{NamedTensor, Tensors};

/// Name and sizes of a parameter.
pub(super) type Shape = (String, [usize; 2]);

/// The dense parameters of one side, in order: input weights, biases and hidden weights of the gates,
/// the embedding of newbie and times, the projection and its bias.
pub(super) fn shapes(settings: &Settings, side: &str) -> Vec<Shape> {
    let (h, e, k) = (settings.size, settings.embedding, settings.dynamic_factors);
    let mut shapes = Vec::new();
    for (name, shape) in [("input", [e, h]), ("input_bias", [1, h]), ("hidden", [h, h])] {
        shapes.extend(Cell::Lstm.gates().iter().map(|gate| (format!("{side}.{name}.{gate}"), shape)));
    }
    shapes.push((format!("{side}.times"), [3, e]));
    shapes.push((format!("{side}.projection"), [h, k]));
    shapes.push((format!("{side}.projection_bias"), [1, k]));
    shapes
}

/// One side's weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Side {
    name: &'static str,
    pub embedding: usize,
    factors: usize,
    cell: CellWeights,
    times: Vec<f32>,
    projection: Vec<f32>,
    projection_bias: Vec<f32>,
    /// Embeddings of what a step rates, one row each.
    pub inputs: Vec<f32>,
    /// Stationary factors and bias, one row an owner.
    pub stationary: Vec<f32>,
}

/// A step that a sequence has reached: its day, the state that has seen all before it, and its
/// ratings' embedding.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Place {
    pub day: i32,
    pub hidden: Vec<f32>,
    pub memory: Vec<f32>,
    pub bag: Vec<f32>,
}

impl Side {
    /// From the tensors of [`shapes`] in their order, then inputs and stationary factors.
    pub fn new(settings: &Settings, name: &'static str, values: Vec<Vec<f32>>) -> Self {
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        let mut run = || (0..Cell::Lstm.gates().len()).map(|_| next()).collect::<Vec<_>>();
        let (input, input_bias, hidden) = (run(), run(), run());
        Self {
            name,
            embedding: settings.embedding,
            factors: settings.stationary_factors,
            cell: CellWeights {
                cell: Cell::Lstm,
                size: settings.size,
                input,
                input_bias,
                hidden,
                hidden_bias: Vec::new(),
            },
            times: next(),
            projection: next(),
            projection_bias: next(),
            inputs: next(),
            stationary: next(),
        }
    }

    pub fn restore(settings: &Settings, name: &'static str, tensors: &Tensors) -> Result<Self> {
        let mut values = Vec::new();
        for (name, shape) in shapes(settings, name) {
            values.push(tensors.values(&name, &[Some(shape[0]), Some(shape[1])])?);
        }
        values.push(tensors.values(&format!("{name}.inputs"), &[None, Some(settings.embedding)])?);
        values.push(
            tensors.values(&format!("{name}.stationary"), &[None, Some(settings.stationary_factors + 1)])?,
        );
        Ok(Self::new(settings, name, values))
    }

    pub fn tensors(&self, settings: &Settings) -> Vec<NamedTensor> {
        let cell = &self.cell;
        let dense = cell.input.iter().chain(&cell.input_bias).chain(&cell.hidden).chain([
            &self.times,
            &self.projection,
            &self.projection_bias,
        ]);
        let mut tensors: Vec<NamedTensor> = shapes(settings, self.name)
            .into_iter()
            .zip(dense)
            .map(|((name, shape), data)| NamedTensor::new(name, &shape, data.clone()))
            .collect();
        let table = |name: &str, width: usize, data: &Vec<f32>| {
            NamedTensor::new(format!("{}.{name}", self.name), &[data.len() / width, width], data.clone())
        };
        tensors.push(table("inputs", self.embedding, &self.inputs));
        tensors.push(table("stationary", self.factors + 1, &self.stationary));
        tensors
    }

    /// Adds one rating to a step's embedding.
    pub fn add(&self, bag: &mut [f32], other: u32, value: f32) {
        let at = other as usize * self.embedding;
        if let Some(row) = self.inputs.get(at..at + self.embedding) {
            bag.iter_mut().zip(row).for_each(|(b, e)| *b += value * e);
        }
    }

    /// The state at `day`, coming from the step before it, if there is one.
    pub fn arrive(&self, before: Option<&Place>, day: i32, scale: Scale) -> (Vec<f32>, Vec<f32>) {
        let now = scale.tau(day);
        let (mut y, mut hidden, mut memory, then) = match before {
            Some(place) => {
                (place.bag.clone(), place.hidden.clone(), place.memory.clone(), scale.tau(place.day))
            }
            None => (vec![0.0; self.embedding], vec![0.0; self.cell.size], vec![0.0; self.cell.size], now),
        };
        accumulate(&mut y, &[f32::from(u8::from(before.is_none())), now, then], &self.times);
        self.cell.step(&y, &mut hidden, &mut memory);
        (hidden, memory)
    }

    /// `u~` (or `m~`) of a state.
    pub fn project(&self, hidden: &[f32]) -> Vec<f32> {
        let mut out = self.projection_bias.clone();
        accumulate(&mut out, hidden, &self.projection);
        out
    }

    /// Stationary factors and bias of an owner with training rows.
    pub fn stationary(&self, owner: u32) -> Option<&[f32]> {
        let width = self.factors + 1;
        self.stationary.get(owner as usize * width..(owner as usize + 1) * width)
    }
}

/// `<u~, m~> + <u, m> + b_u + b_m`.
pub(super) fn join(dynamic: [&[f32]; 2], stationary: [Option<&[f32]>; 2]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let mut sum = product(dynamic[0], dynamic[1]);
    for row in stationary.into_iter().flatten() {
        sum += row[row.len() - 1];
    }
    if let [Some(a), Some(b)] = stationary {
        sum += product(&a[..a.len() - 1], &b[..b.len() - 1]);
    }
    sum
}
