//! A trial: one configuration, its progress and its result.

use crate::Configuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a worker: enqueued by a person, or given back by a worker that died.
    Waiting,
    /// A worker is running it.
    Running,
    /// Ended with a value.
    Complete,
    /// Ended early by the pruner.
    Pruned,
    /// Ended with an error.
    Failed,
}

impl State {
    /// Whether the trial has ended for good.
    #[must_use]
    pub fn ended(self) -> bool {
        matches!(self, Self::Complete | Self::Pruned | Self::Failed)
    }
}

/// An intermediate value that a trial reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was used so far: epochs, rows, or any other resource, from 1.
    pub step: u64,
    /// The metric at that step, in the study's own direction.
    pub value: f64,
}

/// One configuration and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number in the study, from 0.
    pub number: usize,
    /// Its state.
    pub state: State,
    /// Whether a person enqueued it; otherwise the sampler proposed it.
    #[serde(default)]
    pub enqueued: bool,
    /// The settings that exist in it.
    pub configuration: Configuration,
    /// Its result, in the study's own direction.
    pub value: Option<f64>,
    /// Its reports, by rising step: an attempt that resumed from a checkpoint adds to what
    /// was there.
    pub reports: Vec<Report>,
    /// Seconds it took, in its last attempt.
    pub seconds: f64,
    /// How often a worker began it.
    pub attempts: u32,
    /// Who began it last.
    pub worker: String,
    /// What the sampler stores with it.
    pub note: Vec<f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Trial {
    /// The trial's current value: its own, or its last report's.
    #[must_use]
    pub fn latest(&self) -> Option<f64> {
        self.value.or_else(|| self.reports.last().map(|r| r.value))
    }
}

/// What samplers and pruners see of a study. Losses are minimized, whatever the study's direction.
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// All trials, by number.
    pub trials: &'a [Trial],
    /// Their configurations as points of the unit cube; inactive settings are NaN.
    pub points: &'a [Vec<f64>],
    /// 1 if values are minimized, -1 if they are maximized.
    pub sign: f64,
    /// The study's seed.
    pub seed: u64,
}

impl History<'_> {
    /// Points and losses of ended trials. A pruned trial counts by its forecast, but never as better than
    /// the best; a failed one as the worst.
    #[must_use]
    pub fn losses(&self) -> Vec<(&[f64], f64)> {
        let (best, worst) = self
            .complete()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, v)| (low.min(v), high.max(v)));
        // Many trials end at one step: the further decreases of others from there are gathered once.
        let mut falls: BTreeMap<u64, Vec<(usize, f64)>> = BTreeMap::new();
        let mut loss = |trial: &Trial| match trial.state {
            State::Complete => trial.value.map(|v| v * self.sign),
            State::Pruned => self
                .forecast(trial, &mut falls)
                .map(|forecast| if best.is_finite() { forecast.max(best) } else { forecast }),
            State::Failed => worst.is_finite().then_some(worst),
            State::Waiting | State::Running => None,
        };
        self.trials
            .iter()
            .zip(self.points)
            .filter_map(|(trial, point)| {
                loss(trial).filter(|l| l.is_finite()).map(|loss| (point.as_slice(), loss))
            })
            .collect()
    }

    /// Complete trials and their losses.
    fn complete(&self) -> impl Iterator<Item = (&Trial, f64)> {
        self.trials
            .iter()
            .filter(|t| t.state == State::Complete)
            .filter_map(|t| Some((t, t.value? * self.sign)))
    }

    /// The lowest loss that a trial reported up to `step`; `None` before its first report.
    pub(crate) fn lowest(&self, trial: &Trial, step: u64) -> Option<f64> {
        let losses = trial
            .reports
            .iter()
            .filter(|r| r.step <= step)
            .map(|r| if r.value.is_nan() { f64::INFINITY } else { r.value * self.sign });
        losses.min_by(f64::total_cmp)
    }

    /// How far each complete trial still decreased after `step`, with its loss.
    pub(crate) fn falls(&self, step: u64) -> impl Iterator<Item = (&Trial, f64, f64)> {
        self.complete()
            .filter_map(move |(trial, loss)| Some((trial, (self.lowest(trial, step)? - loss).max(0.0), loss)))
    }

    /// The loss that a trial would probably have reached, had it continued: the lowest it reported, less
    /// the further decrease of complete trials from the same step on. Near settings count most (Shepard's
    /// weights): slow learners are compared with slow learners.
    fn forecast(&self, trial: &Trial, falls: &mut BTreeMap<u64, Vec<(usize, f64)>>) -> Option<f64> {
        let step = trial.reports.last()?.step;
        let own = self.lowest(trial, step)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (other, fall) in falls
            .entry(step)
            .or_insert_with(|| self.falls(step).map(|(other, fall, _)| (other.number, fall)).collect())
        {
            let weight = (squared(self.points.get(trial.number)?, self.points.get(*other)?) + 1e-4).powi(-2);
            sum += weight * *fall;
            weights += weight;
        }
        Some(if weights > 0.0 { own - sum / weights } else { own })
    }

    /// Points of trials without an outcome yet.
    #[must_use]
    pub fn pending(&self) -> Vec<&[f64]> {
        self.trials
            .iter()
            .zip(self.points)
            .filter(|(trial, _)| !trial.state.ended())
            .map(|(_, point)| point.as_slice())
            .collect()
    }
}

/// Mean squared difference of two points; a setting that exists in one alone counts as the whole range.
fn squared(a: &[f64], b: &[f64]) -> f64 {
    let one = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
        (false, false) => (a - b) * (a - b),
        (true, true) => 0.0,
        _ => 1.0,
    };
    a.iter().zip(b).map(one).sum::<f64>() / a.len().max(1) as f64
}

/// The median (the lower one of two); `None` without values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_by_hand() {
        let trial = |number: usize, state: State, value: Option<f64>, reports: &[f64]| Trial {
            number,
            state,
            enqueued: false,
            configuration: Configuration::new(),
            value,
            reports: reports
                .iter()
                .enumerate()
                .map(|(i, v)| Report { step: i as u64 + 1, value: *v })
                .collect(),
            seconds: 0.0,
            attempts: 1,
            worker: String::new(),
            note: Vec::new(),
            reason: None,
        };
        let trials = [
            trial(0, State::Complete, Some(0.5), &[0.9, 0.7, 0.5]),
            trial(1, State::Complete, Some(0.8), &[0.8, 0.8, 0.8]),
            trial(2, State::Pruned, None, &[1.0, 0.95]),
            trial(3, State::Failed, None, &[]),
            trial(4, State::Running, None, &[0.1]),
            trial(5, State::Pruned, None, &[0.95, 0.71]),
        ];
        let losses = |points: [f64; 6]| -> Vec<f64> {
            let points = points.map(|x| vec![x]);
            History { trials: &trials, points: &points, sign: 1.0, seed: 0 }
                .losses()
                .into_iter()
                .map(|(_, loss)| loss)
                .collect()
        };
        // After step 2 the first still came down by 0.2, the second by nothing; both are as near to the
        // pruned one.
        let found = losses([0.0, 1.0, 0.5, 0.0, 0.0, 0.0]);
        assert!((found[2] - 0.85).abs() < 1e-12 && found[3] == 0.8 && found.len() == 5, "{found:?}");
        // Where the first stands it counts nearly alone, and what was pruned is never better than the best.
        assert!((found[4] - 0.51).abs() < 1e-6, "{found:?}");
        assert!((losses([0.0, 1.0, 0.0, 0.0, 0.0, 1.0])[2] - 0.75).abs() < 1e-6);
        assert!((losses([0.0, 1.0, 1.0, 0.0, 0.0, 0.0])[2] - 0.95).abs() < 1e-6);
    }
}
