//! The head for next items over one chunk of a window: scores, losses and the backward pass.

use super::Goal;
use super::batch::Prepared;
use super::losses::{OUT, loss};
use super::weights::{ITEM_NEXT, Weights};
use crate::engine::kernels::{Matrix, add, dot, product_into};
use rayon::prelude::*;

/// Entries whose scores are in memory at once.
const BLOCK: usize = 64;

/// Data shared by all chunks of a window.
pub(super) struct Shared<'a> {
    pub goal: Goal,
    batch: &'a Prepared,
    /// Rows of the items in `batch.asked`, attributes added, `[items, factors + 1]`.
    rows: Vec<f32>,
    /// Rows of the sampled negatives, `[samples, factors + 1]`.
    samples: Vec<f32>,
    width: usize,
    /// `W_n`, `[size + when, factors + 1]`.
    query: &'a [f32],
}

impl<'a> Shared<'a> {
    /// For a window with this batch.
    pub fn new(goal: Goal, weights: &'a Weights, batch: &'a Prepared) -> Self {
        let width = weights.sizes.next();
        let mut rows = vec![0.0; batch.asked.distinct.len() * width];
        rows.par_chunks_mut(width)
            .zip(&batch.asked.distinct)
            .with_min_len(64)
            .for_each(|(out, id)| weights.item(ITEM_NEXT, *id, out));
        let places = batch.asked.place.get(batch.batch.items.len()..).unwrap_or(&[]);
        let samples = places
            .iter()
            .flat_map(|place| &rows[*place as usize * width..(*place as usize + 1) * width])
            .copied()
            .collect();
        Self { goal, batch, rows, samples, width, query: &weights.dense.next }
    }

    /// The row of an entry's own item.
    fn own(&self, entry: usize) -> &[f32] {
        let place = self.batch.asked.place[entry] as usize;
        &self.rows[place * self.width..(place + 1) * self.width]
    }
}

/// Buffers of one chunk, reused for every window.
#[derive(Default)]
pub(super) struct Head {
    /// `[entries, factors + 1]`.
    pub query: Vec<f32>,
    /// Gradients of the queries.
    pub d_query: Vec<f32>,
    /// Slopes by each entry's own item's score.
    pub slopes: Vec<f32>,
    /// Gradients of the negatives' rows.
    pub samples: Vec<f32>,
    /// Scores of the negatives, then slopes by them, `[BLOCK, samples]`.
    scores: Vec<f32>,
    spare: Vec<f32>,
    /// Sum of the losses.
    pub losses: f64,
}

impl Head {
    /// From the decoded states (`[entries, size + when]`) to gradients; adds to that of `W_n`. `outer` maps
    /// an entry of the chunk to its position in the batch.
    pub fn run(
        &mut self,
        shared: &Shared,
        decoded: &[f32],
        inputs: usize,
        outer: impl Fn(usize) -> usize,
        gradient: &mut [f32],
    ) {
        let (batch, width, n) = (shared.batch, shared.width, shared.batch.samples.len());
        let entries = decoded.len() / inputs;
        let full = batch.batch.items.len();
        let share = (1.0 - shared.goal.rating_share) / full as f32;
        for column in [&mut self.query, &mut self.d_query] {
            column.resize(entries * width, 0.0);
        }
        self.slopes.clear();
        self.slopes.resize(entries, 0.0);
        self.samples.clear();
        self.samples.resize(n * width, 0.0);
        self.losses = 0.0;
        product_into(
            &mut self.query,
            width,
            Matrix::new(decoded, inputs),
            Matrix::new(shared.query, width),
            false,
        );
        for first in (0..entries).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(entries);
            let span = block.start * width..block.end * width;
            let query = Matrix::new(&self.query[span.clone()], width);
            self.scores.resize(block.len() * n, 0.0);
            product_into(&mut self.scores, n, query, Matrix::new(&shared.samples, width).t(), false);
            for (entry, scores) in block.clone().zip(self.scores.chunks_exact_mut(n)) {
                let at = outer(entry);
                if batch.batch.mask[at] == 0.0 {
                    scores.fill(0.0);
                    continue;
                }
                scores
                    .iter_mut()
                    .zip(&batch.corrections)
                    .for_each(|(score, correction)| *score -= correction);
                for hit in batch
                    .asked
                    .entries(batch.asked.place[at] as usize)
                    .iter()
                    .rev()
                    .take_while(|entry| **entry as usize >= full)
                {
                    scores[*hit as usize - full] = OUT;
                }
                let own = dot(&self.query[entry * width..(entry + 1) * width], shared.own(at))
                    - batch.own_corrections[at];
                let (value, slope) =
                    loss(shared.goal.loss, shared.goal.penalty, own, scores, &mut self.spare);
                let weight = batch.weights[at] * share;
                scores.iter_mut().for_each(|slope| *slope *= weight);
                self.slopes[entry] = slope * weight;
                self.losses += f64::from(value);
            }
            let slopes = Matrix::new(&self.scores, n);
            product_into(&mut self.d_query[span], width, slopes, Matrix::new(&shared.samples, width), false);
            product_into(&mut self.samples, width, slopes.t(), query, true);
            for entry in block {
                if self.slopes[entry] != 0.0 {
                    add(
                        &mut self.d_query[entry * width..(entry + 1) * width],
                        shared.own(outer(entry)),
                        self.slopes[entry],
                    );
                }
            }
        }
        product_into(
            gradient,
            width,
            Matrix::new(decoded, inputs).t(),
            Matrix::new(&self.d_query, width),
            true,
        );
    }
}
