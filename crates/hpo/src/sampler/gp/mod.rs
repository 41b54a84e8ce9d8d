//! Bayesian optimization with a Gaussian process.
//!
//! Losses are made normal by a power transform and modelled by a process with a Matérn 5/2 kernel, one length
//! scale per setting, and noise; parameters are those of the largest marginal likelihood under weak priors.
//! The next trial is where the logarithm of the expected improvement (Ament et al. 2023) is largest.
//! Categories have a distance of one to each other, and a setting that does not exist one of its own
//! (`features.rs`), so that mixed and conditional spaces need no special case. Running trials enter with the
//! loss the process expects of them (Ginsbourger et al. 2010). The first trials are spread evenly; where a
//! configuration was enqueued (such as the defaults), half of them are drawn near it.

mod acquire;
mod features;
mod surrogate;
mod warp;

use super::{Sampler, Suggestion, Tried, fresh_draw, sobol};
use crate::{History, Result, Space};
use features::Features;
use rand_chacha::ChaCha8Rng;
use surrogate::Surrogate;

/// How far from a known good configuration the first trials are drawn, in ranges of a setting (a standard
/// deviation).
const NEAR: f64 = 0.1;

/// Bayesian optimization with a Gaussian process.
#[derive(Debug, Clone, Copy)]
pub struct GaussianProcess {
    /// Largest number of trials spread evenly before the process is used; small spaces need fewer.
    pub startup: usize,
    /// Largest number of trials that the process is fitted to: beyond it, the best half and the latest half.
    pub most: usize,
}

impl Default for GaussianProcess {
    fn default() -> Self {
        Self { startup: 10, most: 500 }
    }
}

impl Sampler for GaussianProcess {
    fn name(&self) -> &'static str {
        "gp"
    }

    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion> {
        let tried = Tried::new(history);
        let mut losses = history.losses();
        let startup = self.startup.min(3 + 2 * space.len());
        if losses.len() < startup {
            let number = history.trials.len();
            // An enqueued configuration is known to be good: every other trial is drawn near the best so far.
            let best = losses
                .iter()
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .filter(|_| number % 2 == 1 && history.trials.iter().any(|t| t.enqueued));
            let raw = best.map_or_else(
                || sobol::point(number, space.len(), history.seed),
                |(best, _)| acquire::neighbour(space, best, NEAR, 0.5, rng),
            );
            let point = space.snapped(&raw);
            let fits = space.feasible(&space.decode(&point)) && !tried.holds(&point);
            let point = if fits { point } else { fresh_draw(space, &tried, rng)? };
            return Ok(Suggestion { point, note: Vec::new() });
        }
        if losses.len() > self.most {
            let latest = losses.split_off(losses.len() - self.most / 2);
            losses.sort_by(|a, b| a.1.total_cmp(&b.1));
            losses.truncate(self.most - latest.len());
            losses.extend(latest);
        }
        let features = Features::new(space);
        let (points, losses): (Vec<&[f64]>, Vec<f64>) = losses.into_iter().unzip();
        let targets = warp::normal(&losses);
        // Any worker can read the parameters of the last proposal.
        let before = history
            .trials
            .iter()
            .rev()
            .map(|t| t.note.as_slice())
            .find(|note| note.len() == features.parameters() + 2);
        let surrogate = Surrogate::fit(&features, &points, &targets, before);
        let note = surrogate.parameters().to_vec();
        let surrogate = surrogate.believing(&features, &history.pending());
        let point = match acquire::best(space, &features, &surrogate, &points, &losses, &tried, rng) {
            Some(point) => point,
            None => fresh_draw(space, &tried, rng)?,
        };
        Ok(Suggestion { point, note })
    }
}
