//! The layers between the wide ones, on a burn device; `native.rs` is the same on the CPU.

use super::{Activation, Optimizer, SELU_ALPHA, SELU_SCALE, Step};
use crate::engine::parameter::Parameter;
use burn_tensor::{Tensor, activation::sigmoid};

/// Weights `[in, out]` and biases `[1, out]` of the layers, in turn.
pub(super) struct Middle {
    pub parameters: Vec<Parameter>,
    pub activation: Activation,
    /// The layer after which dropout applies, counted from the first hidden layer (0).
    pub code: usize,
}

/// Values of the forward pass, kept for the backward pass.
pub(super) struct Passed {
    input: Tensor<2>,
    leaves: Vec<Tensor<2>>,
    /// The last hidden layer, `[rows, size]`.
    pub output: Tensor<2>,
}

impl Step {
    /// Updates a parameter; weights are penalized, biases are not.
    pub fn apply(self, parameter: Parameter, gradient: Tensor<2>, penalized: bool) -> Parameter {
        let gradient = if penalized && self.penalty > 0.0 {
            gradient + parameter.value.clone() * self.penalty
        } else {
            gradient
        };
        match self.optimizer {
            Optimizer::Adam => parameter.adam(gradient, self.adam()),
            Optimizer::Momentum => parameter.descend(gradient, self.rate, super::wide::MOMENTUM),
        }
    }
}

pub(super) fn activate(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Identity => x,
        Activation::Sigmoid => sigmoid(x),
        Activation::Relu => x.clamp_min(0.0),
        Activation::Selu => {
            let below = (x.clone().clamp_max(0.0).exp() - 1.0) * SELU_ALPHA;
            (x.clamp_min(0.0) + below) * SELU_SCALE
        }
    }
}

impl Middle {
    /// Forward pass from the first layer's sums `[rows, size]` to the last hidden layer. `mask` (`[rows, size
    /// of the code]`) multiplies the code layer.
    pub fn forward(&self, sums: Tensor<2>, mask: Option<&Tensor<2>>) -> Passed {
        let leaf = |t: Tensor<2>| t.autodiff().require_grad();
        let input = leaf(sums);
        let leaves: Vec<Tensor<2>> = self.parameters.iter().map(|p| leaf(p.value.clone())).collect();
        let drop = |layer: usize, h: Tensor<2>| match mask {
            Some(mask) if layer == self.code => h * mask.clone(),
            _ => h,
        };
        let mut h = drop(0, activate(self.activation, input.clone()));
        for (layer, pair) in leaves.chunks_exact(2).enumerate() {
            h = drop(layer + 1, activate(self.activation, h.matmul(pair[0].clone()) + pair[1].clone()));
        }
        Passed { input, leaves, output: h }
    }

    /// Updates the parameters along their leaves' gradients.
    pub fn step(&mut self, leaves: Vec<Tensor<2>>, gradients: &mut burn_tensor::Gradients, step: Step) {
        let parameters = std::mem::take(&mut self.parameters);
        self.parameters = parameters
            .into_iter()
            .zip(leaves)
            .enumerate()
            .map(|(place, (parameter, leaf))| match leaf.grad_remove(gradients) {
                Some(gradient) => step.apply(parameter, gradient, place % 2 == 0),
                None => parameter,
            })
            .collect();
    }
}

impl Passed {
    /// Leaves and output, for a caller that runs the backward pass itself.
    pub fn parts(self) -> (Tensor<2>, Vec<Tensor<2>>, Tensor<2>) {
        (self.input, self.leaves, self.output)
    }
}
