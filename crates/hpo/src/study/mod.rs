//! Studies: sequences of trials that build on earlier results, run by one worker or many.

mod event;
mod ledger;
mod run;
#[cfg(test)]
mod tests;
mod workers;

pub use run::{Budget, Halt, Running};

use crate::pruner::{Never, Pruner};
use crate::sampler::{Auto, Sampler, Suggestion};
use crate::seed::sampler_rng;
use crate::storage::{Journal, Memory};
use crate::{Configuration, History, HpoError, Result, Space, State, Trial};
use event::{Entry, Event, Identity};
use ledger::Ledger;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether lower or higher values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Small values.
    #[default]
    Minimize,
    /// Large values.
    Maximize,
}

impl Direction {
    /// 1 where small values are better, -1 where large ones are.
    #[must_use]
    pub fn sign(self) -> f64 {
        match self {
            Self::Minimize => 1.0,
            Self::Maximize => -1.0,
        }
    }
}

/// The settings of a study besides its space.
pub struct StudySettings {
    /// Its name in the storage.
    pub name: String,
    /// A description of the objective: workers with a different description cannot join.
    pub task: String,
    /// Whether lower or higher values are better.
    pub direction: Direction,
    /// Seed of every random choice: trial `k` has a seed that depends on it and `k` alone.
    pub seed: u64,
    /// What proposes trials.
    pub sampler: Box<dyn Sampler>,
    /// What ends trials early.
    pub pruner: Box<dyn Pruner>,
    /// Heartbeat timeout: a worker whose counter stands still while ten of this worker's own heartbeats, one
    /// a tenth of this time, reached the storage is lost, and its trials are given back. An outage of the
    /// storage stops both counters, so that no worker is given up because of it.
    pub grace: Duration,
    /// How often a trial whose worker was lost is restarted before it counts as failed.
    pub retries: u32,
}

impl Default for StudySettings {
    fn default() -> Self {
        Self {
            name: "study".into(),
            task: String::new(),
            direction: Direction::Minimize,
            seed: 0,
            sampler: Box::new(Auto::default()),
            pruner: Box::new(Never),
            grace: Duration::from_secs(30),
            retries: 3,
        }
    }
}

/// One worker's handle on a study. Clones are the same worker.
#[derive(Clone)]
pub struct Study(Arc<Shared>);

struct Shared {
    journal: Arc<dyn Journal>,
    space: Space,
    settings: StudySettings,
    worker: String,
    /// Names of this worker's events.
    written: AtomicU64,
    ledger: Mutex<Ledger>,
    watch: Mutex<workers::Watch>,
    /// Number of this worker's heartbeats that reached the storage.
    beats: AtomicU64,
    /// What this worker could not write, in order.
    unsettled: Mutex<Vec<run::Settlement>>,
}

impl Study {
    /// A study in memory, which lasts as long as the process.
    ///
    /// # Errors
    /// Never in practice: memory takes every event.
    pub fn in_memory(space: Space, settings: StudySettings) -> Result<Self> {
        Self::open(Arc::new(Memory::default()), space, settings)
    }

    /// Creates the study in `journal`, or joins it if it exists.
    ///
    /// # Errors
    /// [`HpoError::Study`] where the study there is of another version, space, seed, direction, sampler or
    /// pruner; [`HpoError::Storage`] if the storage does not respond.
    pub fn open(journal: Arc<dyn Journal>, space: Space, settings: StudySettings) -> Result<Self> {
        let identity = Identity {
            format: event::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            task: settings.task.clone(),
            space: space.lines(),
            direction: settings.direction,
            seed: settings.seed,
            sampler: settings.sampler.name().into(),
            pruner: settings.pruner.name().into(),
        };
        let study = Self(Arc::new(Shared {
            journal,
            space,
            settings,
            worker: workers::name(),
            written: AtomicU64::new(0),
            ledger: Mutex::new(Ledger::new(identity)),
            watch: Mutex::default(),
            beats: AtomicU64::new(0),
            unsettled: Mutex::default(),
        }));
        study.transact(|ledger| Ok((ledger.place == 0).then(|| (ledger.creation(), ()))))?;
        Ok(study)
    }

    /// The study's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.settings.name
    }

    /// This worker's name.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.0.worker
    }

    /// The search space.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.0.space
    }

    /// Whether lower or higher values are better.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.0.settings.direction
    }

    /// All trials as the storage has them now.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    pub fn trials(&self) -> Result<Vec<Trial>> {
        self.looked(|ledger, _| ledger.trials.clone())
    }

    /// The complete trial with the best value, the earliest if several are equal.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    pub fn best(&self) -> Result<Option<Trial>> {
        let sign = self.direction().sign();
        let better = |a: &&Trial, b: &&Trial| {
            (a.value.map(|v| v * sign))
                .partial_cmp(&b.value.map(|v| v * sign))
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        self.looked(|ledger, _| {
            ledger.trials.iter().filter(|t| t.state == State::Complete).min_by(better).cloned()
        })
    }

    /// The settings with the shares of variance they explain ([`importance`](crate::importance::importance)).
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    pub fn importance(&self) -> Result<Vec<(String, f64)>> {
        self.looked(|_, history| crate::importance::importance(&self.0.space, &history))
    }

    /// Enqueues `configuration`, to be tried before any proposal of the sampler; one in the study already is
    /// not added again. The first to be enqueued is trial 0.
    ///
    /// # Errors
    /// [`HpoError::Setting`] for a configuration that the space does not allow; as [`trials`](Self::trials).
    pub fn enqueue(&self, configuration: &Configuration) -> Result<()> {
        self.0.space.check(configuration)?;
        let known = |ledger: &Ledger| ledger.trials.iter().any(|t| t.configuration == *configuration);
        self.transact(|ledger| {
            Ok((!known(ledger)).then(|| (Event::Enqueued { configuration: configuration.clone() }, ())))
        })
        .map(drop)
    }

    /// Begins the next trial: a waiting one, else a new one; `None` if the study has `limit` trials already
    /// (or the sampler is exhausted) and none waits.
    ///
    /// # Errors
    /// [`HpoError::Storage`], and what the sampler meets.
    pub fn ask(&self, limit: Option<usize>) -> Result<Option<Running>> {
        self.settle_again()?;
        self.watch_over();
        let shared = &self.0;
        let mut proposed: Option<(usize, usize, Suggestion)> = None;
        self.transact(|ledger| {
            let start = |trial: usize, attempt: u32, configuration: &Configuration, note: &[f64]| {
                let begun = (trial, attempt, configuration.clone());
                let worker = shared.worker.clone();
                Some((
                    Event::Started {
                        trial,
                        attempt,
                        worker,
                        configuration: configuration.clone(),
                        note: note.to_vec(),
                    },
                    begun,
                ))
            };
            if let Some(waiting) = ledger.trials.iter().find(|t| t.state == State::Waiting) {
                return Ok(start(
                    waiting.number,
                    waiting.attempts + 1,
                    &waiting.configuration,
                    &waiting.note,
                ));
            }
            let number = ledger.trials.len();
            let most =
                shared.settings.sampler.limit(&shared.space, &self.history(ledger)).unwrap_or(usize::MAX);
            if number >= limit.unwrap_or(usize::MAX).min(most) {
                return Ok(None);
            }
            // Reports of other trials in the meantime are no reason to decide again.
            let now = (number, ledger.ended());
            if proposed.as_ref().is_none_or(|(number, ended, _)| (*number, *ended) != now) {
                let suggestion = shared.settings.sampler.suggest(
                    &shared.space,
                    &self.history(ledger),
                    &mut sampler_rng(shared.settings.seed, number),
                )?;
                proposed = Some((now.0, now.1, suggestion));
            }
            Ok(proposed.as_ref().and_then(|(_, _, suggestion)| {
                start(number, 1, &shared.space.decode(&suggestion.point), &suggestion.note)
            }))
        })
        .map(|begun| {
            begun.map(|(trial, attempt, configuration)| {
                Running::new(self.clone(), trial, attempt, configuration)
            })
        })
    }

    fn history<'a>(&self, ledger: &'a Ledger) -> History<'a> {
        History {
            trials: &ledger.trials,
            points: &ledger.points,
            sign: self.direction().sign(),
            seed: self.0.settings.seed,
        }
    }

    /// Reads the current state of the study.
    fn looked<T>(&self, look: impl FnOnce(&Ledger, History) -> T) -> Result<T> {
        let mut ledger = self.locked();
        self.refresh(&mut ledger)?;
        Ok(look(&ledger, self.history(&ledger)))
    }

    fn locked(&self) -> MutexGuard<'_, Ledger> {
        // A panic leaves the events that were read; the others are still in the storage.
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads new events; returns their names.
    fn refresh(&self, ledger: &mut Ledger) -> Result<Vec<String>> {
        let events = self.0.journal.read(self.name(), ledger.place)?;
        events.iter().map(|text| ledger.apply(self.name(), &self.0.space, text)).collect()
    }

    /// Appends the event that `decide` makes of the current state, deciding again if another worker
    /// was faster; nothing is appended if it makes none.
    fn transact<T>(
        &self,
        mut decide: impl FnMut(&Ledger) -> Result<Option<(Event, T)>>,
    ) -> Result<Option<T>> {
        let mut ledger = self.locked();
        self.refresh(&mut ledger)?;
        loop {
            let Some((event, answer)) = decide(&ledger)? else { return Ok(None) };
            let id = format!("{}:{}", self.0.worker, self.0.written.fetch_add(1, Ordering::Relaxed));
            let text = serde_json::to_string(&Entry { id: id.clone(), event }).map_err(|e| {
                HpoError::Storage { storage: self.0.journal.address(), reason: e.to_string() }
            })?;
            let free = self.0.journal.append(self.name(), ledger.place, &text)?;
            // A storage that lost its connection may have stored the event without confirming it.
            let ours = self.refresh(&mut ledger)?.contains(&id);
            if free || ours {
                return Ok(Some(answer));
            }
        }
    }
}
