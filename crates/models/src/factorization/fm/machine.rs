//! The factorization machine itself: parameters, and predictions for a design.
//!
//! Rendle 2012, equation 1:
//!
//! ```text
//! y(x) = w_0 + sum_j w_j x_j + sum_{j<k} <v_j, v_k> x_j x_k
//! ```
//!
//! With the features in blocks, a part `t` of block `b` folds into `q_t = sum_j v_j x_j` and
//! `c_t = sum_j w_j x_j + 1/2 (|q_t|^2 - sum_j |v_j|^2 x_j^2)`, and a row is
//! `y = w_0 + sum_b c_b + sum_{b<b'} <q_b, q_b'>`.

use super::design::{Block, Design};
use multiversion::multiversion;
use rayon::prelude::*;

/// Parameters of one machine. Features are rows of `factors + 1` numbers, the last of which is `w_j`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    pub factors: usize,
    pub intercept: f32,
    /// One table per block.
    pub tables: Vec<Vec<f32>>,
}

impl Machine {
    pub fn width(&self) -> usize {
        self.factors + 1
    }

    /// Every part of `block` folded: `factors` numbers `q_t`, then `c_t`.
    pub fn fold(&self, block: usize, design: &Block) -> Vec<f32> {
        let width = self.width();
        let mut folded = vec![0.0; design.n_parts() * width];
        folded
            .par_chunks_mut(width)
            .enumerate()
            .with_min_len(64)
            .for_each(|(part, out)| fold(&self.tables[block], design.part(part), out));
        folded
    }

    /// Predictions for all rows from their folded parts.
    pub fn predict(&self, design: &Design, folded: &[Vec<f32>]) -> Vec<f32> {
        let width = self.width();
        let mut predictions = vec![0.0; design.len()];
        predictions.par_chunks_mut(4096).enumerate().for_each(|(chunk, out)| {
            let mut parts: Vec<&[f32]> = vec![&[]; folded.len()];
            for (at, out) in out.iter_mut().enumerate() {
                let row = chunk * 4096 + at;
                for (part, (block, table)) in parts.iter_mut().zip(design.blocks().iter().zip(folded)) {
                    let t = block.rows[row] as usize;
                    *part = &table[t * width..(t + 1) * width];
                }
                *out = self.intercept + join(&parts);
            }
        });
        predictions
    }
}

/// Folds a part's features with the parameters `table` into `out` (`factors` numbers `q`, then `c`).
pub(crate) fn fold(table: &[f32], part: impl Iterator<Item = (u32, f32)>, out: &mut [f32]) {
    let width = out.len();
    let factors = width - 1;
    out.fill(0.0);
    let mut squares = 0.0;
    for (feature, x) in part {
        let row = &table[feature as usize * width..(feature as usize + 1) * width];
        for (out, v) in out.iter_mut().zip(row) {
            *out += x * v;
        }
        squares += x * x * dot(&row[..factors], &row[..factors]);
    }
    let q = &out[..factors];
    let inner = 0.5 * (dot(q, q) - squares);
    out[factors] += inner;
}

/// `sum_b c_b + sum_{b<b'} <q_b, q_b'>` of folded parts.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn join(parts: &[&[f32]]) -> f32 {
    let mut sum = 0.0;
    for (place, part) in parts.iter().enumerate() {
        let (q, c) = part.split_at(part.len() - 1);
        sum += c[0];
        for other in &parts[place + 1..] {
            sum += dot(q, &other[..q.len()]);
        }
    }
    sum
}

/// Inner product in eight running sums, the same order on every processor.
#[inline(always)]
#[allow(clippy::inline_always)] // A call would prevent vectorization in the callers.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
}
