//! A user's factors as a Bayesian linear regression on fixed item factors.
//!
//! With `x_i = (1, Q_i)` and `theta = (b_u, P_u)`: `r_ui - mu - b_i ~ N(theta . x_i, noise)`, prior
//! `theta ~ N(population mean, diag(population variance))`. One observation is the Kalman step
//!
//! ```text
//! g = C x / (noise + x . C x),   theta += g (y - theta . x),   C -= g (C x)'
//! ```
//!
//! (Bishop 2006, *Pattern Recognition and Machine Learning*, section 3.3).

use super::Model;
use crate::UserState;
use foretaste_data::History;

/// How trained users are spread, and how far predictions are off.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Population {
    /// Mean of `(b_u, P_u)` over trained users.
    pub mean: Vec<f32>,
    /// Variance of each of its components.
    pub variance: Vec<f32>,
    /// Mean squared training error.
    pub noise: f32,
    /// Which users had training rows.
    pub trained: Vec<bool>,
}

impl Population {
    pub fn of(user_biases: &[f32], user_factors: &[f32], k: usize, trained: Vec<bool>, noise: f32) -> Self {
        let users = trained.iter().filter(|t| **t).count().max(1) as f64;
        let component = |user: usize, c: usize| f64::from(if c == 0 { user_biases[user] } else { user_factors[user * k + c - 1] });
        let over_users =
            |c: usize, f: &dyn Fn(f64) -> f64| trained.iter().enumerate().filter(|(_, t)| **t).map(|(u, _)| f(component(u, c))).sum::<f64>() / users;
        let mean: Vec<f64> = (0..=k).map(|c| over_users(c, &|v| v)).collect();
        let variance = (0..=k).map(|c| over_users(c, &|v| (v - mean[c]).powi(2)) as f32).collect();
        Self { mean: mean.into_iter().map(|m| m as f32).collect(), variance, noise: noise.max(1e-6), trained }
    }
}

pub(super) struct State<'a> {
    model: &'a Model,
    theta: Vec<f64>,
    /// Items whose ratings `theta` already knows, until the first revealed rating needs the covariance.
    known: Vec<u32>,
    covariance: Option<Vec<f64>>,
}

impl<'a> State<'a> {
    pub fn new(model: &'a Model, user: u32, known: History<'_>) -> Self {
        let widen = |theta: &[f32]| theta.iter().map(|t| f64::from(*t)).collect();
        if let Some(theta) = model.user(user) {
            return Self { model, theta: widen(&theta), known: known.items.to_vec(), covariance: None };
        }
        let mut state = Self { model, theta: widen(&model.population.mean), known: Vec::new(), covariance: None };
        for row in 0..known.len() {
            state.reveal(known.items[row], known.values[row], known.timestamps[row]);
        }
        state
    }

    fn features(&self, item: u32) -> Option<(f64, Vec<f64>)> {
        let (bias, factors) = self.model.item(item)?;
        Some((f64::from(bias), std::iter::once(1.0).chain(factors.iter().map(|f| f64::from(*f))).collect()))
    }

    /// Shrinks the covariance by one observation of `x`; answers the gain.
    fn observe(covariance: &mut [f64], x: &[f64], noise: f64) -> Vec<f64> {
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
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums of their own let the processor overlap them; the order is fixed.
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

impl UserState for State<'_> {
    fn predict(&self, item: u32, _: i64) -> f32 {
        let mean = f64::from(self.model.mean);
        match self.model.item(item) {
            None => (mean + self.theta[0]) as f32,
            Some((bias, factors)) => {
                let product: f64 = self.theta[1..].iter().zip(factors).map(|(t, f)| t * f64::from(*f)).sum();
                (mean + f64::from(bias) + self.theta[0] + product) as f32
            }
        }
    }

    fn reveal(&mut self, item: u32, value: f32, _: i64) {
        let Some((bias, x)) = self.features(item) else { return };
        let noise = f64::from(self.model.population.noise);
        let mut covariance = self.covariance.take().unwrap_or_else(|| {
            let n = x.len();
            let mut covariance = vec![0.0; n * n];
            for (i, variance) in self.model.population.variance.iter().enumerate() {
                covariance[i * n + i] = f64::from(*variance);
            }
            for item in &self.known {
                if let Some((_, x)) = self.features(*item) {
                    Self::observe(&mut covariance, &x, noise);
                }
            }
            covariance
        });
        let error = f64::from(value) - f64::from(self.model.mean) - bias - dot(&self.theta, &x);
        for (theta, gain) in self.theta.iter_mut().zip(Self::observe(&mut covariance, &x, noise)) {
            *theta += gain * error;
        }
        self.covariance = Some(covariance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmf::Settings;

    /// For a new user the Kalman steps end at the ridge regression's closed form.
    #[test]
    fn steps_equal_the_closed_form() {
        let model = Model {
            settings: Settings { factors: 1, ..Settings::default() },
            mean: 3.0,
            user_factors: vec![0.0],
            item_factors: vec![0.5, -1.0],
            user_biases: vec![0.0],
            item_biases: vec![0.1, -0.2],
            population: Population { mean: vec![0.2, -0.1], variance: vec![0.5, 2.0], noise: 0.7, trained: vec![false] },
        };
        let known = History { items: &[0, 1], values: &[4.0, 2.5], timestamps: &[0, 1] };
        let state = State::new(&model, 0, known);
        // (D^-1 + X'X / s) theta = D^-1 m + X'y / s with rows x = (1, 0.5), (1, -1), y = (0.9, -0.3).
        let (s, y) = (0.7, [4.0 - 3.0 - 0.1, 2.5 - 3.0 + 0.2]);
        let a = [[1.0 / 0.5 + 2.0 / s, (0.5 - 1.0) / s], [(0.5 - 1.0) / s, 1.0 / 2.0 + (0.25 + 1.0) / s]];
        let b = [0.2 / 0.5 + (y[0] + y[1]) / s, -0.1 / 2.0 + (0.5 * y[0] - y[1]) / s];
        let det = a[0][0] * a[1][1] - a[0][1] * a[1][0];
        let theta = [(b[0] * a[1][1] - b[1] * a[0][1]) / det, (a[0][0] * b[1] - a[1][0] * b[0]) / det];
        assert!((state.theta[0] - theta[0]).abs() < 1e-6 && (state.theta[1] - theta[1]).abs() < 1e-6, "{:?} {theta:?}", state.theta);
    }
}
