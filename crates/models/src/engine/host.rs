//! Parameters on the host and their update steps: what [`crate::engine::optimizer`] does on a device, in
//! native code.

use crate::Result;
use crate::engine::kernels::{adam, descend};
use crate::engine::optimizer::{AdamStep, step_rows};
use crate::engine::tensors::{NamedTensor, Tensors};
use rayon::prelude::*;

/// Numbers per task.
const TASK: usize = 16_384;

/// A row-major parameter with its two moments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostParameter {
    pub name: String,
    pub value: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    shape: [usize; 2],
}

impl HostParameter {
    /// A parameter with these values.
    pub fn new(name: impl Into<String>, value: Vec<f32>, shape: [usize; 2]) -> Self {
        Self {
            name: name.into(),
            first: vec![0.0; value.len()],
            second: vec![0.0; value.len()],
            value,
            shape,
        }
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        self.shape[1]
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.shape[0]
    }

    /// A row's values.
    pub fn row(&self, row: u32) -> &[f32] {
        &self.value[row as usize * self.shape[1]..(row as usize + 1) * self.shape[1]]
    }

    /// One Adam step.
    pub fn adam(&mut self, gradient: &[f32], step: AdamStep) {
        let parts = self
            .value
            .par_chunks_mut(TASK)
            .zip(self.first.par_chunks_mut(TASK))
            .zip(self.second.par_chunks_mut(TASK));
        parts.zip(gradient.par_chunks(TASK)).for_each(|(((value, first), second), gradient)| {
            adam(value, first, second, gradient, step.rate, step.corrections());
        });
    }

    /// One Adam step of the rows `ids` (ascending); `gradient` has one row for each.
    pub fn adam_rows(&mut self, ids: &[u32], gradient: &[f32], step: AdamStep) {
        if !ids.is_empty() {
            step_rows(
                [&mut self.value, &mut self.first, &mut self.second],
                self.shape[1],
                ids,
                gradient,
                step,
            );
        }
    }

    /// One step of gradient descent with momentum.
    pub fn descend(&mut self, gradient: &[f32], rate: f32, momentum: f32) {
        let parts = self.value.par_chunks_mut(TASK).zip(self.first.par_chunks_mut(TASK));
        parts
            .zip(gradient.par_chunks(TASK))
            .for_each(|((value, first), gradient)| descend(value, first, gradient, rate, momentum));
    }

    /// Value and moments, for a checkpoint: as a device's parameter writes them.
    pub fn state(&self) -> [NamedTensor; 3] {
        [("now", &self.value), ("first", &self.first), ("second", &self.second)]
            .map(|(kind, data)| NamedTensor::new(format!("{kind}.{}", self.name), &self.shape, data.clone()))
    }

    /// Restores what [`state`](Self::state) returned.
    pub fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        let shape = self.shape.map(Some);
        let get = |kind: &str| tensors.values(&format!("{kind}.{}", self.name), &shape);
        (self.value, self.first, self.second) = (get("now")?, get("first")?, get("second")?);
        Ok(())
    }
}
