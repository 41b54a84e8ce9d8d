//! Folding in: an update changes a user's parameters while all weights stay, by Bayesian linear regression.
//!
//! Many models predict `r = rest + theta . x`, where `x` is the item's and `theta` the user's. With the
//! prior `theta ~ N(m, diag(v))` over users and noise `s`, one observation is the Kalman step
//!
//! ```text
//! g = C x / (s + x . C x),   theta += g (r - rest - theta . x),   C -= g (C x)'
//! ```
//!
//! (Bishop 2006, *Pattern Recognition and Machine Learning*, section 3.3). Where a user's level drifts,
//! the variance of `theta`'s first component grows by the drift's whenever time passes: a random walk
//! (Kalman 1960), under which old observations count less and less.

use crate::Result;
use crate::engine::tensors::{NamedTensor, Tensors};
use multiversion::multiversion;

/// The spread of trained users, and the error of predictions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Population {
    /// Mean of `theta` over trained users.
    pub mean: Vec<f32>,
    /// Variance of each of its components.
    pub variance: Vec<f32>,
    /// Mean squared training error.
    pub noise: f32,
    /// Which users had training rows.
    pub trained: Vec<bool>,
}

impl Population {
    /// From `theta`'s components by user (`component(user, c)`, `c` below `width`).
    pub fn of(width: usize, trained: Vec<bool>, noise: f32, component: impl Fn(usize, usize) -> f32) -> Self {
        let users = || trained.iter().enumerate().filter(|(_, trained)| **trained).map(|(user, _)| user);
        let n = users().count().max(1) as f64;
        // One user's row at a time, as it is stored.
        let over_users = |f: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0.0; width];
            for user in users() {
                sums.iter_mut().enumerate().for_each(|(c, sum)| *sum += f(c, f64::from(component(user, c))));
            }
            sums.iter_mut().for_each(|sum| *sum /= n);
            sums
        };
        let mean = over_users(&|_, v| v);
        let variance = over_users(&|c, v| (v - mean[c]).powi(2)).into_iter().map(|v| v as f32).collect();
        Self { mean: mean.into_iter().map(|m| m as f32).collect(), variance, noise: noise.max(1e-6), trained }
    }

    /// All of it by name, for a saved model.
    pub fn tensors(&self) -> [NamedTensor; 4] {
        let of = |name: &str, values: Vec<f32>| NamedTensor::new(name, &[values.len()], values);
        [
            of("population_mean", self.mean.clone()),
            of("population_variance", self.variance.clone()),
            of("noise", vec![self.noise]),
            of("trained_users", self.trained.iter().map(|t| f32::from(u8::from(*t))).collect()),
        ]
    }

    /// Restores [`tensors`](Self::tensors), with `width` components per user.
    pub fn restore(width: usize, tensors: &Tensors) -> Result<Self> {
        Ok(Self {
            mean: tensors.values("population_mean", &[Some(width)])?,
            variance: tensors.values("population_variance", &[Some(width)])?,
            noise: tensors.scalar("noise")?,
            trained: tensors.values("trained_users", &[None])?.into_iter().map(|t| t > 0.0).collect(),
        })
    }

    /// Whether `user` had training rows.
    pub fn knows(&self, user: u32) -> bool {
        self.trained.get(user as usize).is_some_and(|t| *t)
    }
}

/// A user's parameters and their uncertainty.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Regression {
    /// The parameters.
    pub theta: Vec<f64>,
    covariance: Option<Vec<f64>>,
}

impl Regression {
    /// Parameters whose covariance is computed at the first observation.
    pub fn new(theta: Vec<f64>) -> Self {
        Self { theta, covariance: None }
    }

    /// Whether the covariance has been computed.
    pub fn is_open(&self) -> bool {
        self.covariance.is_some()
    }

    /// Whether it has `n` parameters.
    pub fn fits(&self, n: usize) -> bool {
        self.theta.len() == n && self.covariance.as_ref().is_none_or(|covariance| covariance.len() == n * n)
    }

    /// Starts from the prior variances and takes in `known` observations without moving `theta`,
    /// which already reflects them. Each observation comes with the drift before it.
    pub fn open(&mut self, variance: &[f32], noise: f64, known: impl Iterator<Item = (Vec<f64>, f64)>) {
        let n = variance.len();
        let mut covariance = vec![0.0; n * n];
        for (i, variance) in variance.iter().enumerate() {
            covariance[i * n + i] = f64::from(*variance);
        }
        known.for_each(|(x, drift)| {
            covariance[0] += drift;
            gain(&mut covariance, &x, noise);
        });
        self.covariance = Some(covariance);
    }

    /// Lets the level's variance grow.
    pub fn drift(&mut self, variance: f64) {
        if let Some(covariance) = &mut self.covariance {
            covariance[0] += variance;
        }
    }

    /// One observation: `residual` is the rating less the part that does not depend on `theta`.
    pub fn observe(&mut self, x: &[f64], residual: f64, noise: f64) {
        let error = residual - dot(&self.theta, x);
        if let Some(covariance) = &mut self.covariance {
            for (theta, gain) in self.theta.iter_mut().zip(gain(covariance, x, noise)) {
                *theta += gain * error;
            }
        }
    }
}

/// Shrinks the covariance by one observation of `x`; returns the gain.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
fn gain(covariance: &mut [f64], x: &[f64], noise: f64) -> Vec<f64> {
    let n = x.len();
    let cx: Vec<f64> = covariance.chunks_exact(n).map(|row| dot(row, x)).collect();
    let scale = 1.0 / (noise + dot(&cx, x));
    for (row, c) in covariance.chunks_exact_mut(n).zip(&cx) {
        for (value, other) in row.iter_mut().zip(&cx) {
            *value -= scale * c * other;
        }
    }
    cx.into_iter().map(|c| c * scale).collect()
}

#[inline]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four independent sums let the processor overlap them; the order is fixed.
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums[0] + sums[1] + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kalman steps give the closed form of ridge regression.
    #[test]
    fn steps_equal_the_closed_form() {
        let (mean, variance, s) = ([0.2, -0.1], [0.5_f32, 2.0], 0.7);
        let (rows, y) = ([[1.0, 0.5], [1.0, -1.0]], [0.9, -0.3]);
        let mut regression = Regression::new(mean.to_vec());
        regression.open(&variance, s, std::iter::empty());
        for (x, y) in rows.iter().zip(y) {
            regression.observe(x, y, s);
        }
        // (D^-1 + X'X / s) theta = D^-1 m + X'y / s.
        let a = [[1.0 / 0.5 + 2.0 / s, (0.5 - 1.0) / s], [(0.5 - 1.0) / s, 1.0 / 2.0 + (0.25 + 1.0) / s]];
        let b = [0.2 / 0.5 + (y[0] + y[1]) / s, -0.1 / 2.0 + (0.5 * y[0] - y[1]) / s];
        let det = a[0][0] * a[1][1] - a[0][1] * a[1][0];
        let theta = [(b[0] * a[1][1] - b[1] * a[0][1]) / det, (a[0][0] * b[1] - a[1][0] * b[0]) / det];
        assert!(
            (regression.theta[0] - theta[0]).abs() < 1e-9 && (regression.theta[1] - theta[1]).abs() < 1e-9,
            "{:?} {theta:?}",
            regression.theta
        );
    }

    /// A level that drifts by as much as an observation took away stays as uncertain, and moves half the way
    /// each time.
    #[test]
    fn a_drifting_level_by_hand() {
        let mut regression = Regression::new(vec![0.0]);
        regression.open(&[1.0], 1.0, std::iter::once((vec![1.0], 0.0)));
        for (rating, level) in [(4.0, 2.0), (4.0, 3.0)] {
            regression.drift(0.5);
            regression.observe(&[1.0], rating, 1.0);
            assert_eq!(regression.theta[0], level);
        }
    }

    #[test]
    fn population_by_hand() {
        let theta = [[1.0, 4.0], [9.0, 9.0], [3.0, 4.0]];
        let population = Population::of(2, vec![true, false, true], 0.0, |user, c| theta[user][c]);
        assert_eq!(
            (population.mean.as_slice(), population.variance.as_slice()),
            ([2.0, 4.0].as_slice(), [1.0, 0.0].as_slice())
        );
        assert!(
            population.knows(0) && !population.knows(1) && !population.knows(9) && population.noise > 0.0
        );
    }
}
