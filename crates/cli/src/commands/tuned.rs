//! `reproduce --tune`: every system with the settings that a search found, and the `AutoML` ensemble.
//!
//! Each split has its own search, on its own training rows: settings found on another seed's would have
//! seen test rows of this one.

use super::search::log_of;
use crate::leaderboard::{self, Leaderboard};
use crate::output::note;
use crate::progress::{self, Bars};
use crate::{CliError, Result};
use foretaste_automl::{Candidate, Decision, Metric, Race, Task};
use foretaste_bench::dataset::Dataset;
use foretaste_bench::runner::{self, file_stem, table_split};
use foretaste_bench::systems::System;
use foretaste_bench::{RunProgress, ranking};
use foretaste_data::{Regime, SplitRule};
use foretaste_hpo::storage;
use foretaste_models::{Device, Reading};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the ensemble's row.
pub(super) const AUTOML: &str = "automl";

/// A time limit that is never reached: trials end a search.
const UNLIMITED: Duration = Duration::from_hours(100 * 365 * 24);

/// Options of the searches.
pub(super) struct Tuned<'a> {
    /// Trials of each system.
    pub trials: usize,
    /// Share of the training rows used for validation of trials.
    pub validation: f64,
    /// What trained models must predict.
    pub task: runner::Task,
    /// The run's folder.
    pub folder: &'a Path,
    /// Whether searches of an earlier run are resumed.
    pub resume: bool,
    /// Where layers are computed.
    pub device: &'a Device,
    /// Observer of progress.
    pub progress: &'a Bars,
}

impl Tuned<'_> {
    /// The systems under the best settings found on the training rows of one split, and their ensemble.
    pub fn systems(
        &self,
        data: &Dataset,
        rule: &SplitRule,
        systems: &[System],
        seed: u64,
    ) -> Result<Vec<System>> {
        let (rule, split_seed) = runner::of_seed(rule, seed);
        let name = match self.task {
            runner::Task::Ratings => "rmse".to_owned(),
            runner::Task::Ranking => ranking::HEADLINE.name(),
        };
        let metric = Metric::named(&name, Reading::Frozen)?;
        let task = Task::new(log_of(data), &rule, split_seed, self.validation, metric, self.device)?;
        let folder = self
            .folder
            .join("tuning")
            .join(format!("{}-seed-{seed}", file_stem(&data.name, rule.regime(), &table_split(&rule))));
        if !self.resume {
            let _ = std::fs::remove_dir_all(&folder);
        }
        std::fs::create_dir_all(&folder).map_err(CliError::io(&folder, "create"))?;
        let candidates = systems
            .iter()
            .map(|s| Candidate::new(&s.name, &s.title, s.settings.clone()))
            .collect::<foretaste_automl::Result<Vec<_>>>()?;
        let race = Race {
            data: &task.data,
            metric: &task.metric,
            budget: UNLIMITED,
            trials: Some(self.trials),
            sampled: false,
            seed,
            journal: storage::open(&folder.join("studies.sqlite").display().to_string())?,
            folder: &folder,
            stop: Arc::new(progress::stopping),
            log: &|text| self.progress.begin(text),
        };
        let standing = race.run(candidates)?;
        if progress::stopping() {
            return Err(CliError::Interrupted);
        }
        let mut found = Vec::new();
        for (index, (entrant, system)) in standing.entrants.iter().zip(systems).enumerate() {
            let trial = standing
                .kept
                .iter()
                .find(|kept| kept.entrant == index)
                .and_then(|kept| entrant.trials.iter().find(|t| t.number == kept.trial));
            found.push(match (trial, &entrant.candidate.space) {
                (Some(trial), Some(_)) => System {
                    title: format!("{}, tuned", system.title),
                    settings: entrant.candidate.with(&trial.configuration)?,
                    ..system.clone()
                },
                _ => system.clone(),
            });
        }
        if !standing.kept.is_empty() {
            let (winner, methods) = Decision {
                task: &task,
                standing: &standing,
                end: Instant::now() + UNLIMITED,
                shuffled: rule.regime() == Regime::Random,
                alone: false,
                seed,
                stop: &progress::stopping,
                log: &note,
            }
            .winner()?;
            let mut board = Leaderboard::new(&task.metric, &standing, &task.data.validation, methods, &[]);
            board.refitted(&winner, f64::INFINITY);
            leaderboard::write(&board, &standing, &folder)?;
            found.push(System { name: AUTOML.into(), title: "AutoML".into(), settings: winner.settings });
        }
        Ok(found)
    }
}
