//! A trained network in plain code: one row at a time, only the requested columns.

use super::Activation;
use crate::Result;
use crate::engine::kernels::{add, dot};
use crate::engine::tensors::Tensors;
use foretaste_data::History;
use std::collections::BTreeMap;

/// Sizes and functions of a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    /// Number of columns.
    pub width: usize,
    /// Sizes of the hidden layers, from the first to the last.
    pub sizes: Vec<usize>,
    /// The hidden layer that dropout applies to.
    pub code: usize,
    pub activation: Activation,
    pub output: Activation,
}

impl Shape {
    /// A network whose decoder mirrors the encoder's `layers`.
    pub fn mirrored(width: usize, layers: &[usize], activation: Activation, output: Activation) -> Self {
        let mut sizes = layers.to_vec();
        sizes.extend(layers.iter().rev().skip(1));
        Self { width, sizes, code: layers.len() - 1, activation, output }
    }
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    pub shape: Shape,
    pub input: Vec<f32>,
    pub input_bias: Vec<f32>,
    pub output: Vec<f32>,
    pub output_bias: Vec<f32>,
    /// Weights `[in, out]` and biases of the layers between.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Network {
    pub fn restore(mut shape: Shape, tensors: &Tensors) -> Result<Self> {
        let (first, last) = (shape.sizes[0], shape.sizes[shape.sizes.len() - 1]);
        shape.width = tensors.get("output_bias", &[None])?.shape[0];
        let width = Some(shape.width);
        let layer = |(layer, pair): (usize, &[usize])| -> Result<(Vec<f32>, Vec<f32>)> {
            Ok((
                tensors.values(&format!("layer.{layer}"), &[Some(pair[0]), Some(pair[1])])?,
                tensors.values(&format!("layer_bias.{layer}"), &[Some(pair[1])])?,
            ))
        };
        Ok(Self {
            input: tensors.values("input", &[width, Some(first)])?,
            input_bias: tensors.values("input_bias", &[Some(first)])?,
            output: tensors.values("output", &[width, Some(last)])?,
            output_bias: tensors.values("output_bias", &[width])?,
            layers: shape.sizes.windows(2).enumerate().map(layer).collect::<Result<_>>()?,
            shape,
        })
    }

    pub fn parameters(&self) -> usize {
        let between: usize = self.layers.iter().map(|(w, b)| w.len() + b.len()).sum();
        self.input.len() + self.input_bias.len() + self.output.len() + self.output_bias.len() + between
    }

    /// Sums of the first layer for a row without ratings.
    pub fn empty(&self) -> Vec<f32> {
        self.input_bias.clone()
    }

    /// Adds one more rating to the first layer's sums.
    pub fn take_in(&self, sums: &mut [f32], column: u32, value: f32) {
        let size = self.shape.sizes[0];
        if let Some(row) = self.input.get(column as usize * size..(column as usize + 1) * size) {
            add(sums, row, value);
        }
    }

    /// The last hidden layer, given the sums of the first.
    pub fn hidden(&self, sums: &[f32]) -> Vec<f32> {
        let act = |mut layer: Vec<f32>| {
            layer.iter_mut().for_each(|x| *x = self.shape.activation.of(*x));
            layer
        };
        let mut h = act(sums.to_vec());
        for (weights, biases) in &self.layers {
            let mut next = biases.clone();
            let size = next.len();
            h.iter().zip(weights.chunks_exact(size)).for_each(|(x, row)| add(&mut next, row, *x));
            h = act(next);
        }
        h
    }

    /// The output for one column.
    pub fn output(&self, hidden: &[f32], column: u32) -> Option<f32> {
        let size = hidden.len();
        let row = self.output.get(column as usize * size..(column as usize + 1) * size)?;
        Some(self.shape.output.of(dot(hidden, row) + self.output_bias[column as usize]))
    }
}

/// A user as a growing row of ratings: the state of U-AutoRec and DeepRec.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    rated: BTreeMap<u32, f32>,
    sums: Vec<f32>,
    hidden: Vec<f32>,
}

/// The model that reads such rows.
pub(crate) struct Reader<'a> {
    pub network: &'a Network,
    /// Subtracted from every rating.
    pub offset: f32,
    /// Columns with training rows; the others use the fallback.
    pub trained: &'a [bool],
    pub fallback: f32,
}

impl Reader<'_> {
    /// A user who is known to have rated `known`.
    pub fn start(&self, known: History<'_>) -> Row {
        let mut row = Row { rated: BTreeMap::new(), sums: self.network.empty(), hidden: Vec::new() };
        known.items.iter().zip(known.values).for_each(|(item, value)| self.take(&mut row, *item, *value));
        row.hidden = self.network.hidden(&row.sums);
        row
    }

    /// Adds a rating to the sums of the first layer.
    fn take(&self, row: &mut Row, item: u32, value: f32) {
        let value = value - self.offset;
        // A rating of the same item replaces the previous one.
        let before = row.rated.insert(item, value).unwrap_or(0.0);
        self.network.take_in(&mut row.sums, item, value - before);
    }

    pub fn predict(&self, row: &Row, item: u32) -> f32 {
        match self.network.output(&row.hidden, item) {
            Some(out) if self.trained[item as usize] => self.offset + out,
            _ => self.fallback,
        }
    }

    pub fn update(&self, row: &mut Row, item: u32, value: f32) {
        self.take(row, item, value);
        row.hidden = self.network.hidden(&row.sums);
    }

    /// Whether the row's layers have the network's sizes.
    pub fn fits(&self, row: &Row) -> bool {
        let sizes = &self.network.shape.sizes;
        row.sums.len() == sizes[0] && row.hidden.len() == sizes[sizes.len() - 1]
    }
}
