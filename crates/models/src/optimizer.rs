//! Parameters on a device and the steps they take.
//!
//! Dense parameters take a plain Adam step (Kingma and Ba 2015) or one of gradient descent with
//! momentum. Tables take Adam's on the rows a batch touches alone (as lazy Adam does), so that a step
//! costs what the batch touches, whatever the size of the catalogue.

use crate::error::ModelError;
use crate::kernels::adam;
use crate::tensors::{NamedTensor, Tensors};
use crate::{Device, Result};
use burn_tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use rayon::prelude::*;

/// Adam's constants.
pub(crate) const BETA_1: f32 = 0.9;
pub(crate) const BETA_2: f32 = 0.999;
pub(crate) const EPSILON: f32 = 1e-8;

/// A parameter with its two moments.
pub(crate) struct Parameter {
    pub name: String,
    pub value: Tensor<2>,
    first: Tensor<2>,
    second: Tensor<2>,
}

/// One Adam step's numbers.
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    pub rate: f32,
    /// Decoupled decay of tables (Loshchilov and Hutter 2019), in units of the step size.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub number: u64,
}

impl AdamStep {
    /// What the two moments are multiplied with, since they begin at 0.
    pub fn corrections(self) -> (f32, f32) {
        let n = self.number.min(1_000_000) as i32;
        let correction = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(n))) as f32;
        (correction(BETA_1), correction(BETA_2))
    }

    /// New moments and the change of the value.
    fn apply(self, value: Tensor<2>, first: Tensor<2>, second: Tensor<2>, gradient: Tensor<2>, decay: f32) -> [Tensor<2>; 3] {
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
        let [old_value, old_first, old_second] = [&self.value, &self.first, &self.second].map(|t| t.clone().select(0, rows.clone()));
        let [change, first, second] = step.apply(old_value, old_first.clone(), old_second.clone(), gradient, step.weight_decay);
        let add = |table: Tensor<2>, change: Tensor<2>| table.select_assign(0, rows.clone(), change, IndexingUpdateOp::Add);
        Self { name: self.name, value: add(self.value, change), first: add(self.first, first - old_first), second: add(self.second, second - old_second) }
    }

    /// Value and moments, for a checkpoint.
    pub fn state(&self) -> Result<[NamedTensor; 3]> {
        let named = |kind: &str, tensor: &Tensor<2>| read(&format!("{kind}.{}", self.name), tensor);
        Ok([named("now", &self.value)?, named("first", &self.first)?, named("second", &self.second)?])
    }

    /// Takes up what [`state`](Self::state) gave.
    pub fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        let shape = self.value.dims();
        let get = |kind: &str| -> Result<Tensor<2>> {
            let values = tensors.values(&format!("{kind}.{}", self.name), &[Some(shape[0]), Some(shape[1])])?;
            Ok(on_device(values, shape, device))
        };
        (self.value, self.first, self.second) = (get("now")?, get("first")?, get("second")?);
        Ok(())
    }
}

/// Adam's step on the rows `ids` (ascending) of a table on the host, given as value and moments; `gradient` has one row
/// for each.
pub(crate) fn step_rows(tensors: [&mut [f32]; 3], width: usize, ids: &[u32], gradient: &[f32], step: AdamStep) {
    /// Rows a task.
    const TASK: usize = 256;
    let corrections = step.corrections();
    let [mut value, mut first, mut second] = tensors;
    let mut from = 0;
    let mut tasks = Vec::with_capacity(ids.len().div_ceil(TASK));
    for (ids, gradient) in ids.chunks(TASK).zip(gradient.chunks(TASK * width)) {
        // Ids ascend, so each task owns a stretch of the table.
        let end = (ids[ids.len() - 1] as usize + 1) * width - from;
        let (v, rest) = value.split_at_mut(end);
        value = rest;
        let (f, rest) = first.split_at_mut(end);
        first = rest;
        let (s, rest) = second.split_at_mut(end);
        second = rest;
        tasks.push((ids, gradient, from, v, f, s));
        from += end;
    }
    tasks.into_par_iter().for_each(|(ids, gradient, from, value, first, second)| {
        for (id, gradient) in ids.iter().zip(gradient.chunks_exact(width)) {
            let at = *id as usize * width - from..(*id as usize + 1) * width - from;
            if step.weight_decay > 0.0 {
                value[at.clone()].iter_mut().for_each(|v| *v *= 1.0 - step.rate * step.weight_decay);
            }
            adam(&mut value[at.clone()], &mut first[at.clone()], &mut second[at], gradient, step.rate, corrections);
        }
    });
}

/// The number of steps taken, for a checkpoint.
pub(crate) fn steps_tensor(name: &str, steps: u64) -> NamedTensor {
    NamedTensor::integers(name, std::iter::once(steps as i64))
}

/// What [`steps_tensor`] wrote, under the name `name`.
pub(crate) fn steps_of(tensors: &Tensors, name: &str) -> Result<u64> {
    Ok(tensors.integers(name)?.first().map_or(0, |s| *s as u64))
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

/// A tensor's values; whose device failed, `Device::guard` knows.
pub(crate) fn values(tensor: Tensor<2>) -> Result<Vec<f32>> {
    tensor.try_into_vec_as::<f32>().map_err(|e| ModelError::device("", format!("reading a tensor back failed: {e}")))
}

/// A tensor's values under a name.
pub(crate) fn read(name: &str, tensor: &Tensor<2>) -> Result<NamedTensor> {
    let shape = tensor.dims();
    Ok(NamedTensor::new(name, &shape, values(tensor.clone())?))
}
