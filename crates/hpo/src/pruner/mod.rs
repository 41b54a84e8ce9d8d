//! Pruners: whether a trial is worth going on with.

mod halving;
mod median;
mod patience;
#[cfg(test)]
mod tests;

pub use halving::{Hyperband, SuccessiveHalving};
pub use median::Median;
pub use patience::Patience;

use crate::{History, HpoError, Result, State, Trial};
use std::str::FromStr;

/// Ends trials early. Values are losses here: small is good, whatever the study's direction.
pub trait Pruner: Send + Sync {
    /// Its name in arguments and files.
    fn name(&self) -> &'static str;

    /// Whether `trial` should end after its last report.
    fn prunes(&self, history: &History, trial: &Trial) -> bool;
}

/// Ends nothing.
#[derive(Debug, Clone, Copy)]
pub struct Never;

impl Pruner for Never {
    fn name(&self) -> &'static str {
        "none"
    }

    fn prunes(&self, _: &History, _: &Trial) -> bool {
        false
    }
}

/// The pruners by name.
pub const NAMES: [&str; 5] = ["none", "median", "asha", "hyperband", "patience"];

impl FromStr for Box<dyn Pruner> {
    type Err = HpoError;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "none" => Box::new(Never),
            "median" => Box::new(Median::default()),
            "asha" => Box::new(SuccessiveHalving::default()),
            "hyperband" => Box::new(Hyperband::default()),
            "patience" => Box::new(Patience::default()),
            _ => return Err(HpoError::Usage(format!("unknown pruner {name:?}; known are {}", NAMES.join(", ")))),
        })
    }
}

/// The lowest loss a trial reported up to `step`; none before its first report.
fn lowest(history: &History, trial: &Trial, step: u64) -> Option<f64> {
    let losses = trial.reports.iter().filter(|r| r.step <= step).map(|r| if r.value.is_nan() { f64::INFINITY } else { r.value * history.sign });
    losses.min_by(f64::total_cmp)
}

/// Other trials that reported `step` or went beyond it.
fn others<'a>(history: &History<'a>, trial: &Trial, step: u64) -> impl Iterator<Item = &'a Trial> {
    let number = trial.number;
    let reached = move |t: &&Trial| t.number != number && t.state != State::Failed && t.reports.last().is_some_and(|r| r.step >= step);
    history.trials.iter().filter(reached)
}
