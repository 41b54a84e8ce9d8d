//! Patience: prunes trials that have stopped improving.

use super::Pruner;
use crate::{History, Trial};

/// Ends a trial that has not improved for this many reports.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Reports without improvement.
    pub reports: usize,
    /// Smallest improvement that counts.
    pub least: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { reports: 5, least: 0.0 }
    }
}

impl Pruner for Patience {
    fn name(&self) -> &'static str {
        "patience"
    }

    fn prunes(&self, history: &History, trial: &Trial) -> bool {
        let (mut best, mut since) = (f64::INFINITY, 0);
        for report in &trial.reports {
            let loss = report.value * history.sign;
            since += 1;
            if loss < best - self.least {
                (best, since) = (loss, 0);
            }
        }
        since >= self.reports.max(1)
    }
}
