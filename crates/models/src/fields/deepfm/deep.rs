//! The deep part in native code: `depth` layers of `size` units, and one output.
//!
//! All weights are in one vector: for each layer `W` (`[in, size]`) and `b` (`[size]`), then `w_out`
//! (`[size]`) and `b_out`. Rows of a batch are independent but for the weights' gradients, which are summed.

use crate::engine::kernels::{Matrix, add, dot, product_into};
use crate::engine::noise::Mask;
use foretaste_data::rng;
use rand::RngExt;
use std::ops::Range;

/// Sizes of the deep part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Length of `a_0`.
    pub input: usize,
    pub size: usize,
    pub depth: usize,
}

impl Shape {
    /// Length of layer `layer`'s input.
    pub fn fan_in(self, layer: usize) -> usize {
        if layer == 0 { self.input } else { self.size }
    }

    /// Positions of a layer's weights and biases; for `depth` those of the output.
    pub fn layer(self, layer: usize) -> [Range<usize>; 2] {
        let from = if layer == 0 {
            0
        } else {
            (self.input + 1) * self.size + (layer - 1) * (self.size + 1) * self.size
        };
        let units = if layer == self.depth { 1 } else { self.size };
        let middle = from + self.fan_in(layer) * units;
        [from..middle, middle..middle + units]
    }

    /// The layers, ending with the output; empty without a deep part.
    pub fn layers(self) -> Range<usize> {
        if self.depth == 0 { 0..0 } else { 0..self.depth + 1 }
    }

    /// Number of weights; 0 without layers.
    pub fn len(self) -> usize {
        if self.depth == 0 { 0 } else { self.layer(self.depth)[1].end }
    }

    /// Initial weights: uniform within `sqrt(6 / (in + out))` (Glorot and Bengio 2010), biases 0.
    pub fn first(self, seed: u64) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        for layer in self.layers() {
            let [range, biases] = self.layer(layer);
            let reach = (6.0 / (self.fan_in(layer) + biases.len()) as f32).sqrt();
            let mut random = rng(seed, &format!("deepfm layer {layer}"));
            weights[range].iter_mut().for_each(|w| *w = random.random_range(-1.0_f32..1.0) * reach);
        }
        weights
    }

    /// From a layer's sums `[rows, size]` on, the sums of the last layer's units: `relu`, then the next
    /// layer, and so on; returns each row's output. `next` is a buffer for as many sums.
    pub fn finish(self, weights: &[f32], sums: &mut [f32], next: &mut [f32], out: &mut [f32]) {
        let size = self.size;
        let (mut sums, mut next) = (sums, next);
        sums.iter_mut().for_each(|x| *x = x.max(0.0));
        for layer in 1..self.depth {
            let [range, biases] = self.layer(layer);
            next.chunks_exact_mut(size).for_each(|row| row.copy_from_slice(&weights[biases.clone()]));
            product_into(next, size, Matrix::new(sums, size), Matrix::new(&weights[range], size), true);
            std::mem::swap(&mut sums, &mut next);
            sums.iter_mut().for_each(|x| *x = x.max(0.0));
        }
        let [range, bias] = self.layer(self.depth);
        out.iter_mut()
            .zip(sums.chunks_exact(size))
            .for_each(|(out, row)| *out = dot(row, &weights[range.clone()]) + weights[bias.start]);
    }

    /// The same for one row, in an order of its own that depends on nothing else.
    pub fn finish_one(self, weights: &[f32], sums: &mut [f32], next: &mut [f32]) -> f32 {
        let size = self.size;
        let (mut sums, mut next) = (sums, next);
        for layer in 1..self.depth {
            let [range, biases] = self.layer(layer);
            next.copy_from_slice(&weights[biases]);
            let rows = weights[range].chunks_exact(size);
            sums.iter().zip(rows).filter(|(x, _)| **x > 0.0).for_each(|(x, row)| add(next, row, *x));
            std::mem::swap(&mut sums, &mut next);
        }
        let [range, bias] = self.layer(self.depth);
        sums.iter_mut().for_each(|x| *x = x.max(0.0));
        dot(sums, &weights[range]) + weights[bias.start]
    }
}

/// A forward and backward pass over some rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Pass {
    /// Units of each layer after relu and dropout, `[rows, size]`.
    units: Vec<Vec<f32>>,
    /// Gradients at a layer's sums, and at the layer's before.
    slopes: [Vec<f32>; 2],
    /// Gradients of all weights, summed over the rows.
    pub gradients: Vec<f32>,
}

impl Pass {
    /// Adds each row's output to `scores`; `input` is `[rows, shape.input]`. `mask` numbers rows from `first`
    /// on.
    pub fn forward(
        &mut self,
        shape: Shape,
        weights: &[f32],
        input: &[f32],
        scores: &mut [f32],
        mask: Mask,
        first: usize,
    ) {
        let (size, rows) = (shape.size, scores.len());
        self.units.resize(shape.depth, Vec::new());
        for layer in 0..shape.depth {
            let [range, biases] = shape.layer(layer);
            let (before, rest) = self.units.split_at_mut(layer);
            let out = &mut rest[0];
            out.clear();
            (0..rows).for_each(|_| out.extend_from_slice(&weights[biases.clone()]));
            let from = before.last().map_or(input, Vec::as_slice);
            product_into(
                out,
                size,
                Matrix::new(from, shape.fan_in(layer)),
                Matrix::new(&weights[range], size),
                true,
            );
            for (row, units) in out.chunks_exact_mut(size).enumerate() {
                units.iter_mut().for_each(|x| *x = x.max(0.0));
                mask.apply(((first + row) * shape.depth + layer) as u64, units);
            }
        }
        if let Some(last) = self.units.last() {
            let [range, bias] = shape.layer(shape.depth);
            scores
                .iter_mut()
                .zip(last.chunks_exact(size))
                .for_each(|(score, row)| *score += dot(row, &weights[range.clone()]) + weights[bias.start]);
        }
    }

    /// Backward pass from the gradients of the scores; writes those of `input` to `back`.
    pub fn backward(
        &mut self,
        shape: Shape,
        weights: &[f32],
        input: &[f32],
        slopes: &[f32],
        keep: f32,
        back: &mut [f32],
    ) {
        let size = shape.size;
        self.gradients.clear();
        self.gradients.resize(shape.len(), 0.0);
        let Some(last) = self.units.last() else { return };
        let [range, bias] = shape.layer(shape.depth);
        self.gradients[bias.start] = slopes.iter().sum();
        let [now, before] = &mut self.slopes;
        now.clear();
        now.resize(last.len(), 0.0);
        for ((slope, row), now) in slopes.iter().zip(last.chunks_exact(size)).zip(now.chunks_exact_mut(size))
        {
            add(&mut self.gradients[range.clone()], row, *slope);
            add(now, &weights[range.clone()], *slope);
        }
        for layer in (0..shape.depth).rev() {
            // A unit is above 0 if relu passed it and dropout kept it.
            for (slope, unit) in now.iter_mut().zip(&self.units[layer]) {
                *slope = if *unit > 0.0 { *slope * keep } else { 0.0 };
            }
            let [range, biases] = shape.layer(layer);
            let fan_in = shape.fan_in(layer);
            let from = if layer == 0 { input } else { &self.units[layer - 1] };
            now.chunks_exact(size).for_each(|row| add(&mut self.gradients[biases.clone()], row, 1.0));
            product_into(
                &mut self.gradients[range.clone()],
                size,
                Matrix::new(from, fan_in).t(),
                Matrix::new(now, size),
                false,
            );
            let weights = Matrix::new(&weights[range], size).t();
            if layer == 0 {
                product_into(back, fan_in, Matrix::new(now, size), weights, false);
            } else {
                before.resize(now.len(), 0.0);
                product_into(before, fan_in, Matrix::new(now, size), weights, false);
                std::mem::swap(now, before);
            }
        }
    }
}
