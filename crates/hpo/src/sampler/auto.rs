//! The default sampler: chooses a sampler by the number of trials.

use super::{GaussianProcess, Sampler, Suggestion, Tpe};
use crate::{History, Result, Space};
use rand_chacha::ChaCha8Rng;

/// The Gaussian process while its cost is acceptable, then tree-structured Parzen estimators.
///
/// A Gaussian process makes the best use of few trials; its cost grows with the cube of their number.
#[derive(Debug, Clone)]
pub struct Auto {
    /// Trials up to which the Gaussian process proposes.
    pub affordable: usize,
    process: GaussianProcess,
    estimators: Tpe,
}

impl Default for Auto {
    fn default() -> Self {
        Self { affordable: 400, process: GaussianProcess::default(), estimators: Tpe::default() }
    }
}

impl Sampler for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion> {
        let sampler: &dyn Sampler =
            if history.trials.len() < self.affordable { &self.process } else { &self.estimators };
        sampler.suggest(space, history, rng)
    }
}
