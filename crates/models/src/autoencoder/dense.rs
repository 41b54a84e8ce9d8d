//! A step of training on a device: a batch's rows dense, all layers by burn's autodiff.

use super::middle::activate;
use super::train::{Layers, Training};
use super::{Rows, Step};
use crate::Result;
use crate::engine::parameter::{on_device, values};
use burn_tensor::Tensor;

impl Training<'_> {
    /// The batch as dense values and a mask of what is there, `[rows, columns]` each.
    fn dense(&self, batch: &Rows) -> [Tensor<2>; 2] {
        let width = self.shape.width;
        let (mut values, mut there) = (vec![0.0; batch.len() * width], vec![0.0; batch.len() * width]);
        for row in 0..batch.len() {
            let (columns, own) = batch.row(row);
            for (column, value) in columns.iter().zip(own) {
                values[row * width + *column as usize] = *value;
                there[row * width + *column as usize] = 1.0;
            }
        }
        [values, there].map(|v| on_device(v, [batch.len(), width], self.device))
    }

    pub(super) fn dense_step(
        &mut self,
        batch: &Rows,
        mask: Option<Vec<f32>>,
        divisor: f32,
        step: Step,
    ) -> Result<(f64, Option<Vec<f32>>)> {
        let [rows, there] = self.dense(batch);
        let mask = mask.map(|mask| self.code_mask(mask, batch.len()));
        let (squares, output) =
            self.dense_pass(rows.clone(), &rows, Some(there), mask.as_ref(), divisor, step);
        let refed = if self.objective.refeeding > 0 { Some(values(output)?) } else { None };
        Ok((f64::from(values(squares)?[0]), refed))
    }

    fn code_mask(&self, mask: Vec<f32>, rows: usize) -> Tensor<2> {
        on_device(mask, [rows, self.shape.sizes[self.shape.code]], self.device)
    }

    pub(super) fn dense_refeed(
        &mut self,
        rows: Vec<f32>,
        mask: Option<Vec<f32>>,
        step: Step,
    ) -> Result<Vec<f32>> {
        let divisor = rows.len() as f32;
        let shape = [rows.len() / self.shape.width, self.shape.width];
        let rows = on_device(rows, shape, self.device);
        let mask = mask.map(|mask| self.code_mask(mask, shape[0]));
        let (_, output) = self.dense_pass(rows.clone(), &rows, None, mask.as_ref(), divisor, step);
        // Reading back waits for the device; it is only needed for another round.
        if self.objective.refeeding > 1 { values(output) } else { Ok(Vec::new()) }
    }

    /// Forward, backward and the step of all parameters by burn's autodiff; returns the sum of squared
    /// errors and the output before the step.
    fn dense_pass(
        &mut self,
        rows: Tensor<2>,
        targets: &Tensor<2>,
        there: Option<Tensor<2>>,
        mask: Option<&Tensor<2>>,
        divisor: f32,
        step: Step,
    ) -> (Tensor<2>, Tensor<2>) {
        let Layers::Dense(edges, middle) = &mut self.layers else { unreachable!("the caller looked") };
        let leaves: Vec<Tensor<2>> =
            edges.iter().map(|p| p.value.clone().autodiff().require_grad()).collect();
        // The first layer's sums are cut from the graph and joined again, as in the native form.
        let sums = rows.matmul(leaves[0].clone()) + leaves[1].clone();
        let passed = middle.forward(sums.clone().inner(), mask);
        let (input, middle_leaves, hidden) = passed.parts();
        let output =
            activate(self.shape.output, hidden.matmul(leaves[2].clone().transpose()) + leaves[3].clone());
        let error = output.clone() - targets.clone();
        let error = match there {
            Some(there) => error * there,
            None => error,
        };
        let squares = (error.clone() * error).sum_dim(0).sum_dim(1);
        let mut gradients = (squares.clone() * (1.0 / divisor)).backward();
        let back = input
            .grad_remove(&mut gradients)
            .unwrap_or_else(|| Tensor::zeros(input.dims(), self.device.burn()));
        middle.step(middle_leaves, &mut gradients, step);
        let mut front = (sums * back).sum_dim(0).sum_dim(1).backward();
        let take =
            |place: usize, gradients: &mut burn_tensor::Gradients| leaves[place].grad_remove(gradients);
        let parameters = std::mem::take(edges);
        *edges = parameters
            .into_iter()
            .enumerate()
            .map(|(place, parameter)| {
                match take(place, if place < 2 { &mut front } else { &mut gradients }) {
                    Some(gradient) => step.apply(parameter, gradient, place % 2 == 0),
                    None => parameter,
                }
            })
            .collect();
        (squares.inner(), output.inner())
    }
}

#[cfg(test)]
impl super::Activation {
    /// The activation in burn's form, for tests.
    pub(super) fn on_burn(self, x: f32, device: &crate::Device) -> f32 {
        activate(self, on_device(vec![x], [1, 1], device)).into_scalar::<f32>()
    }
}
