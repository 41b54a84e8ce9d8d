//! Searching the settings of one model.

use crate::{Objective, Result};
use foretaste_hpo::{Budget, Halt, HpoError, Running, Study};
use std::path::Path;

/// How a search is run.
pub struct Tuning<'a> {
    /// When it ends.
    pub budget: Budget,
    /// Trials at a time; each gets an equal share of the threads, rounded down, at least one.
    pub jobs: usize,
    /// Threads of all trials together.
    pub threads: usize,
    /// Where trainings that were interrupted leave their checkpoints.
    pub folder: Option<&'a Path>,
    /// Hears what each trial of this worker came to.
    pub heard: &'a (dyn Fn(&Running, &Result<f64, Halt>) + Sync),
}

/// Searches the candidate's settings in `study`, its own settings first. Answers how many trials this worker
/// ended.
///
/// # Errors
/// [`crate::AutomlError::Search`] where the study cannot go on; a model's failures are its trials'.
pub fn tune(study: &Study, objective: &Objective, tuning: &Tuning) -> Result<usize> {
    match study.enqueue(&objective.candidate.default_configuration()) {
        Ok(()) => {}
        // Defaults outside of what is searched are no trial; the search begins without them.
        Err(HpoError::Setting { name, reason }) => {
            tracing::warn!("the default settings are no trial: {name} {reason}")
        }
        Err(error) => return Err(error.into()),
    }
    let threads = (tuning.threads / tuning.jobs.max(1)).max(1);
    let ended = study.optimize_in_parallel(tuning.jobs, &tuning.budget, |trial| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let outcome = pool.install(|| objective.run(trial, tuning.folder)).map(|scored| scored.value);
        (tuning.heard)(trial, &outcome);
        outcome
    })?;
    Ok(ended)
}
