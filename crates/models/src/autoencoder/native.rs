//! The layers between the wide ones, in native code: the CPU's counterpart of `middle.rs`.

use super::{Activation, Optimizer, Step};
use crate::engine::host::HostParameter;
use crate::engine::kernels::{Matrix, add, product};
use rayon::prelude::*;

/// Numbers per task.
const TASK: usize = 4096;

/// Weights `[in, out]` and biases `[1, out]` of the layers, in turn.
pub(super) struct NativeMiddle {
    pub parameters: Vec<HostParameter>,
    pub activation: Activation,
    /// The layer after which dropout applies, counted from the first hidden layer (0).
    pub code: usize,
}

/// Values of the forward pass, kept for the backward pass.
pub(super) struct Passed {
    /// Each hidden layer's values, `[rows, size]`, before dropout.
    values: Vec<Vec<f32>>,
    /// The code layer after dropout, where there is any.
    dropped: Option<Vec<f32>>,
}

impl NativeMiddle {
    /// Forward pass from the first sums `[rows, size]` to the last hidden layer. `mask` (`[rows, size of the
    /// code]`) multiplies the code layer.
    pub fn forward(&self, mut sums: Vec<f32>, mask: Option<&[f32]>) -> Passed {
        let mut passed = Passed { values: Vec::new(), dropped: None };
        for layer in 0..=self.parameters.len() / 2 {
            if layer > 0 {
                let [weights, biases] = &self.parameters[2 * layer - 2..2 * layer] else {
                    unreachable!("weights and biases come in pairs")
                };
                let before = passed.output_of(layer - 1, self.code);
                sums = product(
                    Matrix::new(before, weights.height()),
                    Matrix::new(&weights.value, weights.width()),
                );
                sums.par_chunks_mut(biases.width()).for_each(|row| add(row, &biases.value, 1.0));
            }
            let activation = self.activation;
            sums.par_chunks_mut(TASK)
                .for_each(|values| values.iter_mut().for_each(|value| *value = activation.of(*value)));
            if let Some(mask) = mask.filter(|_| layer == self.code) {
                passed.dropped = Some(sums.iter().zip(mask).map(|(value, mask)| value * mask).collect());
            }
            passed.values.push(std::mem::take(&mut sums));
        }
        passed
    }

    /// Backward pass from the last hidden layer's gradient: updates the parameters, returns the gradient of
    /// the first layer's sums.
    pub fn backward(
        &mut self,
        passed: &Passed,
        mut gradient: Vec<f32>,
        mask: Option<&[f32]>,
        step: Step,
    ) -> Vec<f32> {
        for layer in (0..=self.parameters.len() / 2).rev() {
            if let Some(mask) = mask.filter(|_| layer == self.code) {
                gradient.iter_mut().zip(mask).for_each(|(gradient, mask)| *gradient *= mask);
            }
            let activation = self.activation;
            let values = passed.values[layer].par_chunks(TASK);
            gradient.par_chunks_mut(TASK).zip(values).for_each(|(gradient, values)| {
                gradient
                    .iter_mut()
                    .zip(values)
                    .for_each(|(gradient, value)| *gradient *= activation.slope(*value));
            });
            if layer == 0 {
                break;
            }
            let [weights, biases] = &mut self.parameters[2 * layer - 2..2 * layer] else {
                unreachable!("weights and biases come in pairs")
            };
            let width = weights.width();
            let before = passed.output_of(layer - 1, self.code);
            let mut of_weights =
                product(Matrix::new(before, weights.height()).t(), Matrix::new(&gradient, width));
            let mut of_biases = vec![0.0; width];
            gradient.chunks_exact(width).for_each(|row| add(&mut of_biases, row, 1.0));
            gradient = product(Matrix::new(&gradient, width), Matrix::new(&weights.value, width).t());
            if step.penalty > 0.0 {
                add(&mut of_weights, &weights.value, step.penalty);
            }
            apply(step, weights, &of_weights);
            apply(step, biases, &of_biases);
        }
        gradient
    }
}

fn apply(step: Step, parameter: &mut HostParameter, gradient: &[f32]) {
    match step.optimizer {
        Optimizer::Adam => parameter.adam(gradient, step.adam()),
        Optimizer::Momentum => parameter.descend(gradient, step.rate, super::wide::MOMENTUM),
    }
}

impl Passed {
    /// The output of a layer.
    fn output_of(&self, layer: usize, code: usize) -> &[f32] {
        self.dropped.as_deref().filter(|_| layer == code).unwrap_or(&self.values[layer])
    }

    /// The output of the last hidden layer.
    pub fn output(&self, code: usize) -> &[f32] {
        self.output_of(self.values.len() - 1, code)
    }
}
