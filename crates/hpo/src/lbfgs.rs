//! Minimization within bounds by projected steps of limited-memory BFGS (Nocedal 1980).

use std::collections::VecDeque;

/// Corrections remembered.
const MEMORY: usize = 8;

/// Moves `x` within `[low, high]` to a lower value of `f`, which writes its gradient; returns the value
/// there.
///
/// Coordinates at a bound that the gradient pushes outward stay fixed; the others take the quasi-Newton
/// step, halved until Armijo's condition holds. A start whose value is not a number stays where it is.
pub(crate) fn minimize(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &mut [f64],
    low: &[f64],
    high: &[f64],
    iterations: usize,
    tolerance: f64,
) -> f64 {
    let d = x.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut gradient, mut next, mut next_gradient) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
    let mut value = f(x, &mut gradient);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    for _ in 0..iterations {
        if !value.is_finite() {
            break;
        }
        let free = |i: usize, x: &[f64], gradient: &[f64]| {
            !((x[i] <= low[i] && gradient[i] > 0.0) || (x[i] >= high[i] && gradient[i] < 0.0))
        };
        let held: Vec<bool> = (0..d).map(|i| !free(i, x, &gradient)).collect();
        let steepest: Vec<f64> = (0..d).map(|i| if held[i] { 0.0 } else { gradient[i] }).collect();
        if steepest.iter().all(|g| g.abs() < 1e-8) {
            break;
        }
        // The two loops over the corrections.
        let mut direction = steepest.clone();
        let mut shares = Vec::with_capacity(pairs.len());
        for (step, change) in pairs.iter().rev() {
            let share = dot(step, &direction) / dot(step, change);
            direction.iter_mut().zip(change).for_each(|(d, c)| *d -= share * c);
            shares.push(share);
        }
        if let Some((step, change)) = pairs.back() {
            let scale = dot(step, change) / dot(change, change);
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for ((step, change), share) in pairs.iter().zip(shares.into_iter().rev()) {
            let back = dot(change, &direction) / dot(step, change);
            direction.iter_mut().zip(step).for_each(|(d, s)| *d += (share - back) * s);
        }
        (0..d).filter(|i| held[*i]).for_each(|i| direction[i] = 0.0);
        if dot(&direction, &steepest) <= 0.0 {
            direction.clone_from(&steepest);
            pairs.clear();
        }
        // Without corrections the gradient's length says nothing about the step.
        let length = direction.iter().fold(0.0_f64, |most, d| most.max(d.abs()));
        let mut rate = if pairs.is_empty() { (0.2 / length).min(1.0) } else { 1.0 };
        let mut moved = false;
        for _ in 0..20 {
            for i in 0..d {
                next[i] = (x[i] - rate * direction[i]).clamp(low[i], high[i]);
            }
            let next_value = f(&next, &mut next_gradient);
            let gain: f64 = (0..d).map(|i| steepest[i] * (x[i] - next[i])).sum();
            if next_value.is_finite() && next_value <= value - 1e-4 * gain {
                let step: Vec<f64> = (0..d).map(|i| next[i] - x[i]).collect();
                let change: Vec<f64> = (0..d).map(|i| next_gradient[i] - gradient[i]).collect();
                if dot(&step, &change) > 1e-12 {
                    pairs.push_back((step, change));
                    if pairs.len() > MEMORY {
                        pairs.pop_front();
                    }
                }
                moved = value - next_value > tolerance * value.abs().max(1.0);
                x.copy_from_slice(&next);
                gradient.copy_from_slice(&next_gradient);
                value = next_value;
                break;
            }
            rate *= 0.4;
        }
        if !moved {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrock_within_and_at_bounds() {
        let rosenbrock = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * b * x[0];
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let mut x = [-1.2, 1.0];
        let value = minimize(rosenbrock, &mut x, &[-5.0; 2], &[5.0; 2], 200, 0.0);
        assert!(value < 1e-8 && (x[0] - 1.0).abs() < 1e-3, "{x:?} {value}");
        // With x_0 <= 0.5 the lowest value lies at the bound: x = (0.5, 0.25), f = 0.25.
        let mut x = [-1.2, 1.0];
        let value = minimize(rosenbrock, &mut x, &[-5.0; 2], &[0.5, 5.0], 200, 0.0);
        assert!((value - 0.25).abs() < 1e-6 && x[0] == 0.5, "{x:?} {value}");
    }
}
