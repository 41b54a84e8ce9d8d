//! Workers watch over each other: each moves a counter in the storage, its heartbeat. A worker that sees
//! another's counter stand still while ten of its own heartbeats reached the storage gives that worker's
//! trials back. Time is counted in heartbeats that arrived, not in seconds: while the storage is away,
//! nobody's arrive.

use super::event::Event;
use super::{Shared, Study};
use crate::State;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker without work waits before it looks again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Own heartbeats that arrive while another worker's counter stands still, before that worker is lost.
const TIMEOUT: u64 = 10;

/// What this worker knows of the others.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whether this worker's own heartbeat is running.
    pub(super) beating: bool,
    looked: Option<Instant>,
    /// The counter of each worker, and how many heartbeats of this worker had arrived when it was first seen
    /// to have this value.
    seen: HashMap<String, (Option<i64>, u64)>,
}

/// A name that no other worker has.
pub(super) fn name() -> String {
    format!("{}-{:08x}", std::process::id(), RandomState::new().hash_one(Instant::now()) as u32)
}

impl Study {
    /// Keeps this worker's heartbeat going, and gives back the trials of workers that have none.
    ///
    /// A storage that does not respond is no reason to stop: the next call that needs it returns the error.
    pub(super) fn watch_over(&self) {
        let shared = &self.0;
        let every = shared.settings.grace / TIMEOUT as u32;
        let mut watch = shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !watch.beating {
            watch.beating = true;
            let _ = shared.beat();
            let weak = Arc::downgrade(shared);
            // Ends with the last handle on the study.
            std::thread::spawn(move || {
                let mut last = Instant::now();
                loop {
                    std::thread::sleep(PAUSE.min(every));
                    let Some(shared) = weak.upgrade() else { return };
                    if last.elapsed() >= every {
                        last = Instant::now();
                        let _ = Shared::beat(&shared);
                    }
                }
            });
        }
        if watch.looked.is_some_and(|looked| looked.elapsed() < every) {
            return;
        }
        watch.looked = Some(Instant::now());
        let (Ok(beats), Ok(trials)) = (shared.journal.beats(self.name()), self.trials()) else { return };
        let beats: HashMap<String, i64> = beats.into_iter().collect();
        let now = shared.beats.load(Ordering::Relaxed);
        let mut dead = Vec::new();
        for trial in trials.iter().filter(|t| t.state == State::Running && t.worker != shared.worker) {
            let beat = beats.get(&trial.worker).copied();
            let seen = watch.seen.entry(trial.worker.clone()).or_insert((beat, now));
            if seen.0 != beat {
                *seen = (beat, now);
            }
            if now - seen.1 > TIMEOUT {
                dead.push((trial.number, trial.attempts));
            }
        }
        drop(watch);
        for (trial, attempt) in dead {
            let given_back = self.transact(|ledger| {
                // It may have ended, or be given back already.
                if ledger.held(trial, attempt).is_err() {
                    return Ok(None);
                }
                if ledger.lost[trial] < shared.settings.retries {
                    return Ok(Some((Event::Released { trial, attempt, lost: true }, ())));
                }
                let reason = Some(format!("its worker was lost {} times", ledger.lost[trial] + 1));
                Ok(Some((
                    Event::Ended { trial, attempt, state: State::Failed, value: None, seconds: 0.0, reason },
                    (),
                )))
            });
            if matches!(given_back, Ok(Some(()))) {
                tracing::warn!("heartbeat timeout of the worker of trial {trial}; the trial starts again");
            }
        }
    }
}

impl Shared {
    fn beat(&self) -> crate::Result<()> {
        self.journal.beat(&self.settings.name, &self.worker)?;
        self.beats.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
