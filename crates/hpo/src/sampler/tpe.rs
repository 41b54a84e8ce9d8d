//! Tree-structured Parzen estimators (Bergstra et al. 2011), multivariate and with conditional settings.
//!
//! Good and bad trials each make a density; the proposal is the candidate drawn from the good one with
//! the largest ratio of the two. A density is a mixture of products, one a trial and one for ignorance;
//! a setting that does not exist in a trial counts as unknown in its product.

use super::{Sampler, Suggestion, Tried, fresh_draw};
use crate::normal::{cdf, mass, quantile};
use crate::{Domain, History, Result, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Tree-structured Parzen estimators.
#[derive(Debug, Clone, Copy)]
pub struct Tpe {
    /// Trials drawn at random before the densities are used.
    pub startup: usize,
    /// Candidates per proposal.
    pub candidates: usize,
    /// Share of the trials that count as good.
    pub good: f64,
    /// Largest number of good trials.
    pub most_good: usize,
}

impl Default for Tpe {
    fn default() -> Self {
        Self { startup: 10, candidates: 24, good: 0.1, most_good: 25 }
    }
}

/// The kernel of one coordinate of a trial.
enum Kernel {
    /// A normal within bounds: centre, deviation, and the logarithm of what its density (in cells: its mass)
    /// is divided by.
    Normal(f64, f64, f64),
    /// A choice: its index, and the logarithms of its own and of every other choice's probability.
    Choice(usize, f64, f64),
    /// Unknown: uniform.
    Even,
}

struct Mixture {
    /// Logarithm of each product's weight.
    weights: Vec<f64>,
    /// One kernel per product and setting: `[products x settings]`.
    kernels: Vec<Kernel>,
}

/// What the densities need of a setting.
enum Scale {
    Continuous,
    /// Cells of a discrete setting.
    Cells,
    Choices(usize),
}

impl Tpe {
    fn mixture(scales: &[Scale], trials: &[&[f64]], space: &Space) -> Mixture {
        let (n, d) = (trials.len(), scales.len());
        // Scott's rule for a density in d dimensions, bounded so that few trials do not narrow it.
        let deviation =
            (0.2 * (n.max(1) as f64).powf(-1.0 / (d as f64 + 4.0))).max(1.0 / (1.0 + n as f64).min(100.0));
        // Old trials count less where there are many.
        let ramp = |index: usize| {
            if n <= 25 || index + 25 >= n { 1.0 } else { (index as f64 + 1.0) / (n as f64 - 25.0) }
        };
        let ramp: Vec<f64> = (0..n).map(|i| ramp(i).max(1.0 / n as f64)).chain([1.0]).collect();
        let total: f64 = ramp.iter().sum();
        let mut kernels = Vec::with_capacity((n + 1) * d);
        for trial in trials {
            for (setting, scale) in scales.iter().enumerate() {
                let x = trial[setting];
                kernels.push(match scale {
                    _ if x.is_nan() => Kernel::Even,
                    Scale::Choices(choices) => {
                        let own = (x * *choices as f64) as usize;
                        let smear = 1.0 / (1.0 + n as f64);
                        let other = smear / *choices as f64;
                        Kernel::Choice(own.min(choices - 1), (1.0 - smear + other).ln(), other.ln())
                    }
                    Scale::Continuous | Scale::Cells => {
                        let width = space.parameters()[setting]
                            .domain
                            .cells()
                            .map_or(0.0, |cells| 0.5 / cells as f64);
                        let deviation = deviation.max(width);
                        Kernel::Normal(x, deviation, divisor(x, deviation, width > 0.0))
                    }
                });
            }
        }
        kernels.extend(scales.iter().map(|scale| match scale {
            Scale::Choices(_) => Kernel::Even,
            Scale::Continuous | Scale::Cells => {
                Kernel::Normal(0.5, 1.0, divisor(0.5, 1.0, matches!(scale, Scale::Cells)))
            }
        }));
        Mixture { weights: ramp.iter().map(|w| (w / total).ln()).collect(), kernels }
    }
}

impl Mixture {
    /// A point drawn from one of the products.
    fn draw(&self, scales: &[Scale], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut left: f64 = rng.random();
        let product = self.weights.iter().position(|w| {
            left -= w.exp();
            left <= 0.0
        });
        let product = product.unwrap_or(self.weights.len() - 1);
        let d = scales.len();
        let draw = |(kernel, scale): (&Kernel, &Scale)| match (kernel, scale) {
            (Kernel::Normal(x, s, _), _) => {
                let (low, high) = (cdf(-x / s), cdf((1.0 - x) / s));
                (x + s * quantile(low + rng.random::<f64>() * (high - low))).clamp(0.0, 1.0)
            }
            (Kernel::Choice(own, log_own, log_other), Scale::Choices(choices)) => {
                let chosen = if rng.random::<f64>() < log_own.exp() - log_other.exp() {
                    *own
                } else {
                    rng.random_range(0..*choices)
                };
                (chosen as f64 + 0.5) / *choices as f64
            }
            _ => rng.random(),
        };
        self.kernels[product * d..(product + 1) * d].iter().zip(scales).map(draw).collect()
    }

    /// Logarithm of the density at a snapped point; settings that do not exist are left out.
    fn log_density(&self, scales: &[Scale], point: &[f64], cells: &[Option<(f64, f64)>]) -> f64 {
        let d = scales.len();
        let product = |(index, weight): (usize, &f64)| {
            let mut sum = *weight;
            for setting in 0..d {
                let x = point[setting];
                if x.is_nan() {
                    continue;
                }
                sum += match &self.kernels[index * d + setting] {
                    Kernel::Normal(centre, s, divisor) => match cells[setting] {
                        Some((low, high)) => {
                            mass((low - centre) / s, (high - centre) / s).max(1e-300).ln() - divisor
                        }
                        None => -0.5 * ((x - centre) / s).powi(2) - divisor,
                    },
                    Kernel::Choice(own, log_own, log_other) => match &scales[setting] {
                        Scale::Choices(choices) if (x * *choices as f64) as usize == *own => *log_own,
                        _ => *log_other,
                    },
                    Kernel::Even => match (&scales[setting], cells[setting]) {
                        (Scale::Choices(choices), _) => -(*choices as f64).ln(),
                        (_, Some((low, high))) => (high - low).ln(),
                        _ => 0.0,
                    },
                };
            }
            sum
        };
        log_sum(&self.weights.iter().enumerate().map(product).collect::<Vec<f64>>())
    }
}

/// Logarithm of a normal's mass within (0, 1), and of the root of 2 pi times its deviation where densities
/// are asked.
fn divisor(centre: f64, deviation: f64, cells: bool) -> f64 {
    let within = mass(-centre / deviation, (1.0 - centre) / deviation).ln();
    if cells { within } else { within + (deviation * (2.0 * std::f64::consts::PI).sqrt()).ln() }
}

fn log_sum(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + terms.iter().map(|t| (t - most).exp()).sum::<f64>().ln()
}

impl Sampler for Tpe {
    fn name(&self) -> &'static str {
        "tpe"
    }

    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion> {
        let tried = Tried::new(history);
        let losses = history.losses();
        if losses.len() < self.startup.max(2) {
            return Ok(Suggestion { point: fresh_draw(space, &tried, rng)?, note: Vec::new() });
        }
        // The order among the good ones is that of the trials, for their weights.
        let mut order: Vec<usize> = (0..losses.len()).collect();
        order.sort_by(|a, b| losses[*a].1.total_cmp(&losses[*b].1).then(a.cmp(b)));
        let good = ((self.good * losses.len() as f64).ceil() as usize).clamp(1, self.most_good);
        let mut is_good = vec![false; losses.len()];
        order[..good].iter().for_each(|i| is_good[*i] = true);
        let side = |wanted: bool| {
            losses.iter().zip(&is_good).filter(move |(_, g)| **g == wanted).map(|((point, _), _)| *point)
        };
        let good: Vec<&[f64]> = side(true).collect();
        // Running trials count as bad: their neighbourhood is being explored.
        let bad: Vec<&[f64]> = side(false).chain(history.pending()).collect();
        let scales: Vec<Scale> = space
            .parameters()
            .iter()
            .map(|parameter| match (&parameter.domain, parameter.domain.cells()) {
                (Domain::Categorical(choices), _) => Scale::Choices(choices.len()),
                (_, Some(_)) => Scale::Cells,
                _ => Scale::Continuous,
            })
            .collect();
        let (good, bad) = (Self::mixture(&scales, &good, space), Self::mixture(&scales, &bad, space));
        let mut best: Option<(f64, Vec<f64>)> = None;
        // Constraints and repetitions may refuse many candidates; then a few more are drawn.
        for candidate in 0..self.candidates * 20 {
            if candidate >= self.candidates && best.is_some() {
                break;
            }
            let point = space.snapped(&good.draw(&scales, rng));
            if tried.holds(&point) || !space.feasible(&space.decode(&point)) {
                continue;
            }
            let cells: Vec<Option<(f64, f64)>> = space
                .parameters()
                .iter()
                .zip(&point)
                .map(|(parameter, x)| {
                    if x.is_nan() || parameter.domain.is_categorical() {
                        None
                    } else {
                        parameter.domain.cell(*x)
                    }
                })
                .collect();
            let score = good.log_density(&scales, &point, &cells) - bad.log_density(&scales, &point, &cells);
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, point));
            }
        }
        let point = match best {
            Some((_, point)) => point,
            None => fresh_draw(space, &tried, rng)?,
        };
        Ok(Suggestion { point, note: Vec::new() })
    }
}
