//! The learned correction of a rating's error before the state takes it in. Steps of a rating scale are not
//! equally wide, and what a 1 says about a user is not what a 5 says:
//!
//! ```text
//! e' = e + c . tanh(V' (t, t^2, e, S, v, v^2) + b)      t: prediction within the scale, v: rating, both
//!                                                       from the middle; S: the prediction's variance
//! ```

use super::filter::ZERO;
use super::lanes::{LANES, Lane, each};
use super::{Dense, Shape};
use crate::engine::sequence::kernels::tanh;

/// Inputs of the correction.
pub(super) const INPUTS: usize = 6;

/// The middle of the scale in standard units.
pub(super) const MIDDLE: f32 = 3.5;

/// What the correction sees of a step.
pub(super) struct Inputs {
    pub expected: Lane,
    pub error: Lane,
    pub variance: Lane,
    pub value: Lane,
}

impl Inputs {
    #[inline(always)]
    #[allow(clippy::inline_always)] // As `each`.
    fn all(&self, dense: &Dense) -> [Lane; INPUTS] {
        let t = each(|l| self.expected[l].max(dense.range.0).min(dense.range.1) - MIDDLE);
        let v = each(|l| self.value[l] - MIDDLE);
        [t, each(|l| t[l] * t[l]), self.error, self.variance, v, each(|l| v[l] * v[l])]
    }
}

/// One hidden unit.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
fn unit(shape: Shape, dense: &Dense, x: &[Lane; INPUTS], unit: usize) -> Lane {
    let mut sum = [dense.hidden_bias[unit]; LANES];
    for (x, weights) in x.iter().zip(dense.hidden.chunks_exact(shape.hidden)) {
        for l in 0..LANES {
            sum[l] += weights[unit] * x[l];
        }
    }
    each(|l| tanh(sum[l]))
}

/// `e'`.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn warped(shape: Shape, dense: &Dense, inputs: &Inputs) -> Lane {
    let x = inputs.all(dense);
    let mut warped = inputs.error;
    for (n, weight) in dense.hidden_out.iter().enumerate() {
        let y = unit(shape, dense, &x, n);
        for l in 0..LANES {
            warped[l] += weight * y[l];
        }
    }
    warped
}

/// Gradients of the correction's weights, summed over steps.
pub(super) struct Sums {
    pub hidden: Vec<Lane>,
    pub bias: Vec<Lane>,
    pub out: Vec<Lane>,
}

impl Sums {
    pub fn new(shape: Shape) -> Self {
        let n = shape.hidden;
        Self { hidden: vec![ZERO; INPUTS * n], bias: vec![ZERO; n], out: vec![ZERO; n] }
    }
}

/// From the gradient of `e'` to those of the prediction, the error (in `e'` beside the prediction) and the
/// variance.
#[inline(always)]
#[allow(clippy::inline_always)] // As `each`.
pub(super) fn back(
    shape: Shape,
    dense: &Dense,
    inputs: &Inputs,
    gradient: Lane,
    sums: &mut Sums,
) -> (Lane, Lane, Lane) {
    let x = inputs.all(dense);
    let mut by = [ZERO; INPUTS];
    for (n, weight) in dense.hidden_out.iter().enumerate() {
        let y = unit(shape, dense, &x, n);
        let slope = each(|l| gradient[l] * weight * (1.0 - y[l] * y[l]));
        for l in 0..LANES {
            sums.out[n][l] += gradient[l] * y[l];
            sums.bias[n][l] += slope[l];
        }
        for input in 0..INPUTS {
            let place = input * shape.hidden + n;
            let weight = dense.hidden[place];
            for l in 0..LANES {
                by[input][l] += weight * slope[l];
                sums.hidden[place][l] += x[input][l] * slope[l];
            }
        }
    }
    let (low, high) = dense.range;
    let expected = each(|l| {
        let inside = inputs.expected[l] > low && inputs.expected[l] < high;
        if inside { by[0][l] + 2.0 * x[0][l] * by[1][l] } else { 0.0 }
    });
    (expected, each(|l| gradient[l] + by[2][l]), by[3])
}

/// `e'` of one rating: the prediction, its error, its variance and the rating.
pub(super) fn warped_one(shape: Shape, dense: &Dense, of: [f32; 4]) -> f32 {
    let [expected, error, variance, value] = of.map(|x| [x; LANES]);
    warped(shape, dense, &Inputs { expected, error, variance, value })[0]
}
