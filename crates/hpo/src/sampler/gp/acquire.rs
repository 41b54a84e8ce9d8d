//! Maximizes the expected improvement.

use super::features::Features;
use super::surrogate::Surrogate;
use crate::sampler::{Tried, sobol};
use crate::{Space, lbfgs};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Points spread over the space, and points near each of the best trials.
const SPREAD: usize = 384;
const NEAR: usize = 24;
const BEST: usize = 6;
/// Candidates that are improved step by step.
const CLIMBED: usize = 5;
/// Settings with at most this many values are tried value by value, the others by gradient.
const FEW: usize = 12;

/// The untried, feasible point of largest expected improvement that was found; `None` if all were tried.
pub(super) fn best(
    space: &Space,
    features: &Features,
    surrogate: &Surrogate,
    points: &[&[f64]],
    losses: &[f64],
    tried: &Tried,
    rng: &mut ChaCha8Rng,
) -> Option<Vec<f64>> {
    let d = space.len();
    let seed = u64::from(rng.random::<u32>());
    let mut raw: Vec<Vec<f64>> = (0..SPREAD).map(|index| sobol::point(index, d, seed)).collect();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    for index in order.into_iter().take(BEST) {
        for _ in 0..NEAR {
            // The width is drawn over three orders of magnitude.
            let width = 10.0_f64.powf(-3.0 + 2.7 * rng.random::<f64>());
            let share = if rng.random::<bool>() { 1.0 } else { (2.0 / d as f64).max(0.2) };
            raw.push(neighbour(space, points[index], width, share, rng));
        }
    }
    let feasible = |raw: &[f64]| space.feasible(&space.decode(raw));
    raw.retain(|candidate| feasible(candidate));
    let snapped: Vec<Vec<f64>> = raw.iter().map(|candidate| space.snapped(candidate)).collect();
    let embedded: Vec<f64> = snapped.iter().flat_map(|point| features.embed(point)).collect();
    let values = surrogate.log_improvements(&embedded);
    let mut ranked: Vec<usize> = (0..raw.len()).collect();
    ranked.sort_by(|a, b| values[*b].total_cmp(&values[*a]));

    let fits = |raw: &[f64]| !tried.holds(&space.snapped(raw)) && feasible(raw);
    let mut found: Option<(f64, Vec<f64>)> =
        ranked.iter().find(|i| fits(&raw[**i])).map(|i| (values[*i], snapped[*i].clone()));
    for start in ranked.into_iter().take(CLIMBED) {
        let mut candidate = raw[start].clone();
        for _ in 0..2 {
            climb(space, features, surrogate, &mut candidate);
            if !sweep(space, features, surrogate, &mut candidate, &fits) {
                break;
            }
        }
        let point = space.snapped(&candidate);
        let value = surrogate.log_improvements(&features.embed(&point))[0];
        if fits(&candidate) && found.as_ref().is_none_or(|(most, _)| value > *most) {
            found = Some((value, point));
        }
    }
    found.map(|(_, point)| point)
}

/// A point near `point`: this share of the coordinates moved, by this width.
pub(super) fn neighbour(
    space: &Space,
    point: &[f64],
    width: f64,
    share: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let mut moved: Vec<f64> = point.iter().map(|x| if x.is_nan() { rng.random() } else { *x }).collect();
    for (index, parameter) in space.parameters().iter().enumerate() {
        if rng.random::<f64>() > share {
            continue;
        }
        let normal: f64 = StandardNormal.sample(rng);
        let few = parameter.domain.cells().is_some_and(|cells| cells <= FEW);
        // Values without order, or with few values, are drawn again.
        if few && rng.random::<f64>() < 0.3 {
            moved[index] = rng.random();
        } else if !few {
            moved[index] = (moved[index] + width * normal).clamp(0.0, 1.0);
        }
    }
    moved
}

/// Moves numbers uphill, treating whole numbers as continuous.
fn climb(space: &Space, features: &Features, surrogate: &Surrogate, candidate: &mut [f64]) {
    let point = space.snapped(candidate);
    let movable: Vec<(usize, usize)> = space
        .parameters()
        .iter()
        .enumerate()
        .filter(|(index, parameter)| {
            !point[*index].is_nan() && parameter.domain.cells().is_none_or(|cells| cells > FEW)
        })
        .filter_map(|(index, _)| Some((index, features.number_column(index)?)))
        .collect();
    if movable.is_empty() {
        return;
    }
    let mut x = features.embed(&point);
    let mut whole = vec![0.0; x.len()];
    let mut moved: Vec<f64> = movable.iter().map(|(index, _)| candidate[*index]).collect();
    let objective = |values: &[f64], gradient: &mut [f64]| {
        movable.iter().zip(values).for_each(|((_, column), value)| x[*column] = *value);
        let value = surrogate.log_improvement(&x, &mut whole);
        movable.iter().zip(gradient).for_each(|((_, column), g)| *g = -whole[*column]);
        -value
    };
    let bounds = (vec![0.0; moved.len()], vec![1.0; moved.len()]);
    lbfgs::minimize(objective, &mut moved, &bounds.0, &bounds.1, 40, 1e-6);
    let before = candidate.to_vec();
    movable.iter().zip(&moved).for_each(|((index, _), value)| candidate[*index] = *value);
    if !space.feasible(&space.decode(candidate)) {
        candidate.copy_from_slice(&before);
    }
}

/// Tries every value of the settings that have few; returns whether one was better.
fn sweep(
    space: &Space,
    features: &Features,
    surrogate: &Surrogate,
    candidate: &mut [f64],
    fits: &dyn Fn(&[f64]) -> bool,
) -> bool {
    let mut better = false;
    for (index, parameter) in space.parameters().iter().enumerate() {
        if !parameter.domain.cells().is_some_and(|cells| (2..=FEW).contains(&cells))
            || space.snapped(candidate)[index].is_nan()
        {
            continue;
        }
        let with = |place: f64| {
            let mut other = candidate.to_vec();
            other[index] = place;
            other
        };
        let mut tries: Vec<Vec<f64>> = parameter.domain.places().into_iter().map(with).collect();
        tries.retain(|other| fits(other));
        let embedded: Vec<f64> =
            tries.iter().flat_map(|other| features.embed(&space.snapped(other))).collect();
        if embedded.is_empty() {
            continue;
        }
        let values = surrogate.log_improvements(&embedded);
        let most = (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0);
        if space
            .snapped(&tries[most])
            .iter()
            .zip(space.snapped(candidate))
            .any(|(a, b)| a.total_cmp(&b).is_ne())
        {
            candidate.copy_from_slice(&tries[most]);
            better = true;
        }
    }
    better
}
