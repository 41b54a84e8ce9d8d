//! Tuning: searches the settings of one model.

use crate::{Objective, Result};
use foretaste_hpo::{Budget, Halt, HpoError, Running, Study};
use std::path::Path;

/// Options of a search.
pub struct Tuning<'a> {
    /// Its budget.
    pub budget: Budget,
    /// Number of parallel trials; each gets an equal share of the threads, rounded down, at least one.
    pub jobs: usize,
    /// Number of threads of all trials together.
    pub threads: usize,
    /// Folder for the checkpoints of interrupted trainings.
    pub folder: Option<&'a Path>,
    /// Is called with the result of each trial of this worker.
    pub on_end: &'a (dyn Fn(&Running, &Result<f64, Halt>) + Sync),
}

/// Searches the candidate's settings in `study`, its own settings first. Returns how many trials this worker
/// ended.
///
/// # Errors
/// [`crate::AutomlError::Search`] if the study cannot continue; a model's errors fail its trials only.
pub fn tune(study: &Study, objective: &Objective, tuning: &Tuning) -> Result<usize> {
    match study.enqueue(&objective.candidate.default_configuration()) {
        Ok(()) => {}
        // Defaults outside of the search space are not a trial; the search begins without them.
        Err(HpoError::Setting { name, reason }) => {
            tracing::warn!("the default settings are outside of the search space: {name} {reason}");
        }
        Err(error) => return Err(error.into()),
    }
    let threads = (tuning.threads / tuning.jobs.max(1)).max(1);
    let ended = study.optimize_in_parallel(tuning.jobs, &tuning.budget, |trial| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let outcome = pool.install(|| objective.run(trial, tuning.folder)).map(|scored| scored.value);
        (tuning.on_end)(trial, &outcome);
        outcome
    })?;
    Ok(ended)
}
