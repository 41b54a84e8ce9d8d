//! The cost of a model's trials, and early ends of trials that cost too much.

use super::Entrant;
use crate::Candidate;
use foretaste_models::{EpochReport, Progress};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Baseline models.
pub(super) fn is_baseline(entrant: &Entrant) -> bool {
    use foretaste_models::Kind;
    [Kind::ROLLING_AVERAGE, Kind::BIASES, Kind::POPULARITY].contains(&entrant.candidate.settings.kind())
}

/// Whether a model is trained in passes, whose number can be reduced.
pub(super) fn has_passes(entrant: &Entrant) -> bool {
    entrant.whole.shortened(0.5) != entrant.whole
}

/// The cost of an entrant's trials.
pub(super) struct Cost {
    /// Seconds of a trial.
    pub trial: f64,
    /// Expected seconds until it improves on the best.
    pub improvement: f64,
}

/// An entrant's cost, from its own trials as in FLAML (Wang et al. 2021, section 4.2). `None` before its
/// first.
pub(super) fn expected_cost(entrant: &Entrant, best: f64, sign: f64) -> Option<Cost> {
    let (mut spent, mut lowest) = (0.0, f64::INFINITY);
    // Seconds spent when each improvement came, and the loss it brought.
    let mut improvements: Vec<(f64, f64)> = Vec::new();
    let mut ended = 0.0;
    for trial in entrant.trials.iter().filter(|t| t.state.ended()) {
        spent += trial.seconds.max(1e-3);
        ended += 1.0;
        if let Some(loss) = trial.value.map(|v| v * sign).filter(|loss| *loss < lowest) {
            lowest = loss;
            improvements.push((spent, loss));
        }
    }
    let (last, loss) = *improvements.last()?;
    let (before, earlier) = improvements
        .len()
        .checked_sub(2)
        .map_or((0.0, None), |at| (improvements[at].0, Some(improvements[at].1)));
    let own = (spent - last).max(last - before);
    // Behind the best: the gap at twice the pace of its own improvement so far.
    let gap = (loss - best).max(0.0);
    let pace = match earlier {
        Some(earlier) => (earlier - loss).max(1e-9) / (spent - before).max(1e-3),
        // Its pace is unknown: a tenth of a percent per trial.
        None => 1e-3 * loss.abs().max(1e-3) / (spent / ended),
    };
    let improvement = if gap > 0.0 { own.max(2.0 * gap / pace) } else { own };
    Some(Cost { trial: spent / ended, improvement })
}

/// Ends a training at a deadline.
pub(super) struct Deadline<'a> {
    limit: Instant,
    stop: &'a (dyn Fn() -> bool + Send + Sync),
    /// The model whose passes measure the training's progress, not those of a model within it.
    model: &'static str,
    /// Bits of the share of its passes.
    done: AtomicU64,
}

impl<'a> Deadline<'a> {
    pub fn new(limit: Instant, stop: &'a (dyn Fn() -> bool + Send + Sync), candidate: &Candidate) -> Self {
        Self { limit, stop, model: candidate.settings.kind().name(), done: AtomicU64::new(0) }
    }

    /// The share of its passes that the training reached.
    pub fn done(&self) -> f64 {
        f64::from_bits(self.done.load(Relaxed))
    }
}

impl Progress for Deadline<'_> {
    fn epoch(&self, model: &'static str, report: &EpochReport) {
        if model == self.model {
            self.done.store((report.epoch as f64 / report.epochs.max(1) as f64).to_bits(), Relaxed);
        }
    }

    fn cancelled(&self) -> bool {
        Instant::now() >= self.limit || (self.stop)()
    }
}
