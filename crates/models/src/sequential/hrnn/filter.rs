//! The filter over a group: what it predicts, and what the way back needs of each step.
//!
//! Covariances are symmetric; entry `(i, j <= i)` stands at `i (i + 1) / 2 + j`.

use super::correction::{self, Inputs};
use super::lanes::{Group, LANES, Lane, each};
use super::{Dense, Shape};
use multiversion::multiversion;

pub(super) const ZERO: Lane = [0.0; LANES];

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
        let scalars = tastes + shape.tastes;
        Self { covariance, u, bag, prior, tastes, scalars, len: scalars + SCALARS }
    }
}

/// Scalars of a record: the prediction, its variance, the warped error, ratings taken in, the user's share
/// of the noise, `1 / sqrt(n + kappa)`.
pub(super) const EXPECTED: usize = 0;
pub(super) const VARIANCE: usize = 1;
pub(super) const WARPED: usize = 2;
pub(super) const COUNT: usize = 3;
pub(super) const USER_NOISE: usize = 4;
pub(super) const ROOT: usize = 5;
const SCALARS: usize = 6;

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
    let of = |level: usize| {
        each(|l| dense.drift[usize::from(group.gaps[t * LANES + l]) * width + level] * keep[l])
    };
    for (level, a) in a[..shape.levels].iter_mut().enumerate() {
        *a = of(level);
    }
    let tastes = of(shape.levels);
    a[shape.levels..].fill(tastes);
}

/// 0 at first rows, else 1.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn keeps(group: &Group, t: usize) -> Lane {
    each(|l| if group.first[t * LANES + l] { 0.0 } else { 1.0 })
}

/// One step's numbers of a column with one a lane.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn lane(column: &[f32], t: usize) -> Lane {
    let mut out = ZERO;
    out.copy_from_slice(&column[t * LANES..(t + 1) * LANES]);
    out
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
    count: Lane,
    /// Sum of the normalized squared errors.
    surprise: Lane,
}

/// Runs the filter over a group, with the variance `extra` of each item's bias added where it is not drawn.
/// `tape` keeps a record of each step.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn forward(shape: Shape, dense: &Dense, group: &mut Group, tape: &mut Vec<Lane>) {
    let (at, d, k) = (Places::new(shape), shape.state(), shape.item());
    if tape.len() < group.steps * at.len {
        tape.resize(group.steps * at.len, ZERO);
    }
    let mut carried = Carried {
        mean: vec![ZERO; d],
        covariance: vec![ZERO; shape.packed()],
        moved: ZERO,
        share: ZERO,
        bag: vec![ZERO; k],
        prior: vec![ZERO; k],
        count: ZERO,
        surprise: ZERO,
    };
    let (mut a, mut h) = (vec![ZERO; d], vec![[1.0; LANES]; d]);
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
        let last = (t > 0).then(|| &before[(t - 1) * at.len..]);
        covary(shape, dense, at, &mut carried, (last, &a, &h), record);
        for (j, (record, mean)) in record.iter_mut().zip(&carried.mean).take(d).enumerate() {
            *record = each(|l| a[j][l] * mean[l]);
        }
        predict(shape, dense, at, &mut carried, (group, t, keep, &h), record);
        let error = update(shape, at, &mut carried, (group, t, keep), record);
        let weights = lane(&group.weights, t);
        squares += f64::from((0..LANES).map(|l| weights[l] * error[l] * error[l]).sum::<f32>());
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
    u.fill(ZERO);
    let (moved, share) = (carried.moved, carried.share);
    let mut row = 0;
    for i in 0..d {
        let (ai, hi) = (a[i], h[i]);
        let out = &mut covariance[row..=row + i];
        let kept = &mut carried.covariance[row..=row + i];
        if let Some(last) = last {
            let old = &last[at.covariance + row..=at.covariance + row + i];
            let old_u = &last[at.u..at.u + d];
            let ui = each(|l| old_u[i][l] * share[l]);
            for j in 0..=i {
                let x = each(|l| old[j][l] - ui[l] * old_u[j][l]);
                kept[j] = each(|l| if moved[l] > 0.0 { x[l] } else { kept[j][l] });
            }
        }
        let mut sum = ZERO;
        for j in 0..i {
            let x = each(|l| kept[j][l] * (ai[l] * a[j][l]));
            out[j] = x;
            for l in 0..LANES {
                sum[l] += x[l] * h[j][l];
                u[j][l] += x[l] * hi[l];
            }
        }
        let prior = prior_variance(shape, dense, i);
        let x = each(|l| kept[i][l] * (ai[l] * ai[l]) + (1.0 - ai[l] * ai[l]) * prior);
        out[i] = x;
        for l in 0..LANES {
            u[i][l] += sum[l] + x[l] * hi[l];
        }
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
    for j in 0..k {
        let (begin, prior) = (dense.empty[j], of(&group.priors, j));
        let (bag, old) = (carried.bag[j], carried.prior[j]);
        carried.bag[j] = each(|l| if keep[l] == 0.0 { begin } else { bag[l] });
        carried.prior[j] = each(|l| if keep[l] == 0.0 { prior[l] } else { old[l] });
    }
    record[at.bag..at.bag + k].copy_from_slice(&carried.bag);
    record[at.prior..at.prior + k].copy_from_slice(&carried.prior);
    for l in 0..LANES {
        carried.count[l] *= keep[l];
        carried.surprise[l] *= keep[l];
    }
    let (count, surprise) = (carried.count, carried.surprise);
    let root = each(|l| 1.0 / (count[l] + dense.kappa).sqrt());
    let (base, offset) = (lane(&group.base, t), of(&group.vectors, 0));
    let mut expected = each(|l| base[l] + offset[l] + carried.prior[0][l] + carried.bag[0][l] * root[l]);
    for mean in &record[..shape.levels] {
        for l in 0..LANES {
            expected[l] += mean[l];
        }
    }
    for j in 0..shape.tastes {
        let (q, mean) = (record[at.tastes + j], record[shape.levels + j]);
        let (prior, bag) = (carried.prior[1 + j], carried.bag[1 + j]);
        for l in 0..LANES {
            expected[l] += q[l] * (mean[l] + prior[l] + bag[l] * root[l]);
        }
    }
    let noise = lane(&group.noise, t);
    let user = each(|l| (dense.n0 + surprise[l]) / (dense.n0 + count[l]));
    let mut variance = each(|l| noise[l] * user[l]);
    for (h, u) in h.iter().zip(&record[at.u..]) {
        for l in 0..LANES {
            variance[l] += h[l] * u[l];
        }
    }
    let value = lane(&group.values, t);
    let error = each(|l| value[l] - expected[l]);
    let inputs = Inputs { expected, error, variance, value };
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
    at: Places,
    carried: &mut Carried,
    (group, t, keep): (&Group, usize, Lane),
    record: &[Lane],
) -> Lane {
    let k = shape.item();
    let scalar = |n: usize| record[at.scalars + n];
    let (expected, variance, warped) = (scalar(EXPECTED), scalar(VARIANCE), scalar(WARPED));
    let (value, take) = (lane(&group.values, t), lane(&group.take, t));
    let error = each(|l| value[l] - expected[l]);
    let share = each(|l| take[l] / variance[l]);
    let moved = each(|l| if take[l] > 0.0 || keep[l] == 0.0 { 1.0 } else { 0.0 });
    for (j, mean) in carried.mean.iter_mut().enumerate() {
        let (before, u) = (record[j], record[at.u + j]);
        *mean = each(|l| if moved[l] > 0.0 { before[l] + u[l] * (share[l] * warped[l]) } else { mean[l] });
    }
    for (j, bag) in carried.bag.iter_mut().enumerate() {
        for l in 0..LANES {
            bag[l] += take[l] * group.bags[(t * LANES + l) * k + j];
        }
    }
    let user = scalar(USER_NOISE);
    for l in 0..LANES {
        carried.count[l] += take[l];
        carried.surprise[l] += share[l] * user[l] * error[l] * error[l];
    }
    (carried.share, carried.moved) = (share, moved);
    error
}

/// Each row's entry, prediction and variance after [`forward`].
#[cfg(test)]
pub(super) fn predictions(shape: Shape, group: &Group, tape: &[Lane]) -> Vec<(usize, f32, f32)> {
    let at = Places::new(shape);
    let of = |entry: usize| {
        let scalars = &tape[entry / LANES * at.len + at.scalars..];
        (entry, scalars[EXPECTED][entry % LANES], scalars[VARIANCE][entry % LANES])
    };
    (0..group.rows.len()).filter(|entry| group.rows[*entry] != super::lanes::NO_ROW).map(of).collect()
}
