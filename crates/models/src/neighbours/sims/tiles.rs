//! The counts as dense products on a burn device, a tile of units and items at a time.
//!
//! With `A` (units by items, 1 where a unit holds an item) the shared units of all pairs are `A' A`: exact in
//! `f32`, for sums up to 2^24. Under time decay a pair's sum is no product of the two items' numbers (it
//! takes the difference of their times), so it is computed element by element over units, items and items.

use super::Settings;
use super::counts::Units;
use crate::engine::parameter::{on_device, values};
use crate::{FitContext, Result};
use burn_tensor::Tensor;
use rayon::prelude::*;

/// Units per tile.
const UNITS: usize = 256;
/// Largest number of sums on the device at once: 1 GiB.
const SUMS: usize = 1 << 28;
/// Elements over units, items and items at once.
const ELEMENTS: usize = 1 << 23;

impl Units {
    /// [`neighbours`](Self::neighbours), by tiles.
    pub(super) fn tiled(&self, settings: &Settings, context: &FitContext) -> Result<Vec<Vec<(u32, f32)>>> {
        let (n, device) = (self.n_items, context.device);
        let scales = self.scales(settings);
        let mut lists = Vec::with_capacity(n);
        let rows = (SUMS / n.max(1)).clamp(1, n.max(1));
        for from in (0..n).step_by(rows) {
            let rows = rows.min(n - from);
            let zeros = || Tensor::<2>::zeros([rows, n], device.burn());
            let (mut counts, mut sums) = (zeros(), settings.decays().then(zeros));
            for first in (0..self.unit_offsets.len() - 1).step_by(UNITS) {
                context.go_on()?;
                let [held, ages] = self.tile(first);
                let held = on_device(held, [UNITS, n], device);
                counts = counts + held.clone().narrow(1, from, rows).transpose().matmul(held.clone());
                if let Some(so_far) = sums {
                    sums = Some(
                        so_far + decayed(settings, &held, &on_device(ages, [UNITS, n], device), from, rows),
                    );
                }
            }
            let counts = values(counts)?;
            let sums = sums.map(values).transpose()?;
            let of = |row: usize| {
                let span = row * n..(row + 1) * n;
                let counts = &counts[span.clone()];
                let sums = sums.as_ref().map_or(counts, |sums| &sums[span]);
                self.best(
                    settings,
                    &scales,
                    from + row,
                    counts
                        .iter()
                        .zip(sums)
                        .map(|(count, sum)| (f64::from(*sum), *count as u32))
                        .enumerate()
                        .map(|(other, (sum, count))| (other, sum, count)),
                )
            };
            lists.par_extend((0..rows).into_par_iter().map(of));
        }
        Ok(lists)
    }

    /// Which items the units from `first` on hold, `[UNITS, items]`, and their rows' ages there.
    fn tile(&self, first: usize) -> [Vec<f32>; 2] {
        let (mut held, mut ages) = (vec![0.0; UNITS * self.n_items], vec![0.0; UNITS * self.n_items]);
        for (row, span) in self.unit_offsets.windows(2).skip(first).take(UNITS).enumerate() {
            for at in span[0]..span[1] {
                let place = row * self.n_items + self.items[at] as usize;
                held[place] = 1.0;
                ages[place] = self.ages[at];
            }
        }
        [held, ages]
    }
}

/// `c_ij` over a tile's units, for `rows` items from `from` on and all items.
fn decayed(settings: &Settings, held: &Tensor<2>, ages: &Tensor<2>, from: usize, rows: usize) -> Tensor<2> {
    let (gap, age) = settings.rates();
    let n = held.dims()[1];
    let few = (ELEMENTS / (UNITS * n)).max(1);
    let blocks = (from..from + rows).step_by(few).map(|at| {
        let few = few.min(from + rows - at);
        let first = |t: &Tensor<2>| t.clone().narrow(1, at, few).reshape([UNITS, few, 1]);
        let second = |t: &Tensor<2>| t.clone().reshape([UNITS, 1, n]);
        let (a, b) = (first(ages).expand([UNITS, few, n]), second(ages).expand([UNITS, few, n]));
        let halvings = (a.clone() - b.clone()).abs() * gap + a.min_pair(b) * age;
        let both = (halvings * -std::f32::consts::LN_2).exp()
            * first(held).expand([UNITS, few, n])
            * second(held).expand([UNITS, few, n]);
        both.sum_dim(0).reshape([few, n])
    });
    Tensor::cat(blocks.collect(), 0)
}
