//! Prunes trials that cannot catch up, by the learning curves of complete trials.

use super::Pruner;
use crate::{History, Trial};

/// Ends a trial that would not reach the best loss even if it still decreased as far as any complete trial
/// did from the same step on, plus a quarter. The performance curve stopping rule (Golovin et al. 2017,
/// *Google Vizier*, 3.2), with decreases of complete trials instead of a regression; it suits slow learners,
/// whose early losses are misleading.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    /// Number of complete trials before any trial is pruned.
    pub startup: usize,
    /// By how much more than any earlier trial a trial may decrease, as a share.
    pub slack: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Self { startup: 3, slack: 0.25 }
    }
}

impl Pruner for Curve {
    fn name(&self) -> &'static str {
        "curve"
    }

    fn prunes(&self, history: &History, trial: &Trial) -> bool {
        let Some(step) = trial.reports.last().map(|r| r.step) else { return false };
        let Some(own) = history.lowest(trial, step) else { return false };
        let (mut complete, mut fall, mut best) = (0, 0.0_f64, f64::INFINITY);
        for (_, own_fall, loss) in history.falls(step) {
            complete += 1;
            fall = fall.max(own_fall);
            best = best.min(loss);
        }
        complete >= self.startup.max(1) && own - (1.0 + self.slack) * fall > best
    }
}
