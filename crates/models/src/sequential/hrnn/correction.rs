//! The learned correction of a rating's error before the state takes it in. Steps of a rating scale are not
//! equally wide, and what a 1 says about a user is not what a 5 says:
//!
//! ```text
//! e' = e + c . tanh(V' (t, t^2, e, S, v, v^2) + b)      t: prediction within the scale, v: rating, both
//!                                                       from the middle; S: the prediction's variance
//! ```

use super::lanes::{Lane, each};
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
    #[allow(clippy::inline_always)] // As `lanes::each`.
    fn all(&self, dense: &Dense) -> [Lane; INPUTS] {
        let (low, high, middle) = scale(dense);
        let t = self.expected.fast_max(low).fast_min(high) - middle;
        let v = self.value - middle;
        [t, t * t, self.error, self.variance, v, v * v]
    }
}

/// Lowest and highest rating, and the middle.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
fn scale(dense: &Dense) -> (Lane, Lane, Lane) {
    (Lane::splat(dense.range.0), Lane::splat(dense.range.1), Lane::splat(MIDDLE))
}

/// One hidden unit.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
fn unit(shape: Shape, dense: &Dense, x: &[Lane; INPUTS], unit: usize) -> Lane {
    let mut sum = Lane::splat(dense.hidden_bias[unit]);
    for (x, weights) in x.iter().zip(dense.hidden.chunks_exact(shape.hidden)) {
        sum += Lane::splat(weights[unit]) * *x;
    }
    let sum = sum.to_array();
    each(|l| tanh(sum[l]))
}

/// `e'`.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
pub(super) fn warped(shape: Shape, dense: &Dense, inputs: &Inputs) -> Lane {
    let x = inputs.all(dense);
    let mut warped = inputs.error;
    for (n, weight) in dense.hidden_out.iter().enumerate() {
        warped += Lane::splat(*weight) * unit(shape, dense, &x, n);
    }
    warped
}

/// The prediction on the bent scale.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
pub(super) fn bent(dense: &Dense, straight: Lane) -> Lane {
    let mut bent = straight;
    for (n, weight) in dense.bend_out.iter().enumerate() {
        bent += Lane::splat(*weight) * bend_unit(dense, straight, n);
    }
    bent
}

/// One unit of the bend.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
fn bend_unit(dense: &Dense, straight: Lane, unit: usize) -> Lane {
    let t = straight - Lane::splat(MIDDLE);
    let sum = (Lane::splat(dense.bend[unit]) * t + Lane::splat(dense.bend_shift[unit])).to_array();
    each(|l| tanh(sum[l]))
}

/// From the gradient by the bent prediction to that by the straight one.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
pub(super) fn bent_back(dense: &Dense, straight: Lane, gradient: Lane, sums: &mut Sums) -> Lane {
    let (t, mut by) = (straight - Lane::splat(MIDDLE), gradient);
    for (n, weight) in dense.bend_out.iter().enumerate() {
        let y = bend_unit(dense, straight, n);
        let slope = gradient * Lane::splat(*weight) * (Lane::ONE - y * y);
        sums.bend_out[n] += gradient * y;
        sums.bend_shift[n] += slope;
        sums.bend[n] += slope * t;
        by += slope * Lane::splat(dense.bend[n]);
    }
    by
}

/// The bent prediction of one rating.
pub(super) fn bent_one(dense: &Dense, straight: f32) -> f32 {
    if dense.bend.is_empty() { straight } else { bent(dense, Lane::splat(straight)).to_array()[0] }
}

/// Gradients of the correction's weights, summed over steps.
pub(super) struct Sums {
    pub hidden: Vec<Lane>,
    pub bias: Vec<Lane>,
    pub out: Vec<Lane>,
    pub bend: Vec<Lane>,
    pub bend_shift: Vec<Lane>,
    pub bend_out: Vec<Lane>,
}

impl Sums {
    pub fn new(shape: Shape) -> Self {
        let zeros = |n: usize| vec![Lane::ZERO; n];
        Self {
            hidden: zeros(INPUTS * shape.hidden),
            bias: zeros(shape.hidden),
            out: zeros(shape.hidden),
            bend: zeros(shape.bend),
            bend_shift: zeros(shape.bend),
            bend_out: zeros(shape.bend),
        }
    }
}

/// From the gradient of `e'` to those of the prediction, the error (in `e'` beside the prediction) and the
/// variance.
#[inline(always)]
#[allow(clippy::inline_always)] // As `lanes::each`.
pub(super) fn back(
    shape: Shape,
    dense: &Dense,
    inputs: &Inputs,
    gradient: Lane,
    sums: &mut Sums,
) -> (Lane, Lane, Lane) {
    let x = inputs.all(dense);
    let mut by = [Lane::ZERO; INPUTS];
    for (n, weight) in dense.hidden_out.iter().enumerate() {
        let y = unit(shape, dense, &x, n);
        let slope = gradient * Lane::splat(*weight) * (Lane::ONE - y * y);
        sums.out[n] += gradient * y;
        sums.bias[n] += slope;
        for input in 0..INPUTS {
            let place = input * shape.hidden + n;
            by[input] += Lane::splat(dense.hidden[place]) * slope;
            sums.hidden[place] += x[input] * slope;
        }
    }
    let (low, high, _) = scale(dense);
    let inside = inputs.expected.simd_gt(low) & inputs.expected.simd_lt(high);
    let expected = inside.select(by[0] + (x[0] + x[0]) * by[1], Lane::ZERO);
    (expected, gradient + by[2], by[3])
}

/// `e'` of one rating: the prediction, its error, its variance and the rating.
pub(super) fn warped_one(shape: Shape, dense: &Dense, of: [f32; 4]) -> f32 {
    let [expected, error, variance, value] = of.map(Lane::splat);
    warped(shape, dense, &Inputs { expected, error, variance, value }).to_array()[0]
}
