//! Back through the filter: the gradient of the loss `w (e^2 / S + log S) / 2`, summed over a group's rows.
//!
//! With `G`, `g` the gradients by covariance and mean after a step (`G` symmetric, so that
//! `dL = sum_ij G_ij dP_ij`), `x = take / S` and `u = P h`, the step
//!
//! ```text
//! P+ = P - x u u'     s+ = s + x e' u     A+ = A + x lam e^2     z+ = z + take m
//! ```
//!
//! gives, before it,
//!
//! ```text
//! by u:   x e' g - 2 x G u + dS h
//! by S:   x/S (u'G u - e' u'g) - dA x lam e^2 / S + w (1/S - e^2/S^2) / 2
//! by e':  x u'g
//! by P:   G + (du h' + h du') / 2
//! by h:   dS u + P du + dr s                      (dr = -de: by the prediction)
//! by s:   g + dr h
//! ```
//!
//! and the drift `s = a * s`, `P = aa' * P + diag((1 - a^2) p0)`, by `log a` of entry `i`,
//! `2 (sum_j G_ij P_ij - p0_i G_ii) + g_i s_i` of the quantities after the drift.

use super::correction::{self, Inputs, Sums};
use super::filter::{
    COUNT, EXPECTED, Places, ROOT, STRAIGHT, USER_NOISE, VARIANCE, WARPED, drift, fade, keeps, lane, moves,
    prior_variance,
};
use super::lanes::{Group, LANES, Lane};
use super::{Dense, Shape};
use multiversion::multiversion;

/// Gradients that go from step to step, and sums over steps.
struct Back {
    covariance: Vec<Lane>,
    mean: Vec<Lane>,
    bag: Vec<Lane>,
    prior: Vec<Lane>,
    streak: Vec<Lane>,
    surprise: Lane,
    /// Of this step: by the kinds, by `u`, by `h`, and `G u`.
    kind: Vec<Lane>,
    u: Vec<Lane>,
    h: Vec<Lane>,
    through: Vec<Lane>,
    /// Half of the gradient by the logarithm of drift, of this step: levels, then tastes.
    drift: Vec<Lane>,
    variances: Vec<Lane>,
    empty: Vec<Lane>,
    by_streak: Vec<Lane>,
    kind_out: Vec<Lane>,
    kind_bias: Vec<Lane>,
    n0: Lane,
    kappa: Lane,
    correction: Sums,
}

/// A step as the way back sees it.
struct Step<'a> {
    t: usize,
    at: Places,
    record: &'a [Lane],
    keep: Lane,
    take: Lane,
    /// Where the state after the step is that of the step.
    moved: Lane,
    a: &'a [Lane],
    h: &'a [Lane],
}

impl Step<'_> {
    #[inline(always)]
    #[allow(clippy::inline_always)] // As `each`.
    fn scalar(&self, n: usize) -> Lane {
        self.record[self.at.scalars + n]
    }
}

/// Goes back through what [`super::filter::forward`] kept. Gradients take the place of the group's
/// `vectors`, `bags`, `priors` and `noise_gradient`; those of the shared parameters are returned: by the log
/// odds of `drift`, and the logarithms of `variances`, `n0` and `kappa`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn backward(shape: Shape, dense: &Dense, group: &mut Group, tape: &[Lane]) -> Dense {
    let (at, d, k) = (Places::new(shape), shape.state(), shape.item());
    let mut out = Dense::zeros(shape);
    let zeros = |n: usize| vec![Lane::ZERO; n];
    let mut back = Back {
        covariance: zeros(shape.packed()),
        mean: zeros(d),
        bag: zeros(k),
        prior: zeros(k),
        streak: zeros(shape.kinds),
        surprise: Lane::ZERO,
        kind: zeros(shape.kinds),
        u: zeros(d),
        h: zeros(d),
        through: zeros(d),
        drift: zeros(shape.levels + 1),
        variances: zeros(shape.levels),
        empty: zeros(k),
        by_streak: zeros(shape.kinds),
        kind_out: zeros(shape.tastes * shape.kinds),
        kind_bias: zeros(shape.kinds),
        n0: Lane::ZERO,
        kappa: Lane::ZERO,
        correction: Sums::new(shape),
    };
    let (mut a, mut h) = (zeros(d), vec![Lane::ONE; d]);
    for t in (0..group.steps).rev() {
        let record = &tape[t * at.len..(t + 1) * at.len];
        let keep = keeps(group, t);
        drift(shape, dense, group, t, keep, &mut a);
        h[shape.levels..].copy_from_slice(&record[at.tastes..at.tastes + shape.tastes]);
        let take = lane(&group.take, t);
        let step = Step { t, at, record, keep, take, moved: moves(take, keep), a: &a, h: &h };
        let expected = update_back(shape, dense, group, &step, &mut back);
        prediction_back(shape, group, &step, expected, &mut back);
        if shape.kinds > 0 {
            streak_back(dense, group, &step, (expected, &mut back, &mut out));
        }
        covariance_back(shape, dense, &step, &mut back);
        mean_back(shape, dense, group, &step, (expected, &mut back, &mut out));
        write(&mut group.vectors[t * LANES * k..], k, 0, expected);
        for (j, by) in back.h[shape.levels..].iter().enumerate() {
            write(&mut group.vectors[t * LANES * k..], k, 1 + j, *by);
        }
    }
    let sums = [
        (&mut out.variances, &back.variances),
        (&mut out.empty, &back.empty),
        (&mut out.streak, &back.by_streak),
        (&mut out.kind_out, &back.kind_out),
        (&mut out.kind_bias, &back.kind_bias),
        (&mut out.hidden, &back.correction.hidden),
        (&mut out.hidden_bias, &back.correction.bias),
        (&mut out.hidden_out, &back.correction.out),
        (&mut out.bend, &back.correction.bend),
        (&mut out.bend_shift, &back.correction.bend_shift),
        (&mut out.bend_out, &back.correction.bend_out),
    ];
    for (out, from) in sums {
        out.iter_mut().zip(from).for_each(|(out, from)| *out = sum(*from));
    }
    out.variances.iter_mut().zip(&dense.variances).for_each(|(out, v)| *out *= v);
    (out.n0, out.kappa) = (sum(back.n0) * dense.n0, sum(back.kappa) * dense.kappa);
    out
}

/// All lanes, in their order.
fn sum(lanes: Lane) -> f32 {
    lanes.as_array().iter().sum()
}

/// Writes each lane's number into column `j` of its row, rows being `k` wide.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn write(rows: &mut [f32], k: usize, j: usize, lanes: Lane) {
    for (row, x) in rows.chunks_exact_mut(k).zip(lanes.to_array()) {
        row[j] = x;
    }
}

/// From the state after the update to `u`; returns the gradient by the prediction.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn update_back(shape: Shape, dense: &Dense, group: &mut Group, step: &Step, back: &mut Back) -> Lane {
    let (t, k, take) = (step.t, shape.item(), step.take);
    let (value, weight) = (lane(&group.values, t), lane(&group.weights, t));
    let (expected, variance, warped) = (step.scalar(EXPECTED), step.scalar(VARIANCE), step.scalar(WARPED));
    let (user, count) = (step.scalar(USER_NOISE), step.scalar(COUNT));
    let u = &step.record[step.at.u..step.at.u + shape.state()];
    for (j, bag) in back.bag.iter().enumerate() {
        write(&mut group.bags[t * LANES * k..], k, j, take * *bag);
    }
    multiply(&back.covariance, u, &mut back.through);
    let (mut curve, mut along) = (Lane::ZERO, Lane::ZERO);
    for ((u, through), mean) in u.iter().zip(&back.through).zip(&back.mean) {
        curve += *u * *through;
        along += *u * *mean;
    }
    let (error, inverse) = (value - expected, Lane::ONE / variance);
    let (square, share) = (error * error, take * inverse);
    let inputs = Inputs { expected, error, variance, value };
    let (by_expected, by_error, by_variance) =
        correction::back(shape, dense, &inputs, share * along, &mut back.correction);
    let surprise = back.surprise * share;
    let by_error = by_error + Lane::splat(2.0) * surprise * user * error + weight * error * inverse;
    let by_variance = by_variance + share * inverse * (curve - warped * along)
        - surprise * user * square * inverse
        + weight * Lane::HALF * (inverse - square * inverse * inverse);
    let of = back.u.iter_mut().zip(&mut back.h).zip(back.mean.iter().zip(&back.through)).zip(step.h).zip(u);
    for ((((by, by_h), (mean, through)), h), u) in of {
        *by = share * (warped * *mean - (*through + *through)) + by_variance * *h;
        *by_h = by_variance * *u;
    }
    let noise = lane(&group.noise, t);
    let by_user = surprise * square + by_variance * noise;
    let below = Lane::ONE / (Lane::splat(dense.n0) + count);
    back.n0 += by_user * (Lane::ONE - user) * below;
    back.surprise += by_user * below;
    group.noise_gradient.as_chunks_mut().0[t] = (by_variance * noise * user).to_array();
    correction::bent_back(dense, step.scalar(STRAIGHT), by_expected - by_error, &mut back.correction)
}

/// `out = G u`.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn multiply(matrix: &[Lane], u: &[Lane], out: &mut [Lane]) {
    out.fill(Lane::ZERO);
    let mut row = 0;
    for (i, ui) in u.iter().enumerate() {
        let (mut sum, g, own) = (Lane::ZERO, &matrix[row..row + i], matrix[row + i]);
        for ((g, u), out) in g.iter().zip(&u[..i]).zip(&mut out[..i]) {
            sum += *g * *u;
            *out += *g * *ui;
        }
        out[i] += sum + own * *ui;
        row += i + 1;
    }
}

/// From the prediction (`by`) to the bag, what attributes say, and the item.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn prediction_back(shape: Shape, group: &mut Group, step: &Step, by: Lane, back: &mut Back) {
    let (at, k, root) = (step.at, shape.item(), step.scalar(ROOT));
    let (bag, prior) = (&step.record[at.bag..at.bag + k], &step.record[at.prior..at.prior + k]);
    let mut by_root = by * bag[0];
    back.bag[0] += by * root;
    back.prior[0] += by;
    for j in 0..shape.tastes {
        let (q, mean) = (step.record[at.tastes + j], step.record[shape.levels + j]);
        let along = by * q;
        by_root += along * bag[1 + j];
        back.bag[1 + j] += along * root;
        back.prior[1 + j] += along;
        back.h[shape.levels + j] += by * (mean + prior[1 + j] + bag[1 + j] * root);
    }
    back.kappa -= Lane::HALF * by_root * root * root * root;
    let keep = step.keep;
    back.surprise *= keep;
    if keep.simd_eq(Lane::ONE).all() {
        return;
    }
    for j in 0..k {
        write(&mut group.priors[step.t * LANES * k..], k, j, back.prior[j]);
        back.empty[j] += (Lane::ONE - keep) * back.bag[j];
        back.prior[j] *= keep;
        back.bag[j] *= keep;
    }
}

/// From the streak after the step and the prediction (`by`) to the item's kind and the streak before it.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn streak_back(
    dense: &Dense,
    group: &mut Group,
    step: &Step,
    (by, back, out): (Lane, &mut Back, &mut Dense),
) {
    let (t, at, n) = (step.t, step.at, back.streak.len());
    let left = fade(dense, group, t, step.keep);
    let new = step.take * (Lane::ONE - left);
    let (mut by_fade, mut mean) = (Lane::ZERO, Lane::ZERO);
    for j in 0..n {
        let (streak, kind) = (step.record[at.streak + j], step.record[at.kind + j]);
        let (after, along) = (back.streak[j], by * Lane::splat(dense.streak[j]));
        let by_kind = new * after + along * streak;
        mean += kind * by_kind;
        back.kind[j] = by_kind;
        back.by_streak[j] += by * streak * kind;
        let before = step.moved * after + along * kind;
        by_fade += before * streak - step.take * left * after * kind;
        back.streak[j] = before * left + (Lane::ONE - step.moved) * after;
    }
    for (j, by) in back.kind.iter_mut().enumerate() {
        *by = step.record[at.kind + j] * (*by - mean);
        write(&mut group.kinds[t * LANES * n..], n, j, *by);
        back.kind_bias[j] += *by;
    }
    let tastes = step.record[at.tastes..at.streak].iter().zip(dense.kind_out.chunks_exact(n));
    let levels = step.h.len() - (at.streak - at.tastes);
    for (m, (q, weights)) in tastes.enumerate() {
        let mut by_taste = Lane::ZERO;
        for (j, (by, weight)) in back.kind.iter().zip(weights).enumerate() {
            by_taste += Lane::splat(*weight) * *by;
            back.kind_out[m * n + j] += *q * *by;
        }
        back.h[levels + m] += by_taste;
    }
    for (l, by) in by_fade.to_array().into_iter().enumerate() {
        let place = usize::from(group.gaps[t * LANES + l]);
        out.fade[place] += by * (1.0 - dense.fade[place]);
    }
}

/// From `u` and the covariance after the step to `h`, the drift and the covariance before it.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn covariance_back(shape: Shape, dense: &Dense, step: &Step, back: &mut Back) {
    let (d, levels, moved) = (shape.state(), shape.levels, step.moved);
    let stays = Lane::ONE - moved;
    back.drift.fill(Lane::ZERO);
    let mut row = 0;
    for i in 0..d {
        let (ui, hi, ai) = (back.u[i], step.h[i], step.a[i]);
        let (half_u, half_h) = (Lane::HALF * ui, Lane::HALF * hi);
        let g = &mut back.covariance[row..=row + i];
        let p = &step.record[step.at.covariance + row..=step.at.covariance + row + i];
        let (mut sum, mut by_levels, mut by_all) = (Lane::ZERO, Lane::ZERO, Lane::ZERO);
        let of = back.u[..i].iter().zip(&step.h[..i]).zip(&step.a[..i]).zip(&mut back.h[..i]);
        for (j, ((g, p), (((u, h), a), by_h))) in g[..i].iter_mut().zip(&p[..i]).zip(of).enumerate() {
            let old = *g;
            let x = moved * old + half_u * *h + half_h * *u;
            sum += *p * *u;
            *by_h += *p * ui;
            *g = x * (ai * *a) + stays * old;
            let product = x * *p;
            by_all += product;
            // Levels drift each on their own.
            if j < levels {
                back.drift[j] += product;
                by_levels = by_all;
            }
        }
        let old = g[i];
        let x = moved * old + ui * hi;
        let prior = Lane::splat(prior_variance(shape, dense, i));
        back.h[i] += sum + p[i] * ui;
        // Tastes drift together: of two of them both.
        let both = if i > levels { by_all - by_levels } else { Lane::ZERO };
        back.drift[i.min(levels)] += by_all + both + x * (p[i] - prior);
        if i < levels {
            back.variances[i] += (Lane::ONE - ai * ai) * x;
        }
        g[i] = x * (ai * ai) + stays * old;
        row += i + 1;
    }
}

/// From the mean after the step to the one before, and the drift.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn mean_back(
    shape: Shape,
    dense: &Dense,
    group: &Group,
    step: &Step,
    (by, back, out): (Lane, &mut Back, &mut Dense),
) {
    let moved = step.moved;
    for (j, mean) in back.mean.iter_mut().enumerate() {
        let old = *mean;
        let x = moved * old + by * step.h[j];
        back.drift[j.min(shape.levels)] += Lane::HALF * x * step.record[j];
        *mean = x * step.a[j] + (Lane::ONE - moved) * old;
    }
    let width = shape.levels + 1;
    let keep = step.keep.to_array();
    for (level, by) in back.drift.iter().enumerate() {
        for (l, by) in by.to_array().into_iter().enumerate() {
            let place = usize::from(group.gaps[step.t * LANES + l]) * width + level;
            out.drift[place] += 2.0 * by * (1.0 - dense.drift[place]) * keep[l];
        }
    }
}
