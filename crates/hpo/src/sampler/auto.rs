//! The sampler for who does not want to choose one.

use super::{GaussianProcess, Sampler, Suggestion, Tpe};
use crate::{History, Result, Space};
use rand_chacha::ChaCha8Rng;

/// The Gaussian process while it can be afforded, tree-structured Parzen estimators from then on.
///
/// A Gaussian process uses what few trials there are best; its cost grows with their cube.
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
