//! Hyper-priors: precision of the noise, and mean and precision of each group's parameters.
//!
//! ```text
//! alpha ~ Gamma((a_0 + n) / 2, (b_0 + sum e^2) / 2)
//! lambda_g ~ Gamma((a_0 + p_g + 1) / 2, (b_0 + sum (theta - mu_g)^2 + c_0 (mu_g - mu_0)^2) / 2)
//! mu_g ~ N((sum theta + c_0 mu_0) / (p_g + c_0), 1 / ((p_g + c_0) lambda_g))
//! ```
//!
//! with `a_0 = b_0 = c_0 = 1`, `mu_0 = 0`, shape and rate of the gamma distribution (Freudenthaler,
//! Schmidt-Thieme and Rendle 2011, section 3; Rendle 2012, section 3.3). Features without rows carry
//! no information about their group.

use super::design::Design;
use super::machine::Machine;
use super::sweep::{Prior, Sweeper};
use rand::Rng;
use rand_distr::{Distribution, Gamma, StandardNormal};

/// Priors of all groups in all dimensions: `[(factors + 1) x groups]`, the weights' last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hyper {
    pub groups: usize,
    pub priors: Vec<Prior>,
}

impl Hyper {
    pub fn new(factors: usize, groups: usize, precision: f32, weight_precision: f32) -> Self {
        let prior = |precision| Prior { mean: 0.0, precision };
        let mut priors = vec![prior(precision); factors * groups];
        priors.extend(vec![prior(weight_precision); groups]);
        Self { groups, priors }
    }

    pub fn prior(&self, dimension: usize, group: u32) -> Prior {
        self.priors[dimension * self.groups + group as usize]
    }

    /// Draws every group's prior given the parameters.
    pub fn draw<R: Rng>(&mut self, machine: &Machine, design: &Design, sweeper: &Sweeper, random: &mut R) {
        let width = machine.width();
        for dimension in 0..width {
            // Count, sum and sum of squared distances from the mean of each group's parameters.
            let mut sums = vec![[0.0_f64; 3]; self.groups];
            for (place, block) in design.blocks().iter().enumerate() {
                for (feature, group) in
                    block.groups().iter().enumerate().filter(|(feature, _)| sweeper.occurs(place, *feature))
                {
                    let value = f64::from(machine.tables[place][feature * width + dimension]);
                    let mean = f64::from(self.prior(dimension, *group).mean);
                    let sum = &mut sums[*group as usize];
                    sum[0] += 1.0;
                    sum[1] += value;
                    sum[2] += (value - mean).powi(2);
                }
            }
            for (group, [n, sum, spread]) in sums.into_iter().enumerate() {
                let prior = &mut self.priors[dimension * self.groups + group];
                let mean = f64::from(prior.mean);
                let precision =
                    gamma(f64::midpoint(1.0, n + 1.0), f64::midpoint(1.0, spread + mean * mean), random);
                let noise: f64 = StandardNormal.sample(random);
                prior.mean = (sum / (n + 1.0) + noise / ((n + 1.0) * precision).sqrt()) as f32;
                prior.precision = precision as f32;
            }
        }
    }
}

/// Draws the precision of the noise given the errors.
pub(super) fn draw_alpha<R: Rng>(squares: f64, rows: usize, random: &mut R) -> f32 {
    gamma(f64::midpoint(1.0, rows as f64), f64::midpoint(1.0, squares), random) as f32
}

/// A gamma variate of this shape and rate.
fn gamma<R: Rng>(shape: f64, rate: f64, random: &mut R) -> f64 {
    Gamma::new(shape, 1.0 / rate).map_or(1.0, |gamma| gamma.sample(random).max(1e-12))
}
