//! Parameters on a device and their update steps; [`crate::engine::host`] is the same on the CPU.
//!
//! Dense parameters take a plain Adam step or one of gradient descent with momentum, tables Adam's on the
//! rows that a batch touches.

use crate::engine::optimizer::{AdamStep, BETA_1, BETA_2, EPSILON};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::ModelError;
use crate::{Device, Result};
use burn_tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

/// A parameter with its two moments.
pub(crate) struct Parameter {
    pub name: String,
    pub value: Tensor<2>,
    first: Tensor<2>,
    second: Tensor<2>,
}

impl AdamStep {
    /// New moments and the change of the value.
    fn apply(
        self,
        value: Tensor<2>,
        first: Tensor<2>,
        second: Tensor<2>,
        gradient: Tensor<2>,
        decay: f32,
    ) -> [Tensor<2>; 3] {
        let first = first * BETA_1 + gradient.clone() * (1.0 - BETA_1);
        let second = second * BETA_2 + gradient.clone() * gradient * (1.0 - BETA_2);
        let (c1, c2) = self.corrections();
        let direction = first.clone() * c1 / ((second.clone() * c2).sqrt() + EPSILON);
        let change = if decay > 0.0 { direction + value * decay } else { direction } * -self.rate;
        [change, first, second]
    }
}

impl Parameter {
    /// A parameter with these values, row-major.
    pub fn new(name: impl Into<String>, values: Vec<f32>, shape: [usize; 2], device: &Device) -> Self {
        Self {
            name: name.into(),
            value: on_device(values, shape, device),
            first: Tensor::zeros(shape, device.burn()),
            second: Tensor::zeros(shape, device.burn()),
        }
    }

    /// Takes one Adam step.
    pub fn adam(self, gradient: Tensor<2>, step: AdamStep) -> Self {
        let [change, first, second] = step.apply(self.value.clone(), self.first, self.second, gradient, 0.0);
        Self { name: self.name, value: self.value + change, first, second }
    }

    /// Takes one step of gradient descent with momentum: `m = momentum m + g`, `value -= rate m`.
    pub fn descend(self, gradient: Tensor<2>, rate: f32, momentum: f32) -> Self {
        let first = self.first * momentum + gradient;
        Self { name: self.name, value: self.value - first.clone() * rate, first, second: self.second }
    }

    /// Adam's step on the rows `rows` (distinct) alone.
    pub fn adam_rows(self, rows: &Tensor<1, Int>, gradient: Tensor<2>, step: AdamStep) -> Self {
        let [old_value, old_first, old_second] =
            [&self.value, &self.first, &self.second].map(|t| t.clone().select(0, rows.clone()));
        let [change, first, second] =
            step.apply(old_value, old_first.clone(), old_second.clone(), gradient, step.weight_decay);
        let add = |table: Tensor<2>, change: Tensor<2>| {
            table.select_assign(0, rows.clone(), change, IndexingUpdateOp::Add)
        };
        Self {
            name: self.name,
            value: add(self.value, change),
            first: add(self.first, first - old_first),
            second: add(self.second, second - old_second),
        }
    }

    /// Value and moments, for a checkpoint.
    pub fn state(&self) -> Result<[NamedTensor; 3]> {
        let named = |kind: &str, tensor: &Tensor<2>| read(&format!("{kind}.{}", self.name), tensor);
        Ok([named("now", &self.value)?, named("first", &self.first)?, named("second", &self.second)?])
    }

    /// Restores what [`state`](Self::state) returned.
    pub fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        let shape = self.value.dims();
        let get = |kind: &str| -> Result<Tensor<2>> {
            let values =
                tensors.values(&format!("{kind}.{}", self.name), &[Some(shape[0]), Some(shape[1])])?;
            Ok(on_device(values, shape, device))
        };
        (self.value, self.first, self.second) = (get("now")?, get("first")?, get("second")?);
        Ok(())
    }
}

/// A tensor of these values, row-major.
pub(crate) fn on_device(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device.burn())
}

/// Row numbers as a tensor.
pub(crate) fn ids(ids: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let n = ids.len();
    Tensor::from_data(TensorData::new(ids, [n]), device.burn())
}

/// A tensor's values; `Device::guard` adds the name of a device that failed.
pub(crate) fn values(tensor: Tensor<2>) -> Result<Vec<f32>> {
    tensor
        .try_into_vec_as::<f32>()
        .map_err(|e| ModelError::device("", format!("reading a tensor back failed: {e}")))
}

/// A tensor's values as a named tensor.
pub(crate) fn read(name: &str, tensor: &Tensor<2>) -> Result<NamedTensor> {
    let shape = tensor.dims();
    Ok(NamedTensor::new(name, &shape, values(tensor.clone())?))
}
