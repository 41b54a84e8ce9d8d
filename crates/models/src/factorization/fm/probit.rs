//! Ordered probit: ratings are levels that a latent score falls between.
//!
//! `z = y(x) + N(0, 1)`, level `k` where `c_{k-1} < z <= c_k` with `c_0 = -inf`, `c_K = +inf`
//! (Albert and Chib 1993). A Gibbs step draws the cutpoints with `z` integrated out, then `z`.
//! Cutpoints live on the whole line as `d_1 = c_1`, `d_k = ln(c_k - c_{k-1})` (Albert and Chib 2001);
//! the proposal is the normal distribution at the mode of their likelihood, found by Newton's
//! method, accepted by Metropolis and Hastings' rule.

use faer::linalg::solvers::{Llt, Solve};
use faer::linalg::triangular_solve;
use faer::{Mat, Par, Side};
use foretaste_data::rng;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Chunks of rows; decides the order of sums.
const CHUNKS: usize = 16;
/// More iterations than Newton's method ever takes from a finite start.
const NEWTON_STEPS: usize = 50;
const ROOT_2: f64 = std::f64::consts::SQRT_2;

/// `Phi(x)`.
pub(super) fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / ROOT_2)
}

/// Density of the standard normal distribution.
pub(super) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// `Phi(b) - Phi(a)`, exact in both tails.
fn between(a: f64, b: f64) -> f64 {
    let p = if a > 0.0 { cdf(-a) - cdf(-b) } else { cdf(b) - cdf(a) };
    p.max(1e-300)
}

/// Cutpoints `c_1 < ... < c_{K-1}` of `K` levels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cutpoints(pub Vec<f64>);

/// Log-likelihood of the cutpoints with its gradient and Hessian (tridiagonal: diagonal and the
/// entries beside it) in the cutpoints.
struct Likelihood {
    value: f64,
    gradient: Vec<f64>,
    diagonal: Vec<f64>,
    beside: Vec<f64>,
}

impl Cutpoints {
    /// Initial cutpoints from the levels' shares, around a score of 0.
    pub fn first(shares: &[f64]) -> Self {
        let mut sum = 0.0;
        let mut cuts: Vec<f64> = Vec::new();
        for share in &shares[..shares.len() - 1] {
            sum += share;
            // Bisection: there is no closed form of Phi's inverse.
            let (mut low, mut high) = (-8.0, 8.0);
            for _ in 0..60 {
                let middle = f64::midpoint(low, high);
                if cdf(middle) < sum { low = middle } else { high = middle }
            }
            cuts.push(low.max(cuts.last().map_or(f64::NEG_INFINITY, |c| c + 1e-3)));
        }
        Self(cuts)
    }

    fn bounds(&self, level: usize) -> (f64, f64) {
        let below = if level == 0 { f64::NEG_INFINITY } else { self.0[level - 1] };
        (below, self.0.get(level).copied().unwrap_or(f64::INFINITY))
    }

    /// Expected value of a rating whose levels have the values `values`, and its slope in the score.
    pub fn expectation(&self, values: &[f32], score: f64) -> (f64, f64) {
        let mut expected = f64::from(*values.last().unwrap_or(&0.0));
        let mut slope = 0.0;
        for (cut, pair) in self.0.iter().zip(values.windows(2)) {
            let step = f64::from(pair[1] - pair[0]);
            expected -= step * cdf(cut - score);
            slope += step * density(cut - score);
        }
        (expected, slope)
    }

    fn likelihood(&self, levels: &[u8], scores: &[f32]) -> Likelihood {
        let n = self.0.len();
        let chunk = levels.len().div_ceil(CHUNKS).max(1);
        let parts: Vec<Likelihood> = levels
            .par_chunks(chunk)
            .zip(scores.par_chunks(chunk))
            .map(|(levels, scores)| {
                let mut sum = Likelihood {
                    value: 0.0,
                    gradient: vec![0.0; n],
                    diagonal: vec![0.0; n],
                    beside: vec![0.0; n],
                };
                for (level, score) in levels.iter().zip(scores) {
                    let level = usize::from(*level);
                    let (below, above) = self.bounds(level);
                    let (a, b) = (below - f64::from(*score), above - f64::from(*score));
                    let p = between(a, b);
                    sum.value += p.ln();
                    let upper = if level < n { density(b) / p } else { 0.0 };
                    let lower = if level > 0 { density(a) / p } else { 0.0 };
                    if level < n {
                        sum.gradient[level] += upper;
                        sum.diagonal[level] -= upper * (b + upper);
                    }
                    if level > 0 {
                        sum.gradient[level - 1] -= lower;
                        sum.diagonal[level - 1] += lower * (a - lower);
                        if level < n {
                            sum.beside[level - 1] += upper * lower;
                        }
                    }
                }
                sum
            })
            .collect();
        let mut total =
            Likelihood { value: 0.0, gradient: vec![0.0; n], diagonal: vec![0.0; n], beside: vec![0.0; n] };
        for part in parts {
            total.value += part.value;
            for (sums, own) in [
                (&mut total.gradient, &part.gradient),
                (&mut total.diagonal, &part.diagonal),
                (&mut total.beside, &part.beside),
            ] {
                sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
        }
        total
    }

    fn free(&self) -> Vec<f64> {
        self.0
            .iter()
            .enumerate()
            .map(|(k, c)| if k == 0 { *c } else { (c - self.0[k - 1]).max(1e-12).ln() })
            .collect()
    }

    fn from_free(free: &[f64]) -> Self {
        let mut cuts: Vec<f64> = Vec::with_capacity(free.len());
        for (k, d) in free.iter().enumerate() {
            cuts.push(if k == 0 { *d } else { cuts[k - 1] + d.exp() });
        }
        Self(cuts)
    }

    /// Gradient and negative Hessian in the free parameters.
    fn curvature(&self, likelihood: &Likelihood) -> (Vec<f64>, Vec<Vec<f64>>) {
        let (n, free) = (self.0.len(), self.free());
        // dc_k / dd_j is 1 for j = 0, exp(d_j) for 0 < j <= k, else 0.
        let step = |j: usize| if j == 0 { 1.0 } else { free[j].exp() };
        let tail = |j: usize| likelihood.gradient[j..].iter().sum::<f64>();
        let gradient: Vec<f64> = (0..n).map(|j| step(j) * tail(j)).collect();
        // Sum of the Hessian's entries with both indices at least (i, j).
        let block = |i: usize, j: usize| {
            let m = i.max(j);
            let mut sum: f64 = likelihood.diagonal[m..].iter().sum::<f64>()
                + 2.0 * likelihood.beside[m..n - 1].iter().sum::<f64>();
            // One entry beside the diagonal reaches over the edge where the indices differ.
            if i != j && m > 0 {
                sum += likelihood.beside[m - 1];
            }
            sum
        };
        let negative = (0..n)
            .map(|i| {
                (0..n)
                    .map(|j| {
                        -(step(i) * step(j) * block(i, j)) - if i == j && i > 0 { gradient[i] } else { 0.0 }
                    })
                    .collect::<Vec<f64>>()
            })
            .collect();
        (gradient, negative)
    }

    /// Draws new cutpoints given levels and scores.
    pub fn draw<R: Rng>(&mut self, levels: &[u8], scores: &[f32], random: &mut R) {
        let old = self.free();
        let mut mode = self.clone();
        let mut at = mode.likelihood(levels, scores);
        let old_value = at.value;
        let (mut factor, mut free) = (None, old.clone());
        for _ in 0..NEWTON_STEPS {
            let (gradient, negative) = mode.curvature(&at);
            let Some(cholesky) = Factor::of(&negative) else { return };
            let step = cholesky.solve(&gradient);
            let decrement: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            free = mode.free();
            factor = Some(cholesky);
            // Converged: the remaining step is a small part of the posterior's deviation.
            if decrement < 1e-3 {
                break;
            }
            let mut scale = 1.0;
            loop {
                let next =
                    Self::from_free(&free.iter().zip(&step).map(|(f, s)| f + scale * s).collect::<Vec<_>>());
                let likelihood = next.likelihood(levels, scores);
                if likelihood.value >= at.value || scale < 1e-3 {
                    (mode, at) = (next, likelihood);
                    break;
                }
                scale *= 0.5;
            }
        }
        let noise: Vec<f64> = (0..free.len()).map(|_| StandardNormal.sample(random)).collect();
        let Some(factor) = factor else { return };
        let shift = factor.solve_transposed(&noise);
        let proposal: Vec<f64> = free.iter().zip(&shift).map(|(f, s)| f + s).collect();
        let drawn = Self::from_free(&proposal);
        let value = drawn.likelihood(levels, scores).value;
        // Log density of the proposal, up to a constant, at the new and the old place.
        let log_q = |place: &[f64]| {
            let distance: Vec<f64> = place.iter().zip(&free).map(|(p, f)| p - f).collect();
            -0.5 * factor.multiply_transposed(&distance).iter().map(|x| x * x).sum::<f64>()
        };
        let accept = (value - log_q(&proposal)) - (old_value - log_q(&old));
        // Eight deviations off the mode a chain has not converged; it would stay there for long,
        // since the proposal's tails are too light. After convergence this never happens.
        let on_its_way = log_q(&old) < -32.0;
        if on_its_way || accept >= 0.0 || random.random_range(0.0_f64..1.0).ln() < accept {
            *self = drawn;
        }
    }

    /// Draws the latent score of every row, less its prediction, into `errors`.
    pub fn draw_latent(
        &self,
        levels: &[u8],
        scores: &[f32],
        errors: &mut [f32],
        seed: u64,
        iteration: usize,
    ) {
        let chunk = levels.len().div_ceil(CHUNKS).max(1);
        errors
            .par_chunks_mut(chunk)
            .zip(levels.par_chunks(chunk).zip(scores.par_chunks(chunk)))
            .enumerate()
            .for_each(|(c, (errors, (levels, scores)))| {
                let mut random = rng(seed, &format!("fm latent {iteration} {c}"));
                for (error, (level, score)) in errors.iter_mut().zip(levels.iter().zip(scores)) {
                    let (below, above) = self.bounds(usize::from(*level));
                    *error =
                        truncated(below - f64::from(*score), above - f64::from(*score), &mut random) as f32;
                }
            });
    }
}

/// A standard normal variate between `a` and `b` (Robert 1995, *Simulation of truncated normal variables*).
fn truncated<R: Rng>(a: f64, b: f64, random: &mut R) -> f64 {
    if b <= 0.0 || (a == f64::NEG_INFINITY && b < 0.5) {
        return -truncated(-b, -a, random);
    }
    if a > 0.5 && b - a > 2.0 / a {
        // A tail: exponential proposals.
        let rate = 0.5 * (a + (a * a + 4.0).sqrt());
        loop {
            let x = a - random.random_range(f64::MIN_POSITIVE..1.0).ln() / rate;
            if x < b && random.random_range(0.0..1.0) < (-0.5 * (x - rate).powi(2)).exp() {
                return x;
            }
        }
    }
    if b - a > 2.5 {
        // Wide and around the middle: the normal distribution itself.
        loop {
            let x: f64 = StandardNormal.sample(random);
            if a < x && x < b {
                return x;
            }
        }
    }
    // Narrow: uniform proposals under the density's highest point within.
    let highest = if a > 0.0 { a } else { 0.0 };
    loop {
        let x = a + (b - a) * random.random_range(0.0..1.0);
        if random.random_range(0.0..1.0) < (0.5 * (highest * highest - x * x)).exp() {
            return x;
        }
    }
}

/// A Cholesky factor `L` of a small matrix.
struct Factor(Llt<f64>);

impl Factor {
    /// `None` for a matrix that is not positive definite.
    fn of(matrix: &[Vec<f64>]) -> Option<Self> {
        let n = matrix.len();
        Mat::from_fn(n, n, |i, j| matrix[i][j]).llt(Side::Lower).ok().map(Self)
    }

    /// `(L L')^-1 b`.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        values(&self.0.solve(column(b)))
    }

    /// `L'^-1 b`.
    fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut x = column(b);
        triangular_solve::solve_upper_triangular_in_place(self.0.L().transpose(), x.as_mut(), Par::Seq);
        values(&x)
    }

    /// `L' b`.
    fn multiply_transposed(&self, b: &[f64]) -> Vec<f64> {
        values(&(self.0.L().transpose() * column(b)))
    }
}

fn column(b: &[f64]) -> Mat<f64> {
    Mat::from_fn(b.len(), 1, |i, _| b[i])
}

fn values(column: &Mat<f64>) -> Vec<f64> {
    (0..column.nrows()).map(|i| column[(i, 0)]).collect()
}

#[cfg(test)]
mod tests;
