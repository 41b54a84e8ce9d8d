//! Items' vectors from who rated them: sums over raters, and back.
//!
//! With `R_i` the users who rated item `i`, `n_i` their number, and `r'_iv` the rating less the mean and the
//! user's own mean, a row of user `u` reads
//!
//! ```text
//! (c, q) = W' (n_i + 1)^-1/2 sum_{v in R_i, v != u} x_v
//!        + V' (n_i + 1)^-1/2 sum_{v in R_i, v != u} r'_iv y_v
//! ```
//!
//! Attributes of items, where there are any, add a vector each; an item without raters has only theirs.
//!
//! The sums over all raters are worked out once a step; what `u` added to them is taken away row by row, so
//! that no row sees its own rating in its item's vector.

use super::parameters::{Layout, Sizes};
use crate::engine::codes::Codes;
use foretaste_data::{Histories, History};
use multiversion::multiversion;
use rayon::prelude::*;

/// Ratings by which a user's mean is drawn to the mean of all.
const SHRINKAGE: f64 = 5.0;

/// A user's mean rating, less that of all, drawn to it.
fn own_mean(history: History<'_>, mean: f64) -> f32 {
    let sum: f64 = history.values.iter().map(|value| f64::from(*value) - mean).sum();
    (sum / (history.len() as f64 + SHRINKAGE)) as f32
}

/// `(n_i + 1)^-1/2`.
fn scale(count: u32) -> f32 {
    1.0 / (count as f32 + 1.0).sqrt()
}

/// The training rows as items see them.
pub(super) struct Raters {
    /// First rating of each item, and the total; empty without an encoder.
    offsets: Vec<usize>,
    users: Vec<u32>,
    residuals: Vec<f32>,
    /// Each user's mean rating, that of all included.
    pub means: Vec<f32>,
    pub scales: Vec<f32>,
}

impl Raters {
    /// For free vectors.
    pub fn none() -> Self {
        Self { offsets: vec![], users: vec![], residuals: vec![], means: vec![], scales: vec![] }
    }

    pub fn new(train: &Histories, counts: &[u32], mean: f64) -> Self {
        let mut offsets = vec![0];
        counts.iter().for_each(|n| offsets.push(offsets[offsets.len() - 1] + *n as usize));
        let mut next = offsets.clone();
        let (mut users, mut residuals) = (vec![0; train.len()], vec![0.0; train.len()]);
        let mut means = Vec::with_capacity(train.n_users());
        for user in 0..train.n_users() as u32 {
            let history = train.user(user);
            let own = mean as f32 + own_mean(history, mean);
            means.push(own);
            for (item, value) in history.items.iter().zip(history.values.iter()) {
                let place = &mut next[*item as usize];
                (users[*place], residuals[*place]) = (user, value - own);
                *place += 1;
            }
        }
        Self { offsets, users, residuals, means, scales: counts.iter().map(|n| scale(*n)).collect() }
    }
}

/// What rows read of items and users, worked out from the parameters once a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Vectors {
    /// `(c, q)` of each item by all its raters, `[items, 1 + tastes]`.
    pub items: Vec<f32>,
    /// What each item adds to a bag, `[items, 1 + tastes]`.
    pub bags: Vec<f32>,
    /// What attributes say of its kind, `[items, kinds]`.
    pub kinds: Vec<f32>,
    pub own: Own,
    /// The sums over raters, scaled, `[items, raters]` each.
    sums: Vec<f32>,
    rating_sums: Vec<f32>,
}

/// What each user adds to the items' vectors: `W' x_u` and `V' y_u`, `[users, 1 + tastes]` each.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Own {
    pub raters: Vec<f32>,
    pub ratings: Vec<f32>,
}

impl Own {
    /// Takes from `vector` what user `user` added to it by a rating of this scale and residual.
    pub fn leave_out(&self, user: u32, scale: f32, residual: f32, vector: &mut [f32]) {
        let at = user as usize * vector.len();
        let by_rating = scale * residual;
        let own = self.raters[at..].iter().zip(&self.ratings[at..]);
        vector.iter_mut().zip(own).for_each(|(v, (x, y))| *v -= scale * x + by_rating * y);
    }
}

/// `out += x W`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn through(x: &[f32], weights: &[f32], out: &mut [f32]) {
    for (x, row) in x.iter().zip(weights.chunks_exact(out.len().max(1))) {
        out.iter_mut().zip(row).for_each(|(out, w)| *out += x * w);
    }
}

impl Vectors {
    /// Works all out anew. Items without training rows have what their attributes say.
    pub fn refresh(
        &mut self,
        sizes: Sizes,
        layout: &Layout,
        values: &[f32],
        (raters, codes): (&Raters, &Codes),
        counts: &[u32],
    ) {
        let (k, width) = (sizes.shape.item(), sizes.raters);
        let of = |range: &std::ops::Range<usize>| &values[range.clone()];
        self.items.resize(sizes.items * k, 0.0);
        self.bags.resize(sizes.items * k, 0.0);
        let (x, y) = (of(&layout.rater), of(&layout.rating));
        let (out, rating_out) = (of(&layout.rater_out), of(&layout.rating_out));
        if width > 0 {
            self.sums.resize(sizes.items * width, 0.0);
            self.rating_sums.resize(sizes.items * width, 0.0);
            for (own, x, weights) in [(&mut self.own.raters, x, out), (&mut self.own.ratings, y, rating_out)]
            {
                own.resize(sizes.users * k, 0.0);
                own.par_chunks_mut(k).zip(x.par_chunks(width)).with_min_len(64).for_each(|(own, x)| {
                    own.fill(0.0);
                    through(x, weights, own);
                });
            }
            let sums = self.sums.par_chunks_mut(width).zip(self.rating_sums.par_chunks_mut(width));
            sums.enumerate().with_max_len(16).for_each(|(item, sums)| {
                let rows = raters.offsets[item]..raters.offsets[item + 1];
                let of = (&raters.users[rows.clone()], &raters.residuals[rows]);
                sum_raters((x, y), of, raters.scales[item], sums);
            });
        }
        let (free, bag, bag_out) = (of(&layout.free), of(&layout.bag), of(&layout.bag_out));
        let described = of(&layout.item_codes);
        let (sums, rating_sums) = (&self.sums, &self.rating_sums);
        let rows = self.items.par_chunks_mut(k).zip(self.bags.par_chunks_mut(k)).enumerate();
        rows.with_min_len(64).for_each(|(item, (vector, add))| {
            vector.fill(0.0);
            add.fill(0.0);
            for code in codes.of(item) {
                through(&[1.0], &described[*code as usize * k..(*code as usize + 1) * k], vector);
            }
            if counts[item] == 0 {
                return;
            }
            if width > 0 {
                through(&sums[item * width..(item + 1) * width], out, vector);
                through(&rating_sums[item * width..(item + 1) * width], rating_out, vector);
            } else {
                through(&[1.0], &free[item * (k - 1)..(item + 1) * (k - 1)], &mut vector[1..]);
            }
            through(&bag[item * sizes.bag..(item + 1) * sizes.bag], bag_out, add);
        });
        let n = sizes.shape.kinds;
        self.kinds.clear();
        self.kinds.resize(sizes.items * n, 0.0);
        for (item, kind) in self.kinds.chunks_exact_mut(n.max(1)).enumerate() {
            for code in codes.of(item) {
                through(&[1.0], &of(&layout.kind_codes)[*code as usize * n..][..n], kind);
            }
        }
    }
}

/// `sums = scale sum_v (x_v, r'_v y_v)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
fn sum_raters(
    (x, y): (&[f32], &[f32]),
    (users, residuals): (&[u32], &[f32]),
    scale: f32,
    (sums, rating_sums): (&mut [f32], &mut [f32]),
) {
    let width = sums.len();
    let blocks = sums.chunks_mut(BLOCK).zip(rating_sums.chunks_mut(BLOCK)).enumerate();
    for (block, (sums, rating_sums)) in blocks {
        let (mut sum, mut rating_sum) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (user, residual) in users.iter().zip(residuals) {
            let at = *user as usize * width + block * BLOCK;
            let (x, y) = (&x[at..at + sums.len()], &y[at..at + sums.len()]);
            add_block(&mut sum, x, 1.0);
            add_block(&mut rating_sum, y, *residual);
        }
        sums.iter_mut().zip(sum).for_each(|(out, sum)| *out = scale * sum);
        rating_sums.iter_mut().zip(rating_sum).for_each(|(out, sum)| *out = scale * sum);
    }
}

/// Numbers that stay in registers while rows are summed.
const BLOCK: usize = 16;

/// `sum += scale x`; `x` may be shorter at the end of a row.
#[inline(always)]
#[allow(clippy::inline_always)] // A call would keep the sum from staying in registers.
fn add_block(sum: &mut [f32; BLOCK], x: &[f32], scale: f32) {
    if let Ok(x) = <&[f32; BLOCK]>::try_from(x) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += scale * x;
        }
    } else {
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += scale * x);
    }
}

/// What rows of a user left out: gradients by `W' x_u` and `V' y_u`.
pub(super) struct LeftOut {
    pub user: u32,
    /// `[1 + tastes]` twice.
    pub gradients: Vec<f32>,
}

/// From gradients of items' vectors (`of(item)`, `None` where there is none) to those of the encoder's
/// parameters.
pub(super) fn encoder_back<'a>(
    (sizes, layout, values): (Sizes, &Layout, &[f32]),
    (train, raters, vectors): (&Histories, &Raters, &Vectors),
    of: impl Fn(usize) -> Option<&'a [f32]> + Sync,
    left_out: &[LeftOut],
    gradient: &mut [f32],
) {
    let (k, width) = (sizes.shape.item(), sizes.raters);
    let out = turned(&values[layout.rater_out.clone()], k);
    let rating_out = turned(&values[layout.rating_out.clone()], k);
    // By the sums, their scale included.
    let mut by_sums = vec![0.0_f32; sizes.items * 2 * width];
    by_sums.par_chunks_mut(2 * width).enumerate().with_min_len(64).for_each(|(item, by)| {
        if let Some(vector) = of(item) {
            let (by, by_ratings) = by.split_at_mut(width);
            for (by, weights) in [(by, &out), (by_ratings, &rating_out)] {
                through(vector, weights, by);
                by.iter_mut().for_each(|by| *by *= raters.scales[item]);
            }
        }
    });
    let (mut by_out, mut by_rating_out) = (vec![0.0; width * k], vec![0.0; width * k]);
    for item in 0..sizes.items {
        if let Some(vector) = of(item) {
            outer(&vectors.sums[item * width..(item + 1) * width], vector, &mut by_out);
            outer(&vectors.rating_sums[item * width..(item + 1) * width], vector, &mut by_rating_out);
        }
    }
    let (left, right) = gradient.split_at_mut(layout.rating.start);
    let (by_raters, by_ratings) = (&mut left[layout.rater.clone()], &mut right[..layout.rating.len()]);
    let users = by_raters.par_chunks_mut(width).zip(by_ratings.par_chunks_mut(width)).enumerate();
    users.with_max_len(16).for_each(|(user, by)| {
        let history = train.user(user as u32);
        let values = history.values.iter().map(|value| value - raters.means[user]);
        gather_sums(&by_sums, (history.items, &values.collect::<Vec<f32>>()), by);
    });
    for LeftOut { user, gradients } in left_out {
        let user = *user as usize;
        let halves = gradients.split_at(k);
        for (range, weights, by_weights, from) in [
            (&layout.rater, &out, &mut by_out, halves.0),
            (&layout.rating, &rating_out, &mut by_rating_out, halves.1),
        ] {
            let at = range.start + user * width..range.start + (user + 1) * width;
            outer(&values[at.clone()], from, by_weights);
            through(from, weights, &mut gradient[at]);
        }
    }
    gradient[layout.rater_out.clone()].copy_from_slice(&by_out);
    gradient[layout.rating_out.clone()].copy_from_slice(&by_rating_out);
}

/// `W'` of `W`, whose rows are `width` wide.
pub(super) fn turned(weights: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| weights.iter().skip(column).step_by(width).copied()).collect()
}

/// `out += x y'`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn outer(x: &[f32], y: &[f32], out: &mut [f32]) {
    for (x, row) in x.iter().zip(out.chunks_exact_mut(y.len())) {
        row.iter_mut().zip(y).for_each(|(out, y)| *out += x * y);
    }
}

/// Gradients of a rater, from those of the sums of the items they rated: `by_sums` holds both of an item.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
fn gather_sums(
    by_sums: &[f32],
    (items, residuals): (&[u32], &[f32]),
    (by_rater, by_rating): (&mut [f32], &mut [f32]),
) {
    let width = by_rater.len();
    let blocks = by_rater.chunks_mut(BLOCK).zip(by_rating.chunks_mut(BLOCK)).enumerate();
    for (block, (by_rater, by_rating)) in blocks {
        let (mut sum, mut rating_sum) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (item, residual) in items.iter().zip(residuals) {
            let at = *item as usize * 2 * width + block * BLOCK;
            add_block(&mut sum, &by_sums[at..at + by_rater.len()], 1.0);
            add_block(&mut rating_sum, &by_sums[at + width..at + width + by_rater.len()], *residual);
        }
        by_rater.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
        by_rating.iter_mut().zip(rating_sum).for_each(|(out, sum)| *out += sum);
    }
}
