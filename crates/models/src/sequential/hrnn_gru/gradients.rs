//! Gradients of a window, and the update steps of the weights.

use super::batch::Prepared;
use super::weights::{
    CODE_INPUT, CODE_NEXT, CODE_OUTPUT, Dense, ITEM_INPUT, ITEM_NEXT, ITEM_OUTPUT, Tables, USER, Weights,
};
use crate::Result;
use crate::engine::kernels::{adam, add};
use crate::engine::optimizer::{AdamStep, step_rows, steps_of, steps_tensor};
use crate::engine::tensors::{NamedTensor, Tensors};

/// Gradients: dense ones whole, tables by the rows a batch touches (attribute codes all).
#[derive(Debug, Clone)]
pub(super) struct Gradients {
    pub dense: Dense,
    pub tables: Tables<Vec<f32>>,
}

impl Gradients {
    pub fn new(weights: &Weights) -> Self {
        Self { dense: Dense::zeros(&weights.sizes), tables: std::array::from_fn(|_| Vec::new()) }
    }

    /// Distributes items' gradients to their attribute codes.
    pub fn spread(&mut self, weights: &Weights, batch: &Prepared) {
        for (table, of) in [(CODE_INPUT, ITEM_INPUT), (CODE_OUTPUT, ITEM_OUTPUT), (CODE_NEXT, ITEM_NEXT)] {
            let touched = if of == ITEM_NEXT { &batch.asked.distinct } else { &batch.items.distinct };
            let width = weights.width(table);
            let mut sums = std::mem::take(&mut self.tables[table]);
            sums.clear();
            sums.resize(weights.tables[table].len(), 0.0);
            if !sums.is_empty() {
                for (item, gradient) in touched.iter().zip(self.tables[of].chunks_exact(width)) {
                    let codes = weights.codes.of(*item as usize);
                    codes.iter().for_each(|code| {
                        add(&mut sums[*code as usize * width..][..width], gradient, 1.0 / codes.len() as f32);
                    });
                }
            }
            self.tables[table] = sums;
        }
    }

    /// Clips all gradients together to a norm of `most`.
    pub fn clip(&mut self, most: f32) {
        let square = |values: &[f32]| values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
        let tables: f64 = self.tables.iter().map(|t| square(t)).sum();
        let norm = (self.dense.tensors().into_iter().map(square).sum::<f64>() + tables).sqrt();
        if norm > f64::from(most) {
            let scale = (f64::from(most) / norm) as f32;
            let all =
                self.dense.tensors_mut().into_iter().chain(self.tables.iter_mut().map(Vec::as_mut_slice));
            all.for_each(|values| values.iter_mut().for_each(|v| *v *= scale));
        }
    }
}

/// Adam's moments.
pub(super) struct Moments {
    dense: [Dense; 2],
    tables: [Tables<Vec<f32>>; 2],
    steps: u64,
}

impl Moments {
    pub fn new(weights: &Weights) -> Self {
        let dense = Dense::zeros(&weights.sizes);
        let tables = weights.tables.each_ref().map(|t| vec![0.0; t.len()]);
        Self { dense: [dense.clone(), dense], tables: [tables.clone(), tables], steps: 0 }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One Adam step: dense weights all, tables by the rows the batch touches; these decay.
    pub fn step(
        &mut self,
        weights: &mut Weights,
        gradients: &Gradients,
        batch: &Prepared,
        rate: f32,
        decay: Tables<f32>,
    ) {
        self.steps += 1;
        let step = AdamStep { rate, weight_decay: 0.0, number: self.steps };
        let [first, second] = &mut self.dense;
        let all = weights
            .dense
            .tensors_mut()
            .into_iter()
            .zip(first.tensors_mut())
            .zip(second.tensors_mut())
            .zip(gradients.dense.tensors());
        all.for_each(|(((value, first), second), gradient)| {
            adam(value, first, second, gradient, rate, step.corrections());
        });
        for table in 0..weights.tables.len() {
            let every: Vec<u32>;
            let ids = match table {
                ITEM_INPUT | ITEM_OUTPUT => &batch.items.distinct,
                ITEM_NEXT => &batch.asked.distinct,
                USER => &batch.users.distinct,
                _ => {
                    every = (0..weights.codes.n as u32).collect();
                    &every
                }
            };
            // Not every network has every table.
            if weights.tables[table].is_empty() {
                continue;
            }
            let width = weights.width(table);
            let [first, second] = &mut self.tables;
            let tensors = [
                weights.tables[table].as_mut_slice(),
                first[table].as_mut_slice(),
                second[table].as_mut_slice(),
            ];
            step_rows(
                tensors,
                width,
                ids,
                &gradients.tables[table],
                AdamStep { weight_decay: decay[table], ..step },
            );
        }
    }

    /// All of it by name, for a checkpoint.
    pub fn tensors(&self, weights: &Weights) -> Vec<NamedTensor> {
        let mut tensors = vec![steps_tensor("steps", self.steps)];
        for (at, prefix) in ["first.", "second."].into_iter().enumerate() {
            tensors.extend(weights.named(
                prefix,
                &self.dense[at],
                self.tables[at].each_ref().map(Vec::as_slice),
            ));
        }
        tensors
    }

    pub fn restore(&mut self, weights: &Weights, from: &Tensors) -> Result<()> {
        self.steps = steps_of(from, "steps")?;
        for (at, prefix) in ["first.", "second."].into_iter().enumerate() {
            (self.dense[at], self.tables[at]) = Weights::read(&weights.sizes, prefix, from)?;
        }
        Ok(())
    }
}
