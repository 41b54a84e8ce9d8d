//! Autoencoders: AutoRec, DeepRec, and their shared layers: sparse rows of ratings in, a prediction for every
//! column out.
//!
//! `f(x) = o(W h + b_o)`, `h` the last of hidden layers `a(M h' + b)`, the first of which is
//! `a(x V + b_1)`. Input and output are as wide as there are columns, and a row has ratings in few of
//! them. All layers come in two forms: on the CPU native code (`wide.rs` over the ratings alone, `native.rs`
//! between), elsewhere burn's dense products of one batch (`middle.rs`). A test compares both forms with each
//! other.

pub mod autorec;
pub mod deeprec;
#[cfg(feature = "burn")]
mod dense;
#[cfg(feature = "burn")]
mod middle;
mod native;
mod replay;
mod rows;
mod train;
mod wide;

use crate::Result;
use crate::engine::optimizer::AdamStep;
use crate::error::within;

pub use replay::Row;
pub(crate) use replay::{Network, Reader, Shape};
pub(crate) use rows::{Rows, transposed};
pub(crate) use train::{Objective, Training, tensors_of};

/// Activation function of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// The identity.
    Identity,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `max(x, 0)`.
    Relu,
    /// `s (max(x, 0) + a (exp(min(x, 0)) - 1))` (Klambauer et al. 2017).
    Selu,
}

const SELU_SCALE: f32 = 1.050_701;
const SELU_ALPHA: f32 = 1.673_263_2;

impl Activation {
    /// The value.
    pub(crate) fn of(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Relu => x.max(0.0),
            Self::Selu => SELU_SCALE * (x.max(0.0) + SELU_ALPHA * (x.min(0.0).exp() - 1.0)),
        }
    }

    /// The derivative, given the value.
    pub(crate) fn slope(self, value: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Sigmoid => value * (1.0 - value),
            Self::Relu => f32::from(u8::from(value > 0.0)),
            Self::Selu => {
                if value > 0.0 {
                    SELU_SCALE
                } else {
                    value + SELU_SCALE * SELU_ALPHA
                }
            }
        }
    }
}

/// How parameters are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Adam (Kingma and Ba 2015).
    Adam,
    /// Gradient descent with momentum 0.9.
    Momentum,
}

/// The update step of every parameter.
#[derive(Clone, Copy)]
struct Step {
    optimizer: Optimizer,
    rate: f32,
    /// Penalty on weights, added to their gradients.
    penalty: f32,
    /// Number of this step, from 1.
    number: u64,
}

impl Step {
    fn adam(self) -> AdamStep {
        AdamStep { rate: self.rate, weight_decay: 0.0, number: self.number }
    }
}

/// Checks the settings that the models share.
pub(crate) fn check(
    model: &'static str,
    layers: &[usize],
    batch: usize,
    learning_rate: f32,
    dropout: f32,
) -> Result<()> {
    if layers.is_empty() || layers.len() > 16 {
        let reason = format!("{} hidden layers are not in [1, 16]", layers.len());
        return Err(crate::ModelError::Setting { model, setting: "layers".into(), reason });
    }
    for size in layers {
        within(model, "layers", *size, 1, 65_536)?;
    }
    within(model, "batch", batch, 1, 1_000_000)?;
    within(model, "learning_rate", learning_rate, 1e-7, 10.0)?;
    within(model, "dropout", dropout, 0.0, 0.99)
}

#[cfg(test)]
mod tests;
