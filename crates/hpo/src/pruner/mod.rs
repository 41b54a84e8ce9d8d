//! Pruners decide whether a trial is worth continuing.

mod curve;
mod halving;
mod median;
mod patience;
#[cfg(test)]
mod tests;

pub use curve::Curve;
pub use halving::{Hyperband, SuccessiveHalving};
pub use median::Median;
pub use patience::Patience;

use crate::{History, HpoError, Result, State, Trial};
use std::str::FromStr;

/// Ends trials early. Values are losses here: lower is better, whatever the study's direction.
pub trait Pruner: Send + Sync {
    /// Its name in arguments and files.
    fn name(&self) -> &'static str;

    /// Whether `trial` should end after its last report.
    fn prunes(&self, history: &History, trial: &Trial) -> bool;
}

/// Never prunes.
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
pub const NAMES: [&str; 6] = ["none", "curve", "median", "asha", "hyperband", "patience"];

impl FromStr for Box<dyn Pruner> {
    type Err = HpoError;

    /// A name, alone or with whole numbers for its settings: `asha`, `asha:first=1,eta=4`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let mut numbers: Vec<(&str, u64)> = Vec::new();
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let parsed = setting
                .split_once('=')
                .and_then(|(key, value)| Some((key.trim(), value.trim().parse().ok()?)));
            numbers.push(parsed.ok_or_else(|| {
                HpoError::Usage(format!(
                    "pruner {text:?}: write a name and numbers, for example asha:first=1,eta=4"
                ))
            })?);
        }
        let mut number = |key: &str, usual: u64| {
            numbers.iter().position(|(name, _)| *name == key).map_or(usual, |at| numbers.swap_remove(at).1)
        };
        let pruner: Self = match name {
            "none" => Box::new(Never),
            "curve" => Box::new(Curve { startup: number("startup", 3) as usize, ..Curve::default() }),
            "median" => {
                Box::new(Median { startup: number("startup", 5) as usize, warmup: number("warmup", 1) })
            }
            "asha" => {
                let usual = SuccessiveHalving::default();
                Box::new(SuccessiveHalving {
                    first: number("first", usual.first),
                    eta: number("eta", usual.eta),
                })
            }
            "hyperband" => Box::new(Hyperband::default()),
            "patience" => {
                Box::new(Patience { reports: number("reports", 5) as usize, ..Patience::default() })
            }
            _ => {
                return Err(HpoError::Usage(format!(
                    "unknown pruner {name:?}; known are {}",
                    NAMES.join(", ")
                )));
            }
        };
        match numbers.first() {
            None => Ok(pruner),
            Some((key, _)) => Err(HpoError::Usage(format!("pruner {name} has no setting {key:?}"))),
        }
    }
}

/// Other trials that reported `step` or a later one.
fn others<'a>(history: &History<'a>, trial: &Trial, step: u64) -> impl Iterator<Item = &'a Trial> {
    let number = trial.number;
    let reached = move |t: &&Trial| {
        t.number != number && t.state != State::Failed && t.reports.last().is_some_and(|r| r.step >= step)
    };
    history.trials.iter().filter(reached)
}
