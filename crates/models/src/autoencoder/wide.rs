//! The first and the last layer, as wide as there are columns.

use super::Activation;
use super::rows::{ByColumn, Rows};
use super::{Optimizer, Step};
use crate::engine::kernels::{Matrix, adam, add, descend, dot, product};
use rayon::prelude::*;

/// Momentum of gradient descent.
pub(super) const MOMENTUM: f32 = 0.9;

/// A table with a row of `size` numbers a column of the data, and its moments; native.
pub(super) struct Table {
    pub size: usize,
    pub value: Vec<f32>,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl Table {
    pub fn new(value: Vec<f32>, size: usize) -> Self {
        Self { size, first: vec![0.0; value.len()], second: vec![0.0; value.len()], value }
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.value[row * self.size..(row + 1) * self.size]
    }

    /// Updates every row; `gradient(row, out)` adds the row's gradient to `out`, which holds the penalty's.
    pub fn step(&mut self, step: Step, penalized: bool, gradient: impl Fn(usize, &mut [f32]) + Sync) {
        let size = self.size;
        let corrections = step.adam().corrections();
        let penalty = if penalized { step.penalty } else { 0.0 };
        // Momentum needs one moment; the other is unchanged.
        let rows = self
            .value
            .par_chunks_mut(size)
            .zip(self.first.par_chunks_mut(size))
            .zip(self.second.par_chunks_mut(size));
        rows.enumerate().with_min_len(32).for_each_init(
            || vec![0.0; size],
            |out, (row, ((value, first), second))| {
                out.fill(0.0);
                if penalty > 0.0 {
                    add(out, value, penalty);
                }
                gradient(row, out);
                match step.optimizer {
                    Optimizer::Adam => adam(value, first, second, out, step.rate, corrections),
                    Optimizer::Momentum => descend(value, first, out, step.rate, MOMENTUM),
                }
            },
        );
    }
}

/// The four tables of the wide layers.
pub(super) struct Wide {
    /// `V`, one row per column of the data.
    pub input: Table,
    /// `b_1`, one row.
    pub input_bias: Table,
    /// `W`, one row per column of the data.
    pub output: Table,
    /// `b_o`, rows of one number.
    pub output_bias: Table,
}

/// The loss's gradients at the output: one per entry of the batch, or one per row and column.
pub(super) enum Outcome {
    Sparse { gradients: Vec<f32>, hidden: Vec<f32> },
    Dense { gradients: Vec<f32>, hidden: Vec<f32> },
}

impl Wide {
    /// Sums of the first layer for sparse rows, `[rows, size]`.
    pub fn encode(&self, batch: &Rows) -> Vec<f32> {
        let size = self.input.size;
        let mut sums = vec![0.0; batch.len() * size];
        sums.par_chunks_mut(size).enumerate().for_each(|(row, out)| {
            out.copy_from_slice(&self.input_bias.value);
            let (columns, values) = batch.row(row);
            columns
                .iter()
                .zip(values)
                .for_each(|(column, value)| add(out, self.input.row(*column as usize), *value));
        });
        sums
    }

    /// Sums of the first layer for dense rows.
    pub fn encode_dense(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.output_bias.value.len();
        let mut sums = product(Matrix::new(rows, width), Matrix::new(&self.input.value, self.input.size));
        sums.par_chunks_mut(self.input.size).for_each(|out| add(out, &self.input_bias.value, 1.0));
        sums
    }

    /// The outputs of all columns, `[rows, columns]`.
    pub fn decode(&self, hidden: &[f32], activation: Activation) -> Vec<f32> {
        let size = self.output.size;
        let mut out = product(Matrix::new(hidden, size), Matrix::new(&self.output.value, size).t());
        let bias = &self.output_bias.value;
        out.par_chunks_mut(bias.len())
            .for_each(|row| row.iter_mut().zip(bias).for_each(|(o, b)| *o = activation.of(*o + b)));
        out
    }

    /// Predicts the batch's ratings. With the loss `sum (y - r)^2 / divisor` returns the sum of
    /// squared errors, the gradients at the output's sums, and the gradient of `hidden`.
    pub fn compare(
        &self,
        batch: &Rows,
        hidden: Vec<f32>,
        activation: Activation,
        divisor: f32,
    ) -> (f64, Outcome, Vec<f32>) {
        let size = self.output.size;
        let mut back = vec![0.0; hidden.len()];
        let mut gradients = vec![0.0; batch.columns.len()];
        let mut rest = gradients.as_mut_slice();
        let mut rows = Vec::with_capacity(batch.len());
        for (row, back) in back.chunks_exact_mut(size).enumerate() {
            let (own, tail) = rest.split_at_mut(batch.offsets[row + 1] - batch.offsets[row]);
            rest = tail;
            rows.push((row, own, back));
        }
        let squares: Vec<f64> = rows
            .into_par_iter()
            .map(|(row, gradients, back)| {
                let h = &hidden[row * size..(row + 1) * size];
                let (columns, values) = batch.row(row);
                let mut squares = 0.0;
                for ((column, value), gradient) in columns.iter().zip(values).zip(gradients) {
                    let column = *column as usize;
                    let w = self.output.row(column);
                    let predicted = activation.of(dot(h, w) + self.output_bias.value[column]);
                    let error = predicted - value;
                    squares += f64::from(error) * f64::from(error);
                    *gradient = 2.0 * error * activation.slope(predicted) / divisor;
                    add(back, w, *gradient);
                }
                squares
            })
            .collect();
        (squares.iter().sum(), Outcome::Sparse { gradients, hidden }, back)
    }

    /// The same for dense rows of targets, all of whose columns count.
    pub fn compare_dense(
        &self,
        targets: &[f32],
        hidden: Vec<f32>,
        activation: Activation,
        divisor: f32,
    ) -> (Outcome, Vec<f32>) {
        let mut gradients = self.decode(&hidden, activation);
        gradients.par_chunks_mut(4096).zip(targets.par_chunks(4096)).for_each(|(out, targets)| {
            for (out, target) in out.iter_mut().zip(targets) {
                *out = 2.0 * (*out - target) * activation.slope(*out) / divisor;
            }
        });
        let back = product(
            Matrix::new(&gradients, self.output_bias.value.len()),
            Matrix::new(&self.output.value, self.output.size),
        );
        (Outcome::Dense { gradients, hidden }, back)
    }

    /// Updates the last layer.
    pub fn step_output(&mut self, by_column: &ByColumn, outcome: &Outcome, step: Step) {
        match outcome {
            Outcome::Sparse { gradients, hidden } => {
                let size = self.output.size;
                self.output.step(step, true, |column, out| {
                    by_column.column(column).iter().for_each(|(row, entry)| {
                        add(
                            out,
                            &hidden[*row as usize * size..(*row as usize + 1) * size],
                            gradients[*entry as usize],
                        );
                    });
                });
                self.output_bias.step(step, false, |column, out| {
                    out[0] += by_column
                        .column(column)
                        .iter()
                        .map(|(_, entry)| gradients[*entry as usize])
                        .sum::<f32>();
                });
            }
            Outcome::Dense { gradients, hidden } => {
                let (size, width) = (self.output.size, self.output_bias.value.len());
                let all = product(Matrix::new(gradients, width).t(), Matrix::new(hidden, size));
                self.output
                    .step(step, true, |column, out| add(out, &all[column * size..(column + 1) * size], 1.0));
                // Stretches of a row lie together in memory; a column does not.
                let mut sums = vec![0.0; width];
                sums.par_chunks_mut(256).enumerate().for_each(|(at, sums)| {
                    gradients
                        .chunks_exact(width)
                        .for_each(|row| add(sums, &row[at * 256..at * 256 + sums.len()], 1.0));
                });
                self.output_bias.step(step, false, |column, out| out[0] += sums[column]);
            }
        }
    }

    /// Updates the first layer along the gradient of its sums.
    pub fn step_input(&mut self, batch: &Rows, by_column: &ByColumn, back: &[f32], step: Step) {
        let size = self.input.size;
        self.input.step(step, true, |column, out| {
            by_column.column(column).iter().for_each(|(row, entry)| {
                add(
                    out,
                    &back[*row as usize * size..(*row as usize + 1) * size],
                    batch.values[*entry as usize],
                );
            });
        });
        self.step_input_bias(back, step);
    }

    /// The same for dense rows.
    pub fn step_input_dense(&mut self, rows: &[f32], back: &[f32], step: Step) {
        let (size, width) = (self.input.size, self.output_bias.value.len());
        let all = product(Matrix::new(rows, width).t(), Matrix::new(back, size));
        self.input.step(step, true, |column, out| add(out, &all[column * size..(column + 1) * size], 1.0));
        self.step_input_bias(back, step);
    }

    fn step_input_bias(&mut self, back: &[f32], step: Step) {
        let size = self.input.size;
        self.input_bias
            .step(step, false, |_, out| back.chunks_exact(size).for_each(|row| add(out, row, 1.0)));
    }
}
