//! One user's parameters in one vector, and a pass over the user's ratings.

use super::Settings;
use super::calendar::Moment;
use multiversion::multiversion;

/// Positions of a user's parameters: first those of every user (`b`, its drift, `c`, `p`, drift of
/// `p`), then control points, then for each day `b`, `c` and `p`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub factors: usize,
    /// Control points.
    pub knots: usize,
    /// Whether days have factors.
    pub day_factors: bool,
}

pub(super) const BIAS: usize = 0;
pub(super) const DRIFT: usize = 1;
pub(super) const SCALE: usize = 2;
/// Where `p` begins; its drift follows.
pub(super) const FACTORS: usize = 3;

impl Layout {
    pub fn new(settings: &Settings, knots: usize) -> Self {
        Self { factors: settings.factors, knots, day_factors: settings.day_factors }
    }

    pub fn drift(self) -> usize {
        FACTORS + self.factors
    }

    pub fn knots(self) -> usize {
        FACTORS + 2 * self.factors
    }

    pub fn day_width(self) -> usize {
        2 + if self.day_factors { self.factors } else { 0 }
    }

    /// Positions of a day's `b`, `c` and `p`.
    pub fn day(self, slot: usize) -> usize {
        self.knots() + self.knots + slot * self.day_width()
    }

    pub fn len(self, days: usize) -> usize {
        self.day(days)
    }
}

/// One rating of a user, for a pass.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub item: u32,
    pub bin: u8,
    pub moment: Moment,
    /// Rating less the global mean.
    pub value: f32,
}

/// The items' parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Items {
    pub factors: usize,
    pub bins: usize,
    /// `q`, one row per item.
    pub q: Vec<f32>,
    /// `y`, one row per item; empty without the implicit term.
    pub y: Vec<f32>,
    pub bias: Vec<f32>,
    /// `b_{i,Bin}`, one row per item.
    pub bin_bias: Vec<f32>,
}

impl Items {
    pub fn q(&self, item: u32) -> &[f32] {
        &self.q[item as usize * self.factors..(item as usize + 1) * self.factors]
    }

    /// `|R|^-1/2 sum_{j in R} y_j`.
    pub fn implicit(&self, items: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.factors];
        if self.y.is_empty() {
            return sum;
        }
        let n = items.iter().filter(|i| (**i as usize) < self.bias.len()).count();
        let weight = 1.0 / (n.max(1) as f32).sqrt();
        for item in items {
            let at = *item as usize * self.factors;
            if let Some(row) = self.y.get(at..at + self.factors) {
                sum.iter_mut().zip(row).for_each(|(s, y)| *s += weight * y);
            }
        }
        sum
    }
}

/// A user's changes to the items: a row of `q` and two biases per rating, and one change of the
/// implicit sum.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub squares: f64,
    pub q: Vec<f32>,
    /// Change of the item's bias and of its bin's.
    pub biases: Vec<[f32; 2]>,
    pub implicit: Vec<f32>,
    /// The ratings of these changes, in time order, like `q` and `biases`.
    pub rows: Vec<Row>,
}

/// Step sizes and penalties of one epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub rate: f32,
    pub time_rate: f32,
    pub regularization: f32,
    pub bias_regularization: f32,
    pub time_regularization: f32,
    pub implicit: bool,
    pub linear: bool,
    pub day_bias: bool,
    pub scale: bool,
    pub factor_drift: bool,
    pub day_factors: bool,
    pub bins: bool,
}

/// A rating's prediction less the global mean: the user's vector is written to `user`. `splines` are
/// the control points' weights.
pub(super) fn predict(
    theta: &[f32],
    layout: Layout,
    row: &Row,
    splines: &[f32],
    item: (f32, &[f32]),
    implicit: &[f32],
    user: &mut [f32],
) -> f32 {
    let k = layout.factors;
    let day = row.moment.slot.map(|slot| layout.day(slot as usize));
    let (p, a) = (&theta[FACTORS..FACTORS + k], &theta[layout.drift()..layout.drift() + k]);
    for f in 0..k {
        user[f] = p[f] + implicit[f] + row.moment.dev * a[f];
    }
    let (mut bias, mut scale) = (theta[BIAS] + theta[DRIFT] * row.moment.dev, theta[SCALE]);
    if let Some(day) = day {
        bias += theta[day];
        scale += theta[day + 1];
        if layout.day_factors {
            user.iter_mut().zip(&theta[day + 2..day + 2 + k]).for_each(|(u, d)| *u += d);
        }
    }
    bias += theta[layout.knots()..layout.knots() + layout.knots]
        .iter()
        .zip(splines)
        .map(|(b, w)| b * w)
        .sum::<f32>();
    bias + item.0 * scale + dot(user, item.1)
}

#[inline(always)]
#[allow(clippy::inline_always)] // Only code within `pass` is compiled for the processor at hand.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let ((a16, a_rest), (b16, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (x, y) in a16.iter().zip(b16) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    let s: [f32; 8] = std::array::from_fn(|lane| sums[lane] + sums[lane + 8]);
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) + rest
}

/// A pass over a user's ratings in the order `order`. The user's parameters move with each rating;
/// the items' changes are collected, since other users of the batch use the items unchanged.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
#[allow(clippy::too_many_arguments)] // One caller, which has all of it.
pub(super) fn pass(
    theta: &mut [f32],
    layout: Layout,
    rows: Vec<Row>,
    order: &[u32],
    spline: &dyn Fn(usize) -> Vec<f32>,
    items: &Items,
    step: &Step,
    mut implicit: Vec<f32>,
) -> Asked {
    let k = layout.factors;
    let first = implicit.clone();
    let mut asked = Asked {
        squares: 0.0,
        q: vec![0.0; rows.len() * k],
        biases: vec![[0.0; 2]; rows.len()],
        implicit: Vec::new(),
        rows,
    };
    let mut user = vec![0.0_f32; k];
    let (keep, time_keep) =
        (1.0 - step.rate * step.regularization, 1.0 - step.time_rate * step.time_regularization);
    for at in order {
        let at = *at as usize;
        let row = &asked.rows[at];
        let q = items.q(row.item);
        let bin = row.item as usize * items.bins + usize::from(row.bin);
        let item_bias = items.bias[row.item as usize] + items.bin_bias[bin];
        let splines = if layout.knots > 0 { spline(at) } else { Vec::new() };
        let error = row.value - predict(theta, layout, row, &splines, (item_bias, q), &implicit, &mut user);
        asked.squares += f64::from(error) * f64::from(error);

        let day = row.moment.slot.map(|slot| layout.day(slot as usize));
        let scale = theta[SCALE] + day.map_or(0.0, |day| theta[day + 1]);
        let pull = step.rate * error;
        for ((out, user), q) in asked.q[at * k..(at + 1) * k].iter_mut().zip(&user).zip(q) {
            *out = pull * user - step.rate * step.regularization * q;
        }
        let bias_step = |value: f32, by: f32| step.rate * (error * by - step.bias_regularization * value);
        let time_step =
            |value: f32, by: f32| step.time_rate * (error * by - step.time_regularization * value);
        let bin_step = if step.bins { time_step(items.bin_bias[bin], scale) } else { 0.0 };
        asked.biases[at] = [bias_step(items.bias[row.item as usize], scale), bin_step];

        theta[BIAS] += bias_step(theta[BIAS], 1.0);
        for (p, q) in theta[FACTORS..FACTORS + k].iter_mut().zip(q) {
            *p = *p * keep + pull * q;
        }
        if step.implicit {
            implicit.iter_mut().zip(q).for_each(|(z, q)| *z += pull * q);
        }
        let dev = row.moment.dev;
        if step.linear {
            theta[DRIFT] += time_step(theta[DRIFT], dev);
        }
        if step.factor_drift {
            let pull = step.time_rate * error * dev;
            for (a, q) in theta[layout.drift()..layout.drift() + k].iter_mut().zip(q) {
                *a = *a * time_keep + pull * q;
            }
        }
        for (knot, weight) in theta[layout.knots()..layout.knots() + layout.knots].iter_mut().zip(&splines) {
            *knot += time_step(*knot, *weight);
        }
        if step.scale {
            // c is drawn to 1, its days' to 0.
            theta[SCALE] += bias_step(theta[SCALE] - 1.0, item_bias);
        }
        if let Some(day) = day {
            if step.day_bias {
                theta[day] += time_step(theta[day], 1.0);
            }
            if step.scale {
                theta[day + 1] += time_step(theta[day + 1], item_bias);
            }
            if step.day_factors {
                let pull = step.time_rate * error;
                for (d, q) in theta[day + 2..day + 2 + k].iter_mut().zip(q) {
                    *d = *d * time_keep + pull * q;
                }
            }
        }
    }
    asked.implicit = implicit.iter().zip(&first).map(|(now, before)| now - before).collect();
    asked
}
