//! Median stopping: prunes trials that are worse than half of the others.

use super::{Pruner, others};
use crate::trial::median;
use crate::{History, State, Trial};

/// Ends a trial whose best report is worse than the median of the others' best reports up to the same step
/// (Golovin et al. 2017).
#[derive(Debug, Clone, Copy)]
pub struct Median {
    /// Number of complete trials before any trial is pruned.
    pub startup: usize,
    /// Steps before a trial may be pruned.
    pub warmup: u64,
}

impl Default for Median {
    fn default() -> Self {
        Self { startup: 5, warmup: 1 }
    }
}

impl Pruner for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn prunes(&self, history: &History, trial: &Trial) -> bool {
        let Some(step) = trial.reports.last().map(|r| r.step).filter(|step| *step > self.warmup) else {
            return false;
        };
        if history.trials.iter().filter(|t| t.state == State::Complete).count() < self.startup {
            return false;
        }
        let bests = others(history, trial, step).filter_map(|t| history.lowest(t, step)).collect();
        median(bests).zip(history.lowest(trial, step)).is_some_and(|(middle, own)| own > middle)
    }
}
