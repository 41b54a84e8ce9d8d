//! A trial: one configuration, how far it got and what it came to.

use crate::Configuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a worker: asked for by a person, or given back by a worker that died.
    Waiting,
    /// A worker computes it.
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

/// A value a trial reported on its way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was used so far: epochs, rows, or any other resource, from 1.
    pub step: u64,
    /// The metric then, in the study's own direction.
    pub value: f64,
}

/// One configuration and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its place in the study, from 0.
    pub number: usize,
    /// How it stands.
    pub state: State,
    /// The settings that exist in it.
    pub configuration: Configuration,
    /// What it came to, in the study's own direction.
    pub value: Option<f64>,
    /// What it reported on its way, by rising step: an attempt that went on from a checkpoint adds to what was there.
    pub reports: Vec<Report>,
    /// Seconds it took, in its last attempt.
    pub seconds: f64,
    /// How often a worker began it.
    pub attempts: u32,
    /// Who began it last.
    pub worker: String,
    /// What the sampler wants to remember with it.
    pub note: Vec<f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Trial {
    /// The value at which the trial stands: its own, or its last report's.
    #[must_use]
    pub fn latest(&self) -> Option<f64> {
        self.value.or_else(|| self.reports.last().map(|r| r.value))
    }
}

/// What samplers and pruners see of a study. Losses are to be made small, whatever the study's direction.
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// All trials, by number.
    pub trials: &'a [Trial],
    /// Their configurations as points of the unit cube; inactive settings are NaN.
    pub points: &'a [Vec<f64>],
    /// 1 where values are to be made small, -1 where large.
    pub sign: f64,
    /// The study's seed.
    pub seed: u64,
}

impl History<'_> {
    /// Points and losses of ended trials. A pruned trial counts as far behind the best as its reports were behind
    /// the best reports up to the same step; a failed one as the worst.
    #[must_use]
    pub fn losses(&self) -> Vec<(&[f64], f64)> {
        let complete = || self.trials.iter().filter(|t| t.state == State::Complete).filter_map(|t| t.value.map(|v| v * self.sign));
        let (best, worst) = complete().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        // The lowest loss that any trial had come to at each step.
        let mut front: BTreeMap<u64, f64> = BTreeMap::new();
        for trial in self.trials {
            let mut lowest = f64::INFINITY;
            for report in &trial.reports {
                lowest = lowest.min(report.value * self.sign);
                front.entry(report.step).and_modify(|at| *at = at.min(lowest)).or_insert(lowest);
            }
        }
        let behind = |trial: &Trial| {
            let last = trial.reports.last()?;
            let own = trial.reports.iter().map(|r| r.value * self.sign).fold(f64::INFINITY, f64::min);
            Some(if best.is_finite() { best + (own - front.get(&last.step)?) } else { own })
        };
        let loss = |trial: &Trial| match trial.state {
            State::Complete => trial.value.map(|v| v * self.sign),
            State::Pruned => behind(trial),
            State::Failed => worst.is_finite().then_some(worst),
            State::Waiting | State::Running => None,
        };
        self.trials.iter().zip(self.points).filter_map(|(trial, point)| loss(trial).filter(|l| l.is_finite()).map(|loss| (point.as_slice(), loss))).collect()
    }

    /// Points of trials whose outcome is not known yet.
    #[must_use]
    pub fn pending(&self) -> Vec<&[f64]> {
        self.trials.iter().zip(self.points).filter(|(trial, _)| !trial.state.ended()).map(|(_, point)| point.as_slice()).collect()
    }
}

/// The middle value (the lower one of two); none without values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_by_hand() {
        let trial = |state: State, value: Option<f64>, reports: &[f64]| Trial {
            number: 0,
            state,
            configuration: Configuration::new(),
            value,
            reports: reports.iter().enumerate().map(|(i, v)| Report { step: i as u64 + 1, value: *v }).collect(),
            seconds: 0.0,
            attempts: 1,
            worker: String::new(),
            note: Vec::new(),
            reason: None,
        };
        let trials = [
            trial(State::Complete, Some(0.5), &[0.9, 0.7, 0.5]),
            trial(State::Complete, Some(0.8), &[0.8, 0.8, 0.8]),
            trial(State::Pruned, None, &[1.0, 0.95]),
            trial(State::Failed, None, &[]),
            trial(State::Running, None, &[0.1]),
        ];
        let points = vec![vec![0.5]; 5];
        let losses: Vec<f64> = History { trials: &trials, points: &points, sign: 1.0, seed: 0 }.losses().into_iter().map(|(_, loss)| loss).collect();
        // Of all, 0.1 was the lowest at step 1, 0.7 at step 2: the pruned one was 0.25 behind.
        assert!((losses[2] - 0.75).abs() < 1e-12 && losses[3] == 0.8 && losses.len() == 4, "{losses:?}");
    }
}
