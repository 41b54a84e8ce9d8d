//! The Gaussian process: kernel, marginal likelihood and prediction.
//!
//! `k(x, x') = a (1 + s r + s^2 r^2 / 3) exp(-s r)` with `s = sqrt(5)` and `r^2 = sum_p |x_p - x'_p|^2 /
//! l_p^2` (Rasmussen and Williams 2006, eq. 4.17), noise `v` on the diagonal. Parameters are kept as `[log
//! l_1 .. log l_P, log a, log v]`.

use super::features::Features;
use crate::lbfgs;
use crate::normal::{log_improvement, log_improvement_slope};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::{factor, inverse};
use faer::{Mat, Par, Spec};

const ROOT5: f64 = 2.236_067_977_499_79;

/// Bounds of the parameters' logarithms: length scales, amplitude, noise.
const LENGTH: (f64, f64) = (-4.6, 6.0);
const AMPLITUDE: (f64, f64) = (-5.0, 5.0);
const NOISE: (f64, f64) = (-14.0, 0.7);

/// A fitted process.
pub(super) struct Surrogate {
    /// Embedded points: `[n x width]`.
    x: Vec<f64>,
    /// `1 / l^2` of each column.
    weights: Vec<f64>,
    amplitude: f64,
    parameters: Vec<f64>,
    /// `K^-1`, noise within.
    inverse: Mat<f64>,
    /// `K^-1 y`.
    alpha: Vec<f64>,
    targets: Vec<f64>,
    /// The lowest expected loss at a point of the history.
    incumbent: f64,
}

/// Precomputed values for the likelihood.
struct Training<'a> {
    targets: &'a [f64],
    /// Squared distance of each pair `i > j` in each setting: `[settings][pairs]`.
    distances: Vec<Vec<f64>>,
    n: usize,
}

impl Surrogate {
    /// The process of highest posterior density over parameters, from `before` and from fixed starts.
    pub fn fit(features: &Features, points: &[&[f64]], targets: &[f64], before: Option<&[f64]>) -> Self {
        let x: Vec<f64> = points.iter().flat_map(|point| features.embed(point)).collect();
        let (n, width, settings) = (points.len(), features.width(), features.parameters());
        let owners: Vec<usize> = features.owners().collect();
        let mut distances = vec![vec![0.0; n * (n - 1) / 2]; settings];
        for (column, owner) in owners.iter().enumerate() {
            let mut pair = 0;
            for i in 1..n {
                for j in 0..i {
                    distances[*owner][pair] += (x[i * width + column] - x[j * width + column]).powi(2);
                    pair += 1;
                }
            }
        }
        let training = Training { targets, distances, n };
        let low: Vec<f64> = (0..settings).map(|_| LENGTH.0).chain([AMPLITUDE.0, NOISE.0]).collect();
        let high: Vec<f64> = (0..settings).map(|_| LENGTH.1).chain([AMPLITUDE.1, NOISE.1]).collect();
        let start = |length: f64, noise: f64| {
            (0..settings).map(|_| length.ln()).chain([0.0, noise.ln()]).collect::<Vec<f64>>()
        };
        let mut starts: Vec<Vec<f64>> = before.map(<[f64]>::to_vec).into_iter().collect();
        // With many trials the last parameters are close; now and then all starts are tried again.
        if starts.is_empty() || n < 80 || n.is_multiple_of(16) {
            starts.extend([start(0.5, 1e-3), start(0.2 * (settings as f64).sqrt(), 1e-2), start(2.0, 1e-3)]);
        }
        let iterations = if n < 80 { 60 } else { 20 };
        let mut best = (f64::INFINITY, starts[0].clone());
        for mut candidate in starts {
            candidate
                .iter_mut()
                .zip(low.iter().zip(&high))
                .for_each(|(c, (low, high))| *c = c.clamp(*low, *high));
            let value = lbfgs::minimize(
                |p, g| training.negative_log_posterior(p, g),
                &mut candidate,
                &low,
                &high,
                iterations,
                1e-5,
            );
            if value < best.0 {
                best = (value, candidate);
            }
        }
        Self::with(x, &owners, targets.to_vec(), best.1)
    }

    /// The process with given parameters. Noise is raised until the kernel can be inverted.
    fn with(x: Vec<f64>, owners: &[usize], targets: Vec<f64>, mut parameters: Vec<f64>) -> Self {
        let (n, settings) = (targets.len(), parameters.len() - 2);
        let weights: Vec<f64> = owners.iter().map(|owner| (-2.0 * parameters[*owner]).exp()).collect();
        let amplitude = parameters[settings].exp();
        let width = owners.len();
        let distance = |i: usize, j: usize| {
            squared(&x[i * width..(i + 1) * width], &x[j * width..(j + 1) * width], &weights)
        };
        let inverse = loop {
            let noise = parameters[settings + 1].exp();
            let mut k = Mat::from_fn(n, n, |i, j| match i.cmp(&j) {
                std::cmp::Ordering::Equal => amplitude + noise,
                std::cmp::Ordering::Greater => amplitude * matern(distance(i, j)),
                // The upper half is not read.
                std::cmp::Ordering::Less => 0.0,
            });
            if let Some((_, inverse)) = inverted(&mut k) {
                break inverse;
            }
            parameters[settings + 1] += 1.0;
        };
        let alpha: Vec<f64> = (0..n).map(|i| (0..n).map(|j| inverse[(i, j)] * targets[j]).sum()).collect();
        // The expected loss at a point of the history is its target less what the noise takes.
        let noise = parameters[settings + 1].exp();
        let incumbent = (0..n).map(|i| targets[i] - noise * alpha[i]).fold(f64::INFINITY, f64::min);
        Self { x, weights, amplitude, parameters, inverse, alpha, targets, incumbent }
    }

    /// The parameters: `[log l_1 .. log l_P, log a, log v]`.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The same process with `pending` points at the loss it expects of them.
    pub fn believing(self, features: &Features, pending: &[&[f64]]) -> Self {
        if pending.is_empty() {
            return self;
        }
        let owners: Vec<usize> = features.owners().collect();
        let (mut x, mut targets) = (self.x.clone(), self.targets.clone());
        let incumbent = self.incumbent;
        for point in pending {
            let embedded = features.embed(point);
            targets.push(self.predict(&embedded).0);
            x.extend(embedded);
        }
        // A loss that is only expected does not count as the best to improve on.
        Self { incumbent, ..Self::with(x, &owners, targets, self.parameters) }
    }

    fn kernel(&self, x: &[f64]) -> Vec<f64> {
        let width = self.weights.len();
        self.x
            .chunks_exact(width)
            .map(|other| self.amplitude * matern(squared(x, other, &self.weights)))
            .collect()
    }

    /// Mean and variance of the loss, without noise, at an embedded point.
    pub fn predict(&self, x: &[f64]) -> (f64, f64) {
        let k = self.kernel(x);
        let mean = dot(&k, &self.alpha);
        let quadratic: f64 = (0..k.len()).map(|j| k[j] * dot(&k, column(&self.inverse, j))).sum();
        (mean, (self.amplitude - quadratic).max(1e-12 * self.amplitude))
    }

    /// Logarithm of the expected improvement at each of many embedded points (`[m x width]`).
    pub fn log_improvements(&self, points: &[f64]) -> Vec<f64> {
        let (width, n) = (self.weights.len(), self.alpha.len());
        let m = points.len() / width;
        let kernels: Vec<Vec<f64>> = points.chunks_exact(width).map(|x| self.kernel(x)).collect();
        let k = Mat::from_fn(n, m, |i, j| kernels[j][i]);
        let mut product = Mat::zeros(n, m);
        faer::linalg::matmul::matmul(
            product.as_mut(),
            faer::Accum::Replace,
            self.inverse.as_ref(),
            k.as_ref(),
            1.0,
            Par::Seq,
        );
        let value = |(j, k): (usize, &Vec<f64>)| {
            let variance = (self.amplitude - dot(k, column(&product, j))).max(1e-12 * self.amplitude);
            self.improvement(dot(k, &self.alpha), variance)
        };
        kernels.iter().enumerate().map(value).collect()
    }

    fn improvement(&self, mean: f64, variance: f64) -> f64 {
        let deviation = variance.sqrt();
        log_improvement((self.incumbent - mean) / deviation) + deviation.ln()
    }

    /// Logarithm of the expected improvement at an embedded point, and its gradient.
    pub fn log_improvement(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let (width, n) = (self.weights.len(), self.alpha.len());
        let k = self.kernel(x);
        let solved: Vec<f64> = (0..n).map(|j| dot(&k, column(&self.inverse, j))).collect();
        let mean = dot(&k, &self.alpha);
        let variance = (self.amplitude - dot(&k, &solved)).max(1e-12 * self.amplitude);
        let deviation = variance.sqrt();
        let z = (self.incumbent - mean) / deviation;
        // d logEI = h'(z) dz + d log s, with dz = -dm / s - z ds / s and ds = dv / (2 s).
        let slope = log_improvement_slope(z);
        let (by_mean, by_variance) = (-slope / deviation, (1.0 - slope * z) / (2.0 * variance));
        gradient.fill(0.0);
        for i in 0..n {
            let other = &self.x[i * width..(i + 1) * width];
            let r2 = squared(x, other, &self.weights);
            // dk / dx = 2 w (x - x') dk / d(r^2), and dv = -2 (K^-1 k) dk.
            let share = 2.0
                * self.amplitude
                * matern_slope(r2)
                * (by_mean * self.alpha[i] - 2.0 * by_variance * solved[i]);
            for c in 0..width {
                gradient[c] += share * self.weights[c] * (x[c] - other[c]);
            }
        }
        self.improvement(mean, variance)
    }
}

impl Training<'_> {
    /// Negative logarithm of the marginal likelihood and the priors, and its gradient by the parameters.
    fn negative_log_posterior(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let (n, settings) = (self.n, parameters.len() - 2);
        let weights: Vec<f64> = parameters[..settings].iter().map(|l| (-2.0 * l).exp()).collect();
        let (amplitude, noise) = (parameters[settings].exp(), parameters[settings + 1].exp());
        let mut r2 = vec![0.0; n * (n - 1) / 2];
        for (weight, distances) in weights.iter().zip(&self.distances) {
            r2.iter_mut().zip(distances).for_each(|(r, d)| *r += weight * d);
        }
        let mut k = Mat::zeros(n, n);
        let mut slopes = vec![0.0; r2.len()];
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                let r = (5.0 * r2[pair]).sqrt();
                let e = (-r).exp();
                k[(i, j)] = amplitude * (1.0 + r + r * r / 3.0) * e;
                slopes[pair] = -amplitude * 5.0 / 6.0 * (1.0 + r) * e;
                pair += 1;
            }
            k[(i, i)] = amplitude + noise;
        }
        let kernel = k.clone();
        let Some((half_log_determinant, inverse)) = inverted(&mut k) else { return f64::INFINITY };
        let alpha: Vec<f64> = (0..n).map(|i| dot(column(&inverse, i), self.targets)).collect();
        let mut value = 0.5 * dot(&alpha, self.targets) + half_log_determinant;
        // dL / dK = (K^-1 - alpha alpha') / 2; a pair stands for both of its entries.
        gradient.fill(0.0);
        let mut pair = 0;
        let mut by_pair = vec![0.0; r2.len()];
        for i in 0..n {
            let column = column(&inverse, i);
            for j in 0..i {
                let share = column[j] - alpha[i] * alpha[j];
                by_pair[pair] = share * slopes[pair];
                gradient[settings] += share * kernel[(i, j)];
                pair += 1;
            }
            let share = 0.5 * (column[i] - alpha[i] * alpha[i]);
            gradient[settings] += share * amplitude;
            gradient[settings + 1] += share * noise;
        }
        for setting in 0..settings {
            gradient[setting] = -2.0 * weights[setting] * dot(&by_pair, &self.distances[setting]);
        }
        // Priors. Few trials say little about a single setting: without a prior, a setting is soon taken for
        // one that does nothing, and never tried again. So length scales are alike; they grow with the root
        // of the number of settings (Hvarfner et al. 2024), and noise is small.
        let mut prior = |at: usize, from: f64, deviation: f64| {
            value += 0.5 * (from / deviation).powi(2);
            gradient[at] += from / (deviation * deviation);
        };
        let mean = parameters[..settings].iter().sum::<f64>() / settings as f64;
        (0..settings).for_each(|setting| prior(setting, parameters[setting] - mean, 0.4));
        prior(settings, parameters[settings], 1.0);
        prior(settings + 1, parameters[settings + 1] + 8.0, 3.0);
        let from = mean - 0.5 * (settings as f64).ln() + 0.5;
        value += 0.5 * from * from;
        (0..settings).for_each(|setting| gradient[setting] += from / settings as f64);
        value
    }
}

/// Half the logarithm of the determinant, and the whole inverse, of a matrix whose lower half is given; none
/// where it is not positive.
fn inverted(k: &mut Mat<f64>) -> Option<(f64, Mat<f64>)> {
    let n = k.nrows();
    let scratch = factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Spec::default())
        .or(inverse::inverse_scratch::<f64>(n, Par::Seq));
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    factor::cholesky_in_place(
        k.as_mut(),
        factor::LltRegularization::default(),
        Par::Seq,
        stack,
        Spec::default(),
    )
    .ok()?;
    let half = (0..n).map(|i| k[(i, i)].ln()).sum();
    let mut out = Mat::zeros(n, n);
    inverse::inverse(out.as_mut(), k.as_ref(), Par::Seq, stack);
    for i in 0..n {
        for j in 0..i {
            out[(j, i)] = out[(i, j)];
        }
    }
    Some((half, out))
}

fn column(matrix: &Mat<f64>, index: usize) -> &[f64] {
    matrix.col(index).try_as_col_major().map_or(&[], |column| column.as_slice())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut lanes, chunks) = ([0.0; 8], a.chunks_exact(8).zip(b.chunks_exact(8)));
    for (a, b) in chunks {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest = a.len() / 8 * 8;
    lanes.iter().sum::<f64>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum::<f64>()
}

fn squared(a: &[f64], b: &[f64], weights: &[f64]) -> f64 {
    a.iter().zip(b).zip(weights).map(|((a, b), w)| w * (a - b) * (a - b)).sum()
}

/// Matérn 5/2 with amplitude 1 at a squared distance.
fn matern(r2: f64) -> f64 {
    let r = ROOT5 * r2.sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// Its derivative by the squared distance.
fn matern_slope(r2: f64) -> f64 {
    let r = ROOT5 * r2.sqrt();
    -5.0 / 6.0 * (1.0 + r) * (-r).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Space;
    use crate::sampler::test_rng;

    fn example() -> (Space, Vec<Vec<f64>>, Vec<f64>) {
        let space: Space = "a = { type = \"float\", low = 0.0, high = 1.0 }\nb = { type = \"categorical\", \
            choices = [1, 2, 3] }\n\
                            c = { type = \"float\", low = 0.0, high = 1.0, when = { b = 2 } }"
            .parse()
            .unwrap();
        let mut rng = test_rng(5);
        let points: Vec<Vec<f64>> = (0..24).map(|_| space.draw(&mut rng).unwrap()).collect();
        let targets = super::super::warp::normal(
            &points
                .iter()
                .map(|p| (3.0 * p[0]).sin() + p[1] + if p[2].is_nan() { 0.0 } else { p[2] })
                .collect::<Vec<f64>>(),
        );
        (space, points, targets)
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let (space, points, targets) = example();
        let features = Features::new(&space);
        let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
        // With some noise: without, a variance near nothing leaves finite differences nothing but rounding.
        let embedded = points.iter().flat_map(|point| features.embed(point)).collect();
        let owners: Vec<usize> = features.owners().collect();
        let surrogate = Surrogate::with(embedded, &owners, targets.clone(), vec![-0.7, 0.2, 0.4, 0.1, -3.0]);
        let x = features.embed(&[0.37, 0.5, 0.61]);
        let mut gradient = vec![0.0; x.len()];
        let _ = surrogate.log_improvement(&x, &mut gradient);
        for c in 0..x.len() {
            let at = |h: f64| {
                let mut moved = x.clone();
                moved[c] += h;
                surrogate.log_improvements(&moved)[0]
            };
            let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!(
                (numeric - gradient[c]).abs() < 1e-3 * gradient[c].abs().max(1.0),
                "{c}: {numeric} {}",
                gradient[c]
            );
        }
        let (n, settings) = (points.len(), 3);
        let mut distances = vec![vec![0.0; n * (n - 1) / 2]; settings];
        let mut pair = 0;
        for i in 1..n {
            for j in 0..i {
                let (a, b) = (features.embed(points[i]), features.embed(points[j]));
                owners
                    .iter()
                    .enumerate()
                    .for_each(|(c, owner)| distances[*owner][pair] += (a[c] - b[c]).powi(2));
                pair += 1;
            }
        }
        let training = Training { targets: &targets, distances, n };
        let parameters = [-0.5, 0.3, 0.1, 0.2, -3.0];
        let mut gradient = [0.0; 5];
        let _ = training.negative_log_posterior(&parameters, &mut gradient);
        for p in 0..5 {
            let at = |h: f64| {
                let mut moved = parameters;
                moved[p] += h;
                training.negative_log_posterior(&moved, &mut [0.0; 5])
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (numeric - gradient[p]).abs() < 1e-5 * gradient[p].abs().max(1.0),
                "{p}: {numeric} {}",
                gradient[p]
            );
        }
    }

    #[test]
    fn prediction_is_that_of_the_closed_form_for_two_points() {
        let space: Space = "a = { type = \"float\", low = 0.0, high = 1.0 }".parse().unwrap();
        let features = Features::new(&space);
        let surrogate = Surrogate::with(
            vec![0.2, 0.7],
            &features.owners().collect::<Vec<_>>(),
            vec![1.0, -1.0],
            vec![0.5_f64.ln(), 0.0, 0.1_f64.ln()],
        );
        // By hand: k12 = m(0.5 / 0.5), K = [[1.1, k12], [k12, 1.1]], k(0.4) = (m(0.4), m(0.6)) in units of
        // length.
        let m = |r: f64| (1.0 + ROOT5 * r + 5.0 * r * r / 3.0) * (-ROOT5 * r).exp();
        let (k12, ka, kb) = (m(1.0), m(0.4), m(0.6));
        let determinant = 1.1 * 1.1 - k12 * k12;
        let mean = (ka * (1.1 + k12) - kb * (1.1 + k12)) / determinant;
        let variance = 1.0 - (1.1 * ka * ka - 2.0 * k12 * ka * kb + 1.1 * kb * kb) / determinant;
        let (found_mean, found_variance) = surrogate.predict(&[0.4]);
        assert!((found_mean - mean).abs() < 1e-12 && (found_variance - variance).abs() < 1e-12);
    }
}
