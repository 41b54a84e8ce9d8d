//! Importance of settings: functional analysis of variance (Hutter, Hoos and Leyton-Brown 2014).
//!
//! A random forest is fitted to the trials; a setting's importance is the share of the forest's variance over
//! the whole space that its own effect explains, all other settings averaged out.

use crate::seed::sampler_rng;
use crate::{History, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const TREES: usize = 64;

/// The settings with their shares of the variance, largest first; empty for fewer than four trials.
#[must_use]
pub fn importance(space: &Space, history: &History) -> Vec<(String, f64)> {
    let losses = history.losses();
    if losses.len() < 4 {
        return Vec::new();
    }
    // A setting that does not exist is put in the middle: only where it exists can it explain anything.
    let points: Vec<Vec<f64>> = losses
        .iter()
        .map(|(point, _)| point.iter().map(|x| if x.is_nan() { 0.5 } else { *x }).collect())
        .collect();
    let values: Vec<f64> = losses.iter().map(|(_, loss)| *loss).collect();
    let mut sums = vec![0.0; space.len()];
    let mut trees = 0.0;
    for tree in 0..TREES {
        let mut rng = sampler_rng(0x6661_6e6f_7661, tree);
        let rows: Vec<usize> = (0..values.len()).map(|_| rng.random_range(0..values.len())).collect();
        let mut leaves = Vec::new();
        grow(&points, &values, rows, vec![(0.0, 1.0); space.len()], &mut rng, &mut leaves);
        if let Some(shares) = explained(&leaves, space.len()) {
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
            trees += 1.0;
        }
    }
    let names = space.parameters().iter().map(|p| p.name.clone());
    let mut shares: Vec<(String, f64)> =
        names.zip(sums.iter().map(|sum| sum / f64::max(trees, 1.0))).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    shares
}

/// A leaf: its box and its mean.
type Leaf = (Vec<(f64, f64)>, f64);

/// Splits `rows` where the squared error falls most, over a random share of the settings, down to single
/// trials.
fn grow(
    points: &[Vec<f64>],
    values: &[f64],
    rows: Vec<usize>,
    bounds: Vec<(f64, f64)>,
    rng: &mut ChaCha8Rng,
    leaves: &mut Vec<Leaf>,
) {
    let mean = rows.iter().map(|r| values[*r]).sum::<f64>() / rows.len() as f64;
    let mut best: Option<(f64, usize, f64)> = None;
    let d = bounds.len();
    let wanted = (d * 5).div_ceil(6).max(1);
    let mut settings: Vec<usize> = (0..d).collect();
    for taken in 0..wanted {
        let other = rng.random_range(taken..d);
        settings.swap(taken, other);
        let setting = settings[taken];
        let mut sorted: Vec<(f64, f64)> =
            rows.iter().map(|r| (points[*r][setting], values[*r] - mean)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = sorted.iter().map(|(_, v)| v).sum();
        let mut left = 0.0;
        for cut in 1..sorted.len() {
            left += sorted[cut - 1].1;
            if sorted[cut].0 - sorted[cut - 1].0 < 1e-9 {
                continue;
            }
            // What the two means explain of the squared sum.
            let (n_left, n_right) = (cut as f64, (sorted.len() - cut) as f64);
            let gain = left * left / n_left + (total - left).powi(2) / n_right;
            if gain > best.map_or(1e-15, |(gain, _, _)| gain) {
                best = Some((gain, setting, f64::midpoint(sorted[cut].0, sorted[cut - 1].0)));
            }
        }
    }
    let Some((_, setting, cut)) = best else {
        leaves.push((bounds, mean));
        return;
    };
    let (below, above): (Vec<usize>, Vec<usize>) = rows.into_iter().partition(|r| points[*r][setting] < cut);
    for (rows, side) in [(below, (bounds[setting].0, cut)), (above, (cut, bounds[setting].1))] {
        let mut inner = bounds.clone();
        inner[setting] = side;
        grow(points, values, rows, inner, rng, leaves);
    }
}

/// Share of a tree's variance that each setting explains by itself; `None` for a constant tree.
fn explained(leaves: &[Leaf], d: usize) -> Option<Vec<f64>> {
    let volume = |bounds: &[(f64, f64)]| bounds.iter().map(|(low, high)| high - low).product::<f64>();
    let mean: f64 = leaves.iter().map(|(bounds, value)| volume(bounds) * value).sum();
    let variance: f64 = leaves.iter().map(|(bounds, value)| volume(bounds) * (value - mean).powi(2)).sum();
    if variance < 1e-15 {
        return None;
    }
    let share = |setting: usize| {
        let mut edges: Vec<f64> =
            leaves.iter().flat_map(|(bounds, _)| [bounds[setting].0, bounds[setting].1]).collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let piece = |ends: &[f64]| {
            let within = leaves
                .iter()
                .filter(|(bounds, _)| bounds[setting].0 <= ends[0] && ends[1] <= bounds[setting].1);
            let marginal: f64 = within
                .map(|(bounds, value)| value * volume(bounds) / (bounds[setting].1 - bounds[setting].0))
                .sum();
            (ends[1] - ends[0]) * (marginal - mean).powi(2)
        };
        edges.windows(2).map(piece).sum::<f64>() / variance
    };
    Some((0..d).map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        // Two leaves along the first of two settings: it explains all.
        let leaves = vec![(vec![(0.0, 0.5), (0.0, 1.0)], 1.0), (vec![(0.5, 1.0), (0.0, 1.0)], 3.0)];
        assert_eq!(explained(&leaves, 2).unwrap(), [1.0, 0.0]);
        // The second splits the upper half: mean 1.75, variance 0.75 * 0.75^2 + 0.25 * 2.25^2 = 1.6875; the
        // halves of either setting have means 1 and 2.5, 0.75 from the mean.
        let leaves = vec![
            (vec![(0.0, 0.5), (0.0, 1.0)], 1.0),
            (vec![(0.5, 1.0), (0.0, 0.5)], 1.0),
            (vec![(0.5, 1.0), (0.5, 1.0)], 4.0),
        ];
        let shares = explained(&leaves, 2).unwrap();
        assert!(
            (shares[0] - 0.5625 / 1.6875).abs() < 1e-12 && (shares[1] - 0.5625 / 1.6875).abs() < 1e-12,
            "{shares:?}"
        );
    }
}
