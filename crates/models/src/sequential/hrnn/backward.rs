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
    COUNT, EXPECTED, Places, ROOT, USER_NOISE, VARIANCE, WARPED, ZERO, drift, keeps, lane, prior_variance,
};
use super::lanes::{Group, LANES, Lane, each};
use super::{Dense, Shape};
use multiversion::multiversion;

/// Gradients that go from step to step, and sums over steps.
struct Back {
    covariance: Vec<Lane>,
    mean: Vec<Lane>,
    bag: Vec<Lane>,
    prior: Vec<Lane>,
    surprise: Lane,
    /// Of this step: by `u`, by `h`, and `G u`.
    u: Vec<Lane>,
    h: Vec<Lane>,
    through: Vec<Lane>,
    /// Half of the gradient by the logarithm of drift, of this step: levels, then tastes.
    drift: Vec<Lane>,
    variances: Vec<Lane>,
    empty: Vec<Lane>,
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
    let mut back = Back {
        covariance: vec![ZERO; shape.packed()],
        mean: vec![ZERO; d],
        bag: vec![ZERO; k],
        prior: vec![ZERO; k],
        surprise: ZERO,
        u: vec![ZERO; d],
        h: vec![ZERO; d],
        through: vec![ZERO; d],
        drift: vec![ZERO; shape.levels + 1],
        variances: vec![ZERO; shape.levels],
        empty: vec![ZERO; k],
        n0: ZERO,
        kappa: ZERO,
        correction: Sums::new(shape),
    };
    let (mut a, mut h) = (vec![ZERO; d], vec![[1.0; LANES]; d]);
    for t in (0..group.steps).rev() {
        let record = &tape[t * at.len..(t + 1) * at.len];
        let keep = keeps(group, t);
        drift(shape, dense, group, t, keep, &mut a);
        h[shape.levels..].copy_from_slice(&record[at.tastes..at.tastes + shape.tastes]);
        let take = lane(&group.take, t);
        let moved = each(|l| if take[l] > 0.0 || keep[l] == 0.0 { 1.0 } else { 0.0 });
        let step = Step { t, at, record, keep, take, moved, a: &a, h: &h };
        let expected = update_back(shape, dense, group, &step, &mut back);
        prediction_back(shape, group, &step, expected, &mut back);
        covariance_back(shape, dense, &step, &mut back);
        mean_back(shape, dense, group, &step, (expected, &mut back, &mut out));
        for l in 0..LANES {
            let gradient = &mut group.vectors[(t * LANES + l) * k..(t * LANES + l + 1) * k];
            gradient[0] = expected[l];
            gradient[1..].iter_mut().zip(&back.h[shape.levels..]).for_each(|(g, h)| *g = h[l]);
        }
    }
    let sum = |lane: &Lane| lane.iter().sum::<f32>();
    let sums = [
        (&mut out.variances, &back.variances),
        (&mut out.empty, &back.empty),
        (&mut out.hidden, &back.correction.hidden),
        (&mut out.hidden_bias, &back.correction.bias),
        (&mut out.hidden_out, &back.correction.out),
    ];
    for (out, from) in sums {
        out.iter_mut().zip(from).for_each(|(out, from)| *out = sum(from));
    }
    out.variances.iter_mut().zip(&dense.variances).for_each(|(out, v)| *out *= v);
    (out.n0, out.kappa) = (sum(&back.n0) * dense.n0, sum(&back.kappa) * dense.kappa);
    out
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
    for j in 0..k {
        for l in 0..LANES {
            group.bags[(t * LANES + l) * k + j] = take[l] * back.bag[j][l];
        }
    }
    multiply(&back.covariance, u, &mut back.through);
    let (mut curve, mut along) = (ZERO, ZERO);
    for ((u, through), mean) in u.iter().zip(&back.through).zip(&back.mean) {
        for l in 0..LANES {
            curve[l] += u[l] * through[l];
            along[l] += u[l] * mean[l];
        }
    }
    let error = each(|l| value[l] - expected[l]);
    let square = each(|l| error[l] * error[l]);
    let inverse = each(|l| 1.0 / variance[l]);
    let share = each(|l| take[l] * inverse[l]);
    let inputs = Inputs { expected, error, variance, value };
    let by_warped = each(|l| share[l] * along[l]);
    let (by_expected, by_error, by_variance) =
        correction::back(shape, dense, &inputs, by_warped, &mut back.correction);
    let surprise = each(|l| back.surprise[l] * share[l]);
    let by_error =
        each(|l| by_error[l] + 2.0 * surprise[l] * user[l] * error[l] + weight[l] * error[l] * inverse[l]);
    let by_variance = each(|l| {
        by_variance[l] + share[l] * inverse[l] * (curve[l] - warped[l] * along[l])
            - surprise[l] * user[l] * square[l] * inverse[l]
            + weight[l] * 0.5 * (inverse[l] - square[l] * inverse[l] * inverse[l])
    });
    for (j, by) in back.u.iter_mut().enumerate() {
        let (mean, through, h) = (back.mean[j], back.through[j], step.h[j]);
        *by = each(|l| share[l] * (warped[l] * mean[l] - 2.0 * through[l]) + by_variance[l] * h[l]);
        back.h[j] = each(|l| by_variance[l] * u[j][l]);
    }
    let noise = lane(&group.noise, t);
    for l in 0..LANES {
        let by_user = surprise[l] * square[l] + by_variance[l] * noise[l];
        let below = 1.0 / (dense.n0 + count[l]);
        back.n0[l] += by_user * (1.0 - user[l]) * below;
        back.surprise[l] += by_user * below;
        group.noise_gradient[t * LANES + l] = by_variance[l] * noise[l] * user[l];
    }
    each(|l| by_expected[l] - by_error[l])
}

/// `out = G u`.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn multiply(matrix: &[Lane], u: &[Lane], out: &mut [Lane]) {
    out.fill(ZERO);
    let mut row = 0;
    for (i, ui) in u.iter().enumerate() {
        let (mut sum, g) = (ZERO, &matrix[row..=row + i]);
        for j in 0..i {
            for l in 0..LANES {
                sum[l] += g[j][l] * u[j][l];
                out[j][l] += g[j][l] * ui[l];
            }
        }
        for l in 0..LANES {
            out[i][l] += sum[l] + g[i][l] * ui[l];
        }
        row += i + 1;
    }
}

/// From the prediction (`by`) to the bag, what attributes say, and the item.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn prediction_back(shape: Shape, group: &mut Group, step: &Step, by: Lane, back: &mut Back) {
    let (at, k, root) = (step.at, shape.item(), step.scalar(ROOT));
    let (bag, prior) = (&step.record[at.bag..at.bag + k], &step.record[at.prior..at.prior + k]);
    let mut by_root = each(|l| by[l] * bag[0][l]);
    for l in 0..LANES {
        back.bag[0][l] += by[l] * root[l];
        back.prior[0][l] += by[l];
    }
    for j in 0..shape.tastes {
        let (q, mean) = (step.record[at.tastes + j], step.record[shape.levels + j]);
        for l in 0..LANES {
            let along = by[l] * q[l];
            by_root[l] += along * bag[1 + j][l];
            back.bag[1 + j][l] += along * root[l];
            back.prior[1 + j][l] += along;
            back.h[shape.levels + j][l] += by[l] * (mean[l] + prior[1 + j][l] + bag[1 + j][l] * root[l]);
        }
    }
    let keep = step.keep;
    for l in 0..LANES {
        back.kappa[l] -= 0.5 * by_root[l] * root[l] * root[l] * root[l];
        back.surprise[l] *= keep[l];
    }
    for j in 0..k {
        for l in 0..LANES {
            group.priors[(step.t * LANES + l) * k + j] = back.prior[j][l];
            back.empty[j][l] += (1.0 - keep[l]) * back.bag[j][l];
            back.prior[j][l] *= keep[l];
            back.bag[j][l] *= keep[l];
        }
    }
}

/// From `u` and the covariance after the step to `h`, the drift and the covariance before it.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn covariance_back(shape: Shape, dense: &Dense, step: &Step, back: &mut Back) {
    let (d, levels, moved) = (shape.state(), shape.levels, step.moved);
    back.drift.fill(ZERO);
    let mut row = 0;
    for i in 0..d {
        let (ui, hi, ai) = (back.u[i], step.h[i], step.a[i]);
        let g = &mut back.covariance[row..=row + i];
        let p = &step.record[step.at.covariance + row..=step.at.covariance + row + i];
        let (mut sum, mut own) = (ZERO, ZERO);
        for j in 0..i {
            let (uj, hj, aj, old) = (back.u[j], step.h[j], step.a[j], g[j]);
            let x = each(|l| moved[l] * old[l] + 0.5 * (ui[l] * hj[l] + hi[l] * uj[l]));
            let level = &mut back.drift[j.min(levels)];
            for l in 0..LANES {
                sum[l] += p[j][l] * uj[l];
                back.h[j][l] += p[j][l] * ui[l];
                let product = x[l] * p[j][l];
                own[l] += product;
                level[l] += product;
            }
            g[j] = each(|l| x[l] * (ai[l] * aj[l]) + (1.0 - moved[l]) * old[l]);
        }
        let old = g[i];
        let x = each(|l| moved[l] * old[l] + ui[l] * hi[l]);
        let prior = prior_variance(shape, dense, i);
        let level = &mut back.drift[i.min(levels)];
        for l in 0..LANES {
            back.h[i][l] += sum[l] + p[i][l] * ui[l];
            level[l] += own[l] + x[l] * (p[i][l] - prior);
        }
        if i < levels {
            for l in 0..LANES {
                back.variances[i][l] += (1.0 - ai[l] * ai[l]) * x[l];
            }
        }
        g[i] = each(|l| x[l] * (ai[l] * ai[l]) + (1.0 - moved[l]) * old[l]);
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
        let (h, a, before, old) = (step.h[j], step.a[j], step.record[j], *mean);
        let x = each(|l| moved[l] * old[l] + by[l] * h[l]);
        let level = &mut back.drift[j.min(shape.levels)];
        for l in 0..LANES {
            level[l] += 0.5 * x[l] * before[l];
        }
        *mean = each(|l| x[l] * a[l] + (1.0 - moved[l]) * old[l]);
    }
    let width = shape.levels + 1;
    for (level, by) in back.drift.iter().enumerate() {
        for l in 0..LANES {
            let place = usize::from(group.gaps[step.t * LANES + l]) * width + level;
            out.drift[place] += 2.0 * by[l] * (1.0 - dense.drift[place]) * step.keep[l];
        }
    }
}
