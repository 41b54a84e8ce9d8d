//! Adam's step (Kingma and Ba 2015): its numbers, and on host tables its step on the rows a batch touches
//! only (as in lazy Adam), so that a step's cost depends on the batch, not on the size of the
//! catalogue.

use crate::Result;
use crate::engine::kernels::adam;
use crate::engine::tensors::{NamedTensor, Tensors};
use rayon::prelude::*;

/// Adam's constants.
pub(crate) const BETA_1: f32 = 0.9;
pub(crate) const BETA_2: f32 = 0.999;
pub(crate) const EPSILON: f32 = 1e-8;

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
    /// Bias corrections of the two moments, which begin at 0.
    pub fn corrections(self) -> (f32, f32) {
        let n = self.number.min(1_000_000) as i32;
        let correction = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(n))) as f32;
        (correction(BETA_1), correction(BETA_2))
    }
}

/// Adam's step on the rows `ids` (ascending) of a table on the host, given as value and moments; `gradient`
/// has one row for each.
pub(crate) fn step_rows(
    tensors: [&mut [f32]; 3],
    width: usize,
    ids: &[u32],
    gradient: &[f32],
    step: AdamStep,
) {
    /// Rows per task.
    const TASK: usize = 256;
    let corrections = step.corrections();
    let [mut value, mut first, mut second] = tensors;
    let mut from = 0;
    let mut tasks = Vec::with_capacity(ids.len().div_ceil(TASK));
    for (ids, gradient) in ids.chunks(TASK).zip(gradient.chunks(TASK * width)) {
        // Ids ascend, so that each task owns a contiguous part of the table.
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
            adam(
                &mut value[at.clone()],
                &mut first[at.clone()],
                &mut second[at],
                gradient,
                step.rate,
                corrections,
            );
        }
    });
}

/// The number of steps taken, for a checkpoint.
pub(crate) fn steps_tensor(name: &str, steps: u64) -> NamedTensor {
    NamedTensor::integers(name, std::iter::once(steps as i64))
}

/// Reads what [`steps_tensor`] wrote under the name `name`.
pub(crate) fn steps_of(tensors: &Tensors, name: &str) -> Result<u64> {
    Ok(tensors.integers(name)?.first().map_or(0, |s| *s as u64))
}
