//! The filter over a group: what it predicts, and what the way back needs of each step.
//!
//! Covariances are symmetric; entry `(i, j <= i)` stands at `i (i + 1) / 2 + j`.

use super::correction::{self, Inputs};
use super::lanes::{Group, LANES, Lane, each};
use super::{Dense, Shape};
use multiversion::multiversion;

/// Where a step's columns stand in its record.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// The state's mean before the step, after the drift, `[state]`; it begins the record.
    pub covariance: usize,
    /// `u = P h`, `[state]`.
    pub u: usize,
    /// The bag and its root, `z`, `[1 + tastes]`.
    pub bag: usize,
    /// What attributes say, `[1 + tastes]`.
    pub prior: usize,
    /// `q`, `[tastes]`.
    pub tastes: usize,
    /// The streak and the item's kind, `[kinds]` each.
    pub streak: usize,
    pub kind: usize,
    pub scalars: usize,
    pub len: usize,
}

impl Places {
    pub fn new(shape: Shape) -> Self {
        let covariance = shape.state();
        let u = covariance + shape.packed();
        let bag = u + shape.state();
        let prior = bag + shape.item();
        let tastes = prior + shape.item();
        let streak = tastes + shape.tastes;
        let kind = streak + shape.kinds;
        let scalars = kind + shape.kinds;
        Self { covariance, u, bag, prior, tastes, streak, kind, scalars, len: scalars + SCALARS }
    }
}

/// Scalars of a record: the prediction, its variance, the warped error, ratings taken in, the user's share
/// of the noise, `1 / sqrt(n + kappa)`, the prediction before the scale's bend.
pub(super) const EXPECTED: usize = 0;
pub(super) const VARIANCE: usize = 1;
pub(super) const WARPED: usize = 2;
pub(super) const COUNT: usize = 3;
pub(super) const USER_NOISE: usize = 4;
pub(super) const ROOT: usize = 5;
pub(super) const STRAIGHT: usize = 6;
const SCALARS: usize = 7;

/// Prior variance of a state's entry.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn prior_variance(shape: Shape, dense: &Dense, entry: usize) -> f32 {
    if entry < shape.levels { dense.variances[entry] } else { 1.0 }
}

/// How much of each entry is left after the gap before step `t`; 0 at a first row, where the state is the
/// prior.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn drift(shape: Shape, dense: &Dense, group: &Group, t: usize, keep: Lane, a: &mut [Lane]) {
    let width = shape.levels + 1;
    let of =
        |level: usize| keep * each(|l| dense.drift[usize::from(group.gaps[t * LANES + l]) * width + level]);
    for (level, a) in a[..shape.levels].iter_mut().enumerate() {
        *a = of(level);
    }
    let tastes = of(shape.levels);
    a[shape.levels..].fill(tastes);
}

/// How much is left of a streak after the gap before step `t`; 0 at a first row.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn fade(dense: &Dense, group: &Group, t: usize, keep: Lane) -> Lane {
    keep * each(|l| dense.fade[usize::from(group.gaps[t * LANES + l])])
}

/// An item's kinds from its tastes; `kinds` holds what attributes say.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn classify(dense: &Dense, tastes: &[Lane], kinds: &mut [Lane]) {
    for (kind, bias) in kinds.iter_mut().zip(&dense.kind_bias) {
        *kind += Lane::splat(*bias);
    }
    for (q, weights) in tastes.iter().zip(dense.kind_out.chunks_exact(kinds.len())) {
        kinds.iter_mut().zip(weights).for_each(|(kind, weight)| *kind += Lane::splat(*weight) * *q);
    }
    let most = kinds.iter().fold(Lane::splat(f32::NEG_INFINITY), |most, kind| most.fast_max(*kind));
    let mut sum = Lane::ZERO;
    for kind in kinds.iter_mut() {
        *kind = (*kind - most).exp();
        sum += *kind;
    }
    let share = Lane::ONE / sum;
    kinds.iter_mut().for_each(|kind| *kind *= share);
}

/// 0 at first rows, else 1.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn keeps(group: &Group, t: usize) -> Lane {
    each(|l| f32::from(u8::from(!group.first[t * LANES + l])))
}

/// 1 where the state after a step is that of the step: where the rating is taken in, and at first rows.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn moves(take: Lane, keep: Lane) -> Lane {
    take.fast_max(Lane::ONE - keep)
}

/// One step's numbers of a column with one a lane.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn lane(column: &[f32], t: usize) -> Lane {
    Lane::new(column.as_chunks().0[t])
}

/// What is carried from step to step.
struct Carried {
    /// Mean and covariance after the last row that was taken in.
    mean: Vec<Lane>,
    covariance: Vec<Lane>,
    /// Whether the step before moved them, and its `take / S`.
    moved: Lane,
    share: Lane,
    bag: Vec<Lane>,
    prior: Vec<Lane>,
    streak: Vec<Lane>,
    count: Lane,
    /// Sum of the normalized squared errors.
    surprise: Lane,
}

/// Runs the filter over a group; `tape` keeps a record of each step.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn forward(shape: Shape, dense: &Dense, group: &mut Group, tape: &mut Vec<Lane>) {
    let (at, d, k) = (Places::new(shape), shape.state(), shape.item());
    if tape.len() < group.steps * at.len {
        tape.resize(group.steps * at.len, Lane::ZERO);
    }
    let mut carried = Carried {
        mean: vec![Lane::ZERO; d],
        covariance: vec![Lane::ZERO; shape.packed()],
        moved: Lane::ZERO,
        share: Lane::ZERO,
        bag: vec![Lane::ZERO; k],
        prior: vec![Lane::ZERO; k],
        streak: vec![Lane::ZERO; shape.kinds],
        count: Lane::ZERO,
        surprise: Lane::ZERO,
    };
    let (mut a, mut h) = (vec![Lane::ZERO; d], vec![Lane::ONE; d]);
    let mut squares = 0.0;
    for t in 0..group.steps {
        let (before, rest) = tape.split_at_mut(t * at.len);
        let record = &mut rest[..at.len];
        let keep = keeps(group, t);
        drift(shape, dense, group, t, keep, &mut a);
        for j in 0..shape.tastes {
            let q = each(|l| group.vectors[(t * LANES + l) * k + 1 + j]);
            record[at.tastes + j] = q;
            h[shape.levels + j] = q;
        }
        if shape.kinds > 0 {
            let fade = fade(dense, group, t, keep);
            for (j, streak) in carried.streak.iter().enumerate() {
                record[at.streak + j] = fade * *streak;
                record[at.kind + j] = each(|l| group.kinds[(t * LANES + l) * shape.kinds + j]);
            }
            let (known, kinds) = record.split_at_mut(at.kind);
            classify(dense, &known[at.tastes..at.streak], &mut kinds[..shape.kinds]);
        }
        let last = (t > 0).then(|| &before[(t - 1) * at.len..]);
        covary(shape, dense, at, &mut carried, (last, &a, &h), record);
        for ((record, mean), a) in record.iter_mut().zip(&carried.mean).zip(&a) {
            *record = *a * *mean;
        }
        predict(shape, dense, at, &mut carried, (group, t, keep, &h), record);
        let error = update(shape, dense, at, &mut carried, (group, t, keep), record);
        squares += f64::from((lane(&group.weights, t) * error * error).to_array().iter().sum::<f32>());
    }
    group.squares = squares;
}

/// The update of the step before, the drift, and `u = P h`, in one pass over the covariance.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn covary(
    shape: Shape,
    dense: &Dense,
    at: Places,
    carried: &mut Carried,
    (last, a, h): (Option<&[Lane]>, &[Lane], &[Lane]),
    record: &mut [Lane],
) {
    let d = shape.state();
    let (_, rest) = record.split_at_mut(at.covariance);
    let (covariance, rest) = rest.split_at_mut(shape.packed());
    let u = &mut rest[..d];
    u.fill(Lane::ZERO);
    let (moved, share) = (carried.moved.simd_gt(Lane::ZERO), carried.share);
    let mut row = 0;
    for i in 0..d {
        let (ai, hi) = (a[i], h[i]);
        let out = &mut covariance[row..=row + i];
        let kept = &mut carried.covariance[row..=row + i];
        if let Some(last) = last {
            let old = &last[at.covariance + row..=at.covariance + row + i];
            let old_u = &last[at.u..=at.u + i];
            let ui = old_u[i] * share;
            for ((kept, old), u) in kept.iter_mut().zip(old).zip(old_u) {
                *kept = moved.select(*old - ui * *u, *kept);
            }
        }
        let mut sum = Lane::ZERO;
        let columns = out[..i].iter_mut().zip(&kept[..i]).zip(a[..i].iter().zip(&h[..i])).zip(&mut u[..i]);
        for (((out, kept), (a, h)), u) in columns {
            let x = *kept * (ai * *a);
            *out = x;
            sum += x * *h;
            *u += x * hi;
        }
        let prior = Lane::splat(prior_variance(shape, dense, i));
        let x = kept[i] * (ai * ai) + (Lane::ONE - ai * ai) * prior;
        out[i] = x;
        u[i] += sum + x * hi;
        row += i + 1;
    }
}

/// The prediction, its variance and the correction of its error.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn predict(
    shape: Shape,
    dense: &Dense,
    at: Places,
    carried: &mut Carried,
    (group, t, keep, h): (&Group, usize, Lane, &[Lane]),
    record: &mut [Lane],
) {
    let k = shape.item();
    let of = |column: &[f32], j: usize| each(|l| column[(t * LANES + l) * k + j]);
    let first = keep.simd_eq(Lane::ZERO);
    if first.any() {
        for j in 0..k {
            carried.bag[j] = first.select(Lane::splat(dense.empty[j]), carried.bag[j]);
            carried.prior[j] = first.select(of(&group.priors, j), carried.prior[j]);
        }
    }
    record[at.bag..at.bag + k].copy_from_slice(&carried.bag);
    record[at.prior..at.prior + k].copy_from_slice(&carried.prior);
    carried.count *= keep;
    carried.surprise *= keep;
    let (count, n0) = (carried.count, Lane::splat(dense.n0));
    let root = Lane::ONE / (count + Lane::splat(dense.kappa)).sqrt();
    let mut expected =
        lane(&group.base, t) + of(&group.vectors, 0) + carried.prior[0] + carried.bag[0] * root;
    for mean in &record[..shape.levels] {
        expected += *mean;
    }
    for j in 0..shape.tastes {
        let (q, mean) = (record[at.tastes + j], record[shape.levels + j]);
        expected += q * (mean + carried.prior[1 + j] + carried.bag[1 + j] * root);
    }
    for (j, weight) in dense.streak.iter().enumerate() {
        expected += Lane::splat(*weight) * record[at.streak + j] * record[at.kind + j];
    }
    record[at.scalars + STRAIGHT] = expected;
    let expected = correction::bent(dense, expected);
    let user = (n0 + carried.surprise) / (n0 + count);
    let mut variance = lane(&group.noise, t) * user;
    for (h, u) in h.iter().zip(&record[at.u..]) {
        variance += *h * *u;
    }
    let value = lane(&group.values, t);
    let inputs = Inputs { expected, error: value - expected, variance, value };
    record[at.scalars + WARPED] = correction::warped(shape, dense, &inputs);
    record[at.scalars + EXPECTED] = expected;
    record[at.scalars + VARIANCE] = variance;
    record[at.scalars + COUNT] = count;
    record[at.scalars + USER_NOISE] = user;
    record[at.scalars + ROOT] = root;
}

/// Takes the rating in where the group says so; returns the error.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn update(
    shape: Shape,
    dense: &Dense,
    at: Places,
    carried: &mut Carried,
    (group, t, keep): (&Group, usize, Lane),
    record: &[Lane],
) -> Lane {
    let k = shape.item();
    let scalar = |n: usize| record[at.scalars + n];
    let take = lane(&group.take, t);
    let error = lane(&group.values, t) - scalar(EXPECTED);
    let share = take / scalar(VARIANCE);
    let by = share * scalar(WARPED);
    let moved = moves(take, keep);
    let is_moved = moved.simd_gt(Lane::ZERO);
    for ((mean, before), u) in carried.mean.iter_mut().zip(record).zip(&record[at.u..]) {
        *mean = is_moved.select(*before + *u * by, *mean);
    }
    for (j, bag) in carried.bag.iter_mut().enumerate() {
        *bag += take * each(|l| group.bags[(t * LANES + l) * k + j]);
    }
    if shape.kinds > 0 {
        let new = take * (Lane::ONE - fade(dense, group, t, keep));
        for (j, streak) in carried.streak.iter_mut().enumerate() {
            let (before, kind) = (record[at.streak + j], record[at.kind + j]);
            *streak = is_moved.select(before + new * kind, *streak);
        }
    }
    carried.count += take;
    carried.surprise += share * scalar(USER_NOISE) * error * error;
    (carried.share, carried.moved) = (share, moved);
    error
}

/// Each row's entry, prediction and variance after [`forward`].
#[cfg(test)]
pub(super) fn predictions(shape: Shape, group: &Group, tape: &[Lane]) -> Vec<(usize, f32, f32)> {
    let at = Places::new(shape);
    let of = |entry: usize| {
        let scalars = &tape[entry / LANES * at.len + at.scalars..];
        let of = |n: usize| scalars[n].as_array()[entry % LANES];
        (entry, of(EXPECTED), of(VARIANCE))
    };
    (0..group.rows.len()).filter(|entry| group.rows[*entry] != super::lanes::NO_ROW).map(of).collect()
}
