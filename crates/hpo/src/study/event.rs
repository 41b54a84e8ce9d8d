//! The events of a study, one JSON object per event.

use crate::{Configuration, State};
use serde::{Deserialize, Serialize};

/// Incremented when the meaning of events changes.
pub(super) const FORMAT: u32 = 1;

/// One event with the name its writer gave it, by which the writer finds it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub id: String,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The first event: what the study is. A worker that differs does not join.
    Created(Identity),
    /// A configuration is enqueued to be tried.
    Enqueued { configuration: Configuration },
    /// A worker begins a trial: the next new one, or one that waits.
    Started { trial: usize, attempt: u32, worker: String, configuration: Configuration, note: Vec<f64> },
    /// A trial reports its progress; a missing value is not a number.
    Reported { trial: usize, attempt: u32, step: u64, value: Option<f64> },
    /// A trial ended for good.
    Ended {
        trial: usize,
        attempt: u32,
        state: State,
        value: Option<f64>,
        seconds: f64,
        reason: Option<String>,
    },
    /// A trial is waiting again: its worker gave it back, or was lost.
    Released { trial: usize, attempt: u32, lost: bool },
}

/// What all workers of a study must agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub format: u32,
    pub version: String,
    #[serde(default)]
    pub task: String,
    pub space: Vec<String>,
    pub direction: super::Direction,
    pub seed: u64,
    pub sampler: String,
    pub pruner: String,
}

impl Identity {
    /// What differs from `other`, in words; `None` if nothing does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        // The version that made it is only informative: the format decides what events mean.
        if self.format != other.format {
            return Some(format!(
                "it has the journal format {} (made by version {}), this version reads {}; use that version, \
                 or begin \
                 another study",
                self.format, self.version, other.format
            ));
        }
        let fields = [
            ("sampler", &self.sampler, &other.sampler),
            ("pruner", &self.pruner, &other.pruner),
            ("seed", &self.seed.to_string(), &other.seed.to_string()),
            (
                "direction",
                &format!("{:?}", self.direction).to_lowercase(),
                &format!("{:?}", other.direction).to_lowercase(),
            ),
        ];
        if let Some((name, theirs, ours)) = fields.iter().find(|(_, theirs, ours)| theirs != ours) {
            return Some(format!(
                "its {name} is {theirs}, not {ours}; give the same, or begin another study"
            ));
        }
        let differs = || {
            self.space
                .iter()
                .chain(&other.space)
                .find(|line| !(self.space.contains(line) && other.space.contains(line)))
        };
        if self.task != other.task {
            return Some(
                "it has another objective (other rows, another metric, or other settings beside those \
                 searched); give the same, or begin another study"
                    .into(),
            );
        }
        (self.space != other.space).then(|| {
            format!(
                "its search space is another one ({}); give the same, or begin another study",
                differs().map_or("in its order", |line| line)
            )
        })
    }
}
