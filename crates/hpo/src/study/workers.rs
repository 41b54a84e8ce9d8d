//! Workers watch over each other: a counter moves while a worker lives, and who sees it stand still for too
//! long, by his own clock, gives the dead one's trials back.

use super::event::Event;
use super::{Shared, Study};
use crate::State;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker without work waits before it looks again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// What this worker saw of the others.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whether this worker's own counter is being moved.
    pub(super) beating: bool,
    looked: Option<Instant>,
    /// The counter of each worker, and when it was first seen to have this value.
    seen: HashMap<String, (Option<i64>, Instant)>,
}

/// A name that no other worker has.
pub(super) fn name() -> String {
    format!("{}-{:08x}", std::process::id(), RandomState::new().hash_one(Instant::now()) as u32)
}

impl Study {
    /// Sees to this worker's own signs of life, and gives back the trials of those that have none.
    ///
    /// A storage that does not answer is no reason to stop: whoever asks it next will tell.
    pub(super) fn watch_over(&self) {
        let shared = &self.0;
        let every = shared.settings.grace / 10;
        let mut watch = shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !watch.beating {
            watch.beating = true;
            let _ = shared.journal.beat(self.name(), &shared.worker);
            let weak = Arc::downgrade(shared);
            // Ends with the last hold on the study.
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
        let asked = Instant::now();
        let (Ok(beats), Ok(trials)) = (shared.journal.beats(self.name()), self.trials()) else { return };
        let beats: HashMap<String, i64> = beats.into_iter().collect();
        let now = Instant::now();
        // The storage itself was away: nobody could give a sign.
        if now - asked > every {
            watch.seen.clear();
        }
        let mut dead = Vec::new();
        for trial in trials.iter().filter(|t| t.state == State::Running && t.worker != shared.worker) {
            let beat = beats.get(&trial.worker).copied();
            let seen = watch.seen.entry(trial.worker.clone()).or_insert((beat, now));
            if seen.0 != beat {
                *seen = (beat, now);
            }
            if now - seen.1 > shared.settings.grace {
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
                tracing::warn!("the worker of trial {trial} gives no sign of life; the trial is begun anew");
            }
        }
    }
}

impl Shared {
    fn beat(&self) -> crate::Result<()> {
        self.journal.beat(&self.settings.name, &self.worker)
    }
}
