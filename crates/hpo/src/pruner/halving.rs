//! Asynchronous successive halving (ASHA, Li et al. 2020) and its brackets (Hyperband, Li et al. 2018).

use super::{Pruner, others};
use crate::{History, Trial, trial_seed};

/// At rungs of `first`, `first eta`, `first eta^2`, ... steps a trial continues if it is among the best `1
/// / eta` of all trials that reached it. No trial waits for others: the first `eta - 1` trials at a rung
/// continue.
#[derive(Debug, Clone, Copy)]
pub struct SuccessiveHalving {
    /// Steps at the first rung.
    pub first: u64,
    /// One in this many trials continues.
    pub eta: u64,
}

impl Default for SuccessiveHalving {
    fn default() -> Self {
        Self { first: 2, eta: 3 }
    }
}

impl SuccessiveHalving {
    /// Whether `trial` is not among the best at its rung, compared with the trials that `mine` accepts.
    fn falls(&self, history: &History, trial: &Trial, mine: impl Fn(usize) -> bool) -> bool {
        let Some(now) = trial.reports.last().map(|r| r.step) else { return false };
        let before = trial.reports.len().checked_sub(2).map_or(0, |at| trial.reports[at].step);
        // The rungs that the last report passed; usually none or one.
        let mut rung = self.first.max(1);
        while rung <= now {
            if rung > before {
                let own = history.lowest(trial, rung.max(now));
                let mut losses: Vec<f64> = others(history, trial, rung)
                    .filter(|t| mine(t.number))
                    .filter_map(|t| history.lowest(t, rung))
                    .collect();
                losses.extend(own);
                losses.sort_unstable_by(f64::total_cmp);
                let promoted = losses.len() / self.eta.max(2) as usize;
                // Fewer than eta trials are too few to compare.
                if promoted > 0 && own.is_some_and(|own| own > losses[promoted - 1]) {
                    return true;
                }
            }
            rung = rung.saturating_mul(self.eta.max(2));
        }
        false
    }
}

impl Pruner for SuccessiveHalving {
    fn name(&self) -> &'static str {
        "asha"
    }

    fn prunes(&self, history: &History, trial: &Trial) -> bool {
        self.falls(history, trial, |_| true)
    }
}

/// Several successive halvings whose first rungs are `eta` times apart, for metrics that mislead at first. A
/// trial's number decides its bracket; brackets get about equal work.
#[derive(Debug, Clone, Copy)]
pub struct Hyperband {
    /// The halving with the earliest rung.
    pub halving: SuccessiveHalving,
    /// Number of brackets.
    pub brackets: u32,
}

impl Default for Hyperband {
    fn default() -> Self {
        Self { halving: SuccessiveHalving::default(), brackets: 3 }
    }
}

impl Hyperband {
    /// The bracket of a trial: early rungs get more trials, as these cost less.
    pub(super) fn bracket(&self, number: usize) -> u32 {
        let brackets = self.brackets.max(1);
        let share = |bracket: u32| {
            (self.halving.eta.max(2) as f64).powi((brackets - 1 - bracket) as i32) / f64::from(bracket + 1)
        };
        let total: f64 = (0..brackets).map(share).sum();
        let mut place = (trial_seed(0x6261_6e64, number) >> 11) as f64 / (1_u64 << 53) as f64 * total;
        for bracket in 0..brackets {
            place -= share(bracket);
            if place < 0.0 {
                return bracket;
            }
        }
        brackets - 1
    }
}

impl Pruner for Hyperband {
    fn name(&self) -> &'static str {
        "hyperband"
    }

    fn prunes(&self, history: &History, trial: &Trial) -> bool {
        let bracket = self.bracket(trial.number);
        let halving = SuccessiveHalving {
            first: self.halving.first * self.halving.eta.max(2).pow(bracket),
            ..self.halving
        };
        halving.falls(history, trial, |number| self.bracket(number) == bracket)
    }
}
