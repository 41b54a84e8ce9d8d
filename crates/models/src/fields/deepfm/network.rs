//! The deep part on a burn device: the same equations as `deep.rs`, differentiated by burn.

use super::deep::Shape;
use crate::engine::noise::Mask;
use crate::engine::optimizer::AdamStep;
use crate::engine::parameter::{Parameter, on_device, values};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{Device, Result};
use burn_tensor::{Tensor, activation::relu};

/// The layers on a device.
pub(super) struct Network {
    shape: Shape,
    /// Weights and biases of the layers and the output, in turn.
    parameters: Vec<Parameter>,
    device: Device,
}

/// Values of the forward pass, kept for the backward pass.
pub(super) struct Passed {
    input: Tensor<2>,
    leaves: Vec<Tensor<2>>,
    output: Tensor<2>,
}

impl Network {
    /// With these weights, in the order of `deep.rs`.
    pub fn new(shape: Shape, weights: &[f32], device: &Device) -> Self {
        let mut parameters = Vec::new();
        for layer in 0..=shape.depth {
            let [range, biases] = shape.layer(layer);
            let units = biases.len();
            parameters.push(Parameter::new(
                format!("layer.{layer}"),
                weights[range].to_vec(),
                [shape.fan_in(layer), units],
                device,
            ));
            parameters.push(Parameter::new(
                format!("layer_bias.{layer}"),
                weights[biases].to_vec(),
                [1, units],
                device,
            ));
        }
        Self { shape, parameters, device: device.clone() }
    }

    /// Adds each row's output to `scores`; `input` is `[rows, shape.input]`.
    pub fn forward(&self, input: Vec<f32>, scores: &mut [f32], mask: Mask) -> Result<Passed> {
        let rows = scores.len();
        let leaf = |t: Tensor<2>| t.autodiff().require_grad();
        let input = leaf(on_device(input, [rows, self.shape.input], &self.device));
        let leaves: Vec<Tensor<2>> = self.parameters.iter().map(|p| leaf(p.value.clone())).collect();
        let mut units = input.clone();
        for (layer, pair) in leaves.chunks_exact(2).enumerate() {
            units = units.matmul(pair[0].clone()) + pair[1].clone();
            if layer < self.shape.depth {
                units = relu(units);
                if mask.share > 0.0 {
                    let mut kept = vec![1.0; rows * self.shape.size];
                    kept.chunks_exact_mut(self.shape.size)
                        .enumerate()
                        .for_each(|(row, kept)| mask.apply((row * self.shape.depth + layer) as u64, kept));
                    units = units * on_device(kept, [rows, self.shape.size], &self.device);
                }
            }
        }
        scores.iter_mut().zip(values(units.clone().inner())?).for_each(|(score, output)| *score += output);
        Ok(Passed { input, leaves, output: units })
    }

    /// Backward pass from the scores' gradients: updates the weights and returns the gradients of the input.
    pub fn backward(&mut self, passed: Passed, slopes: Vec<f32>, step: AdamStep) -> Result<Vec<f32>> {
        let rows = slopes.len();
        let mut gradients =
            (passed.output * on_device(slopes, [rows, 1], &self.device)).sum_dim(0).backward();
        let parameters = std::mem::take(&mut self.parameters);
        let moved = parameters.into_iter().zip(passed.leaves).map(|(parameter, leaf)| {
            match leaf.grad_remove(&mut gradients) {
                Some(gradient) => parameter.adam(gradient, step),
                None => parameter,
            }
        });
        self.parameters = moved.collect();
        match passed.input.grad_remove(&mut gradients) {
            Some(gradient) => values(gradient),
            None => Ok(vec![0.0; rows * self.shape.input]),
        }
    }

    /// All weights, in the order of `deep.rs`.
    pub fn weights(&self) -> Result<Vec<f32>> {
        let all: Vec<Vec<f32>> =
            self.parameters.iter().map(|p| values(p.value.clone())).collect::<Result<_>>()?;
        Ok(all.concat())
    }

    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        let states: Vec<[NamedTensor; 3]> =
            self.parameters.iter().map(Parameter::state).collect::<Result<_>>()?;
        Ok(states.into_iter().flatten().collect())
    }

    pub fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let device = &self.device;
        self.parameters.iter_mut().try_for_each(|parameter| parameter.restore(tensors, device))
    }
}
