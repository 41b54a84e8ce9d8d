//! Running trials: what an objective sees of one, and the loop that runs them.

use super::event::Event;
use super::{Study, workers};
use crate::{Configuration, HpoError, Result, State, Value, trial_seed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Why an objective ends without a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Halt {
    /// The pruner ended it: the trial's last report is its result.
    Pruned,
    /// The budget is used up, or a person stopped the program: the trial waits for another worker.
    Interrupted,
    /// It cannot be computed, for this reason.
    Failed(String),
    /// Another worker has taken the trial over: what was computed is dropped.
    Lost,
    /// The storage does not answer, for this reason: the trial waits for another worker.
    Storage(String),
}

impl<E: std::error::Error> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// When a search ends.
#[derive(Clone, Default)]
pub struct Budget {
    /// Trials of the study, by whichever worker.
    pub trials: Option<usize>,
    /// Time from the beginning of the call.
    pub time: Option<Duration>,
    /// Called between steps: whether to stop now.
    pub stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Budget {
    /// A budget of this many trials.
    #[must_use]
    pub fn trials(trials: usize) -> Self {
        Self { trials: Some(trials), ..Self::default() }
    }

    /// A budget of this much time.
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self { time: Some(time), ..Self::default() }
    }
}

/// A trial held by this worker.
pub struct Running {
    study: Study,
    number: usize,
    attempt: u32,
    configuration: Configuration,
    begun: Instant,
    deadline: Option<Instant>,
    stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    settled: bool,
}

impl Running {
    pub(super) fn new(study: Study, number: usize, attempt: u32, configuration: Configuration) -> Self {
        Self {
            study,
            number,
            attempt,
            configuration,
            begun: Instant::now(),
            deadline: None,
            stop: None,
            settled: false,
        }
    }

    /// The trial's number, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The seed of the trial's random choices: the same for every worker and attempt.
    #[must_use]
    pub fn seed(&self) -> u64 {
        trial_seed(self.study.0.settings.seed, self.number)
    }

    /// The settings that exist in this trial.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// A setting; `None` if it does not exist in this trial.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.configuration.get(name)
    }

    fn typed<T>(&self, name: &str, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let fail = |reason: String| HpoError::Setting { name: name.to_owned(), reason };
        let value = self.get(name).ok_or_else(|| fail("does not exist in this trial".into()))?;
        read(value).ok_or_else(|| fail(format!("is {value}, which is no {kind}")))
    }

    /// A number.
    ///
    /// # Errors
    /// [`HpoError::Setting`] if it does not exist in this trial or is not a number.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.typed(name, "number", Value::number)
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`HpoError::Setting`] if it does not exist in this trial or is not a whole number.
    pub fn integer(&self, name: &str) -> Result<i64> {
        self.typed(name, "whole number", |value| if let Value::Integer(i) = value { Some(*i) } else { None })
    }

    /// A word.
    ///
    /// # Errors
    /// [`HpoError::Setting`] if it does not exist in this trial or is not a word.
    pub fn text(&self, name: &str) -> Result<&str> {
        let value = self.get(name).ok_or_else(|| HpoError::Setting {
            name: name.to_owned(),
            reason: "does not exist in this trial".into(),
        })?;
        let Value::Text(text) = value else {
            return Err(HpoError::Setting {
                name: name.to_owned(),
                reason: format!("is {value}, which is no word"),
            });
        };
        Ok(text)
    }

    /// A flag.
    ///
    /// # Errors
    /// [`HpoError::Setting`] if it does not exist in this trial or is not a flag.
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.typed(name, "flag", |value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
    }

    /// Whether the budget is used up or a stop was requested: the objective should then end with
    /// [`Halt::Interrupted`].
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.stop.as_ref().is_some_and(|stop| stop())
    }

    /// Reports progress: `step` counts what was used so far (from 1, rising), `value` is the metric
    /// then.
    ///
    /// # Errors
    /// [`Halt::Pruned`] where it should end, [`Halt::Interrupted`] at the budget's end, [`Halt::Lost`] where
    /// somebody else has it by now, [`Halt::Storage`] if the storage does not respond.
    pub fn report(&mut self, step: u64, value: f64) -> Result<(), Halt> {
        let (trial, attempt) = (self.number, self.attempt);
        let event = Event::Reported { trial, attempt, step, value: value.is_finite().then_some(value) };
        let written =
            self.study.transact(|ledger| ledger.held(trial, attempt).map(|_| Some((event.clone(), ()))));
        match written {
            Err(HpoError::Lost { .. }) => return Err(Halt::Lost),
            Err(error) => return Err(Halt::Storage(error.to_string())),
            Ok(_) => {}
        }
        let ledger = self.study.locked();
        let pruned = ledger
            .held(trial, attempt)
            .is_ok_and(|held| self.study.0.settings.pruner.prunes(&self.study.history(&ledger), held));
        drop(ledger);
        if pruned {
            return Err(Halt::Pruned);
        }
        if self.interrupted() { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// Ends the trial with the result of its objective. A value that is not a number counts as failed.
    ///
    /// # Errors
    /// [`HpoError::Lost`] if another worker has taken the trial over: the outcome is dropped;
    /// [`HpoError::Storage`] if the storage does not respond.
    pub fn tell(mut self, outcome: Result<f64, Halt>) -> Result<()> {
        self.settle(outcome)
    }

    fn settle(&mut self, outcome: Result<f64, Halt>) -> Result<()> {
        let (trial, attempt, seconds) = (self.number, self.attempt, self.begun.elapsed().as_secs_f64());
        self.settled = true;
        let ended = |state, value, reason| Event::Ended { trial, attempt, state, value, seconds, reason };
        let event = match outcome {
            Ok(value) if value.is_finite() => ended(State::Complete, Some(value), None),
            Ok(value) => ended(State::Failed, None, Some(format!("the objective returned {value}"))),
            Err(Halt::Pruned) => ended(State::Pruned, None, None),
            Err(Halt::Failed(reason)) => ended(State::Failed, None, Some(reason)),
            Err(Halt::Interrupted | Halt::Storage(_)) => Event::Released { trial, attempt, lost: false },
            Err(Halt::Lost) => return Ok(()),
        };
        self.study.settle(Settlement { trial, attempt, event })
    }
}

impl Drop for Running {
    /// A trial without a reported outcome waits for another worker.
    fn drop(&mut self) {
        if !self.settled {
            let _ = self.settle(Err(Halt::Interrupted));
        }
    }
}

/// How an attempt of a trial ends: with an outcome, or given back.
#[derive(Debug, Clone)]
pub(super) struct Settlement {
    trial: usize,
    attempt: u32,
    event: Event,
}

impl Study {
    /// Writes how an attempt ends. What a storage did not take is kept, and written when this worker next
    /// looks for work: an outage neither loses a trial's result nor leaves it with a worker that is done with
    /// it.
    fn settle(&self, settlement: Settlement) -> Result<()> {
        let Settlement { trial, attempt, event } = &settlement;
        let written =
            self.transact(|ledger| ledger.held(*trial, *attempt).map(|_| Some((event.clone(), ()))));
        if let Err(HpoError::Storage { .. }) = written {
            self.0.unsettled.lock().unwrap_or_else(PoisonError::into_inner).push(settlement);
        }
        written.map(drop)
    }

    /// Writes what an outage left unwritten.
    ///
    /// # Errors
    /// [`HpoError::Storage`] while the storage does not answer.
    pub(super) fn settle_again(&self) -> Result<()> {
        let waiting = std::mem::take(&mut *self.0.unsettled.lock().unwrap_or_else(PoisonError::into_inner));
        for settlement in waiting {
            match self.settle(settlement) {
                Ok(()) | Err(HpoError::Lost { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs trials one after the other until the budget is used up, taking over those of workers that
    /// died. Returns how many this call ended.
    ///
    /// A panic of the objective fails its trial. An interrupted trial waits for the next worker or the next
    /// run.
    ///
    /// # Errors
    /// [`HpoError::Storage`], and the errors of the sampler.
    pub fn optimize(
        &self,
        budget: &Budget,
        objective: impl Fn(&mut Running) -> Result<f64, Halt>,
    ) -> Result<usize> {
        let deadline = budget.time.map(|time| Instant::now() + time);
        self.optimize_until(budget, deadline, &objective)
    }

    /// As [`optimize`](Self::optimize), with `workers` threads of this process.
    ///
    /// # Errors
    /// As [`optimize`](Self::optimize), of the first thread that failed.
    pub fn optimize_in_parallel(
        &self,
        workers: usize,
        budget: &Budget,
        objective: impl Fn(&mut Running) -> Result<f64, Halt> + Sync,
    ) -> Result<usize> {
        let deadline = budget.time.map(|time| Instant::now() + time);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers.max(1))
                .map(|_| scope.spawn(|| self.optimize_until(budget, deadline, &objective)))
                .collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ended.collect::<Result<Vec<usize>>>().map(|ended| ended.into_iter().sum())
        })
    }

    /// Runs the next trial; returns whether there was one and it ended.
    ///
    /// # Errors
    /// As [`optimize`](Self::optimize).
    pub fn optimize_once(
        &self,
        budget: &Budget,
        objective: impl FnMut(&mut Running) -> Result<f64, Halt>,
    ) -> Result<bool> {
        let deadline = budget.time.map(|time| Instant::now() + time);
        match self.ask(budget.trials)? {
            Some(trial) => run(trial, budget, deadline, objective),
            None => Ok(false),
        }
    }

    fn optimize_until(
        &self,
        budget: &Budget,
        deadline: Option<Instant>,
        objective: &impl Fn(&mut Running) -> Result<f64, Halt>,
    ) -> Result<usize> {
        let over = || {
            deadline.is_some_and(|deadline| Instant::now() >= deadline)
                || budget.stop.as_ref().is_some_and(|stop| stop())
        };
        let mut ended = 0;
        while !over() {
            let Some(trial) = self.ask(budget.trials)? else {
                // Trials that other workers run may be given back.
                if !self.looked(|ledger, _| ledger.trials.iter().any(|t| t.state == State::Running))? {
                    break;
                }
                std::thread::sleep(workers::PAUSE);
                continue;
            };
            ended += usize::from(run(trial, budget, deadline, objective)?);
        }
        Ok(ended)
    }
}

/// Runs a trial; returns whether it ended.
fn run(
    mut trial: Running,
    budget: &Budget,
    deadline: Option<Instant>,
    mut objective: impl FnMut(&mut Running) -> Result<f64, Halt>,
) -> Result<bool> {
    trial.deadline = deadline;
    trial.stop.clone_from(&budget.stop);
    let outcome = catch_unwind(AssertUnwindSafe(|| objective(&mut trial))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Halt::Failed(format!("panicked: {}", text.unwrap_or("no reason given"))))
    });
    let interrupted = matches!(outcome, Err(Halt::Interrupted | Halt::Storage(_)));
    match trial.tell(outcome) {
        Err(HpoError::Lost { trial, reason }) => {
            tracing::warn!("trial {trial} was taken from this worker ({reason}); its outcome is dropped");
        }
        other => other?,
    }
    Ok(!interrupted)
}
