//! The state of a study, as it follows from its events.

use super::event::{Entry, Event, Identity};
use crate::{HpoError, Report, Result, Space, State, Trial};

/// The state of a study.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Number of events read so far, which is the place of the next one.
    pub place: u64,
    /// The study as this worker expects it.
    identity: Identity,
    pub trials: Vec<Trial>,
    /// Configurations as points of the unit cube.
    pub points: Vec<Vec<f64>>,
    /// How often each trial's worker was lost.
    pub lost: Vec<u32>,
}

impl Ledger {
    pub fn new(identity: Identity) -> Self {
        Self { place: 0, identity, trials: Vec::new(), points: Vec::new(), lost: Vec::new() }
    }

    /// The event that begins the study.
    pub fn creation(&self) -> Event {
        Event::Created(self.identity.clone())
    }

    /// Applies the next event; returns its writer's name for it.
    pub fn apply(&mut self, study: &str, space: &Space, text: &str) -> Result<String> {
        let broken = |reason: String| HpoError::Study { study: study.to_owned(), reason };
        let place = self.place;
        let entry: Entry = serde_json::from_str(text).map_err(|e| {
            let help = if place == 0 {
                "it was made by another version, or is no study"
            } else {
                "its journal is damaged"
            };
            broken(format!("event {place} cannot be read ({e}): {help}; begin another study"))
        })?;
        self.place += 1;
        match entry.event {
            // Checked before anything else is read: its configurations may be meaningless here.
            Event::Created(theirs) => match theirs.difference(&self.identity) {
                None => {}
                Some(difference) => return Err(broken(difference)),
            },
            Event::Enqueued { configuration } => {
                self.points.push(space.encode(&configuration)?);
                self.lost.push(0);
                self.trials.push(Trial { enqueued: true, ..new_trial(self.trials.len(), configuration) });
            }
            Event::Started { trial, attempt, worker, configuration, note } => {
                if trial == self.trials.len() {
                    self.points.push(space.encode(&configuration)?);
                    self.lost.push(0);
                    self.trials.push(new_trial(trial, configuration));
                }
                let trial = self
                    .trials
                    .get_mut(trial)
                    .ok_or_else(|| broken(format!("event {place} begins trial {trial} before its turn")))?;
                trial.state = State::Running;
                trial.attempts = attempt;
                trial.worker = worker;
                trial.note = note;
            }
            Event::Reported { trial, attempt, step, value } => {
                if let Some(trial) = self.held_mut(trial, attempt) {
                    // A restarted trial repeats its earlier reports, or continues after them.
                    trial.reports.retain(|r| r.step < step);
                    trial.reports.push(Report { step, value: value.unwrap_or(f64::NAN) });
                }
            }
            Event::Ended { trial, attempt, state, value, seconds, reason } => {
                if let Some(trial) = self.held_mut(trial, attempt) {
                    trial.state = state;
                    trial.value = value;
                    trial.seconds = seconds;
                    trial.reason = reason;
                }
            }
            Event::Released { trial, attempt, lost } => {
                if let Some(held) = self.held_mut(trial, attempt) {
                    held.state = State::Waiting;
                    self.lost[trial] += u32::from(lost);
                }
            }
        }
        Ok(entry.id)
    }

    /// The trial, if this attempt of it is running.
    fn held_mut(&mut self, trial: usize, attempt: u32) -> Option<&mut Trial> {
        self.trials.get_mut(trial).filter(|t| t.state == State::Running && t.attempts == attempt)
    }

    /// The trial, if this attempt of it is running.
    ///
    /// # Errors
    /// [`HpoError::Lost`] if it is not.
    pub fn held(&self, trial: usize, attempt: u32) -> Result<&Trial> {
        let lost = |reason: String| HpoError::Lost { trial, reason };
        let found = self.trials.get(trial).ok_or_else(|| lost("the study does not know it".into()))?;
        match found.state {
            State::Running if found.attempts == attempt => Ok(found),
            State::Running => Err(lost(format!("worker {} restarted it", found.worker))),
            State::Waiting => Err(lost("it was given back".into())),
            State::Complete | State::Pruned | State::Failed => Err(lost("it ended elsewhere".into())),
        }
    }

    /// Number of trials that have ended.
    pub fn ended(&self) -> usize {
        self.trials.iter().filter(|t| t.state.ended()).count()
    }
}

fn new_trial(number: usize, configuration: crate::Configuration) -> Trial {
    Trial {
        number,
        state: State::Waiting,
        enqueued: false,
        configuration,
        value: None,
        reports: Vec::new(),
        seconds: 0.0,
        attempts: 0,
        worker: String::new(),
        note: Vec::new(),
        reason: None,
    }
}
