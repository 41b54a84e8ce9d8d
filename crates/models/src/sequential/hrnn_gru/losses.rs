//! Losses of one next item among others, and their slopes.
//!
//! `r_i` is the next item's score, `r_j` those of the other items, `s_j` the softmax over the others alone:
//!
//! ```text
//! softmax    -ln( e^r_i / (e^r_i + sum_j e^r_j) )
//! top1-max   sum_j s_j ( sigmoid(r_j - r_i) + sigmoid(r_j^2) )
//! bpr-max    -ln( sum_j s_j sigmoid(r_i - r_j) ) + penalty sum_j s_j r_j^2
//! ```
//!
//! The last two are those of Hidasi and Karatzoglou 2018, *Recurrent Neural Networks with Top-k Gains for
//! Session-based Recommendations*, equations 7 and 10.

use super::Loss;
use crate::engine::sequence::{sigmoids, softmax};

/// Score of an excluded item: the next item itself among the others.
pub(super) const OUT: f32 = -1e9;

/// Keeps a logarithm's argument above 0.
const LEAST: f32 = 1e-24;

/// The loss of one entry; `others` become its slopes by their scores, and the slope by `own` is returned
/// with it. `spare` is a buffer.
pub(super) fn loss(
    kind: Loss,
    penalty: f32,
    own: f32,
    others: &mut [f32],
    spare: &mut Vec<f32>,
) -> (f32, f32) {
    match kind {
        Loss::Softmax => {
            let (highest, sum) = softmax(others, own);
            let first = (own - highest).exp();
            let share = first / (first + sum);
            others.iter_mut().for_each(|p| *p /= first + sum);
            (highest - own + (first + sum).ln(), share - 1.0)
        }
        Loss::Top1Max => {
            let (scores, inner, square) = parts(others, spare);
            inner.iter_mut().zip(&*scores).for_each(|(out, r)| *out = r - own);
            square.iter_mut().zip(&*scores).for_each(|(out, r)| *out = r * r);
            sigmoids(inner);
            sigmoids(square);
            let loss: f32 =
                others.iter().zip(inner.iter().zip(&*square)).map(|(s, (a, b))| s * (a + b)).sum();
            let mut slope = 0.0;
            for ((s, r), (a, b)) in others.iter_mut().zip(&*scores).zip(inner.iter().zip(&*square)) {
                slope -= *s * a * (1.0 - a);
                // An excluded score has a share of zero and an infinite square.
                let through = a * (1.0 - a) + 2.0 * r.max(-1e4) * b * (1.0 - b);
                *s *= (a + b - loss) + through;
            }
            (loss, slope)
        }
        Loss::BprMax => {
            let (scores, inner, _) = parts(others, spare);
            inner.iter_mut().zip(&*scores).for_each(|(out, r)| *out = own - r.max(-1e4));
            sigmoids(inner);
            let won: f32 = others.iter().zip(&*inner).map(|(s, a)| s * a).sum::<f32>().max(LEAST);
            let square = |r: f32| r.max(-1e4) * r.max(-1e4);
            let size: f32 = others.iter().zip(&*scores).map(|(s, r)| s * square(*r)).sum();
            let mut slope = 0.0;
            for ((s, r), a) in others.iter_mut().zip(&*scores).zip(&*inner) {
                let through = *s * a * (1.0 - a) / won;
                slope -= through;
                *s = through - *s * (a - won) / won + penalty * *s * (square(*r) - size + 2.0 * r.max(-1e4));
            }
            (-won.ln() + penalty * size, slope)
        }
    }
}

/// Replaces `others` by their softmax; returns their scores, and room for two more numbers each.
fn parts<'a>(others: &mut [f32], spare: &'a mut Vec<f32>) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
    let n = others.len();
    spare.resize(3 * n, 0.0);
    let (scores, rest) = spare.split_at_mut(n);
    let (inner, square) = rest.split_at_mut(n);
    scores.copy_from_slice(others);
    let (_, sum) = softmax(others, OUT);
    others.iter_mut().for_each(|s| *s /= sum.max(LEAST));
    (scores, inner, square)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 3] = [Loss::Softmax, Loss::Top1Max, Loss::BprMax];

    #[test]
    fn two_items_by_hand() {
        // Scores 1 and 0: one other item has all of the softmax over the others.
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let expected = [(1.0 + (-1.0_f32).exp()).ln(), sigmoid(-1.0) + sigmoid(0.0), -sigmoid(1.0).ln()];
        for (kind, expected) in ALL.into_iter().zip(expected) {
            let (found, _) = loss(kind, 0.7, 1.0, &mut [0.0], &mut Vec::new());
            assert!((found - expected).abs() < 1e-6, "{kind:?}: {found} {expected}");
            // The penalty is of the other item's score.
            let (found, _) = loss(kind, 0.7, 2.0, &mut [1.0], &mut Vec::new());
            let expected = match kind {
                Loss::BprMax => expected + 0.7,
                Loss::Top1Max => expected - sigmoid(0.0) + sigmoid(1.0),
                Loss::Softmax => expected,
            };
            assert!((found - expected).abs() < 1e-6, "{kind:?}: {found} {expected}");
        }
    }

    #[test]
    fn slopes_equal_finite_differences_and_what_is_out_stays_out() {
        let scores = [0.4_f32, -0.3, 1.1, OUT, 0.2];
        for kind in ALL {
            let value = |own: f32, others: [f32; 5]| loss(kind, 0.3, own, &mut { others }, &mut Vec::new()).0;
            let mut slopes = scores;
            let (_, own) = loss(kind, 0.3, 0.6, &mut slopes, &mut Vec::new());
            let step = 1e-2;
            let numeric = (value(0.6 + step, scores) - value(0.6 - step, scores)) / (2.0 * step);
            assert!((numeric - own).abs() < 2e-4, "{kind:?}: {numeric} {own}");
            for at in [0, 1, 2, 4] {
                let moved = |by: f32| {
                    let mut moved = scores;
                    moved[at] += by;
                    value(0.6, moved)
                };
                let numeric = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((numeric - slopes[at]).abs() < 2e-4, "{kind:?} {at}: {numeric} {}", slopes[at]);
            }
            assert!(slopes[3].abs() < 1e-20, "{kind:?}");
        }
    }
}
