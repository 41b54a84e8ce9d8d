//! `reproduce --tune`: every system with the settings that a search found, and what `AutoML` makes of them.
//!
//! Each split is searched for itself, on its own training rows: settings found on another seed's would have seen
//! rows that test here.

use super::join;
use super::materials::{self, Task};
use crate::dataset::Dataset;
use crate::leaderboard::{self, Leaderboard};
use crate::progress::{self, RunProgress};
use crate::runner::{self, file_stem, table_split};
use crate::systems::System;
use crate::{BenchError, Result, ranking};
use foretaste_automl::{Candidate, Race};
use foretaste_data::SplitRule;
use foretaste_hpo::storage;
use foretaste_models::{Device, Reading};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the row of what was joined.
pub(super) const AUTOML: &str = "automl";

/// Time that no search needs: trials end it.
const UNLIMITED: Duration = Duration::from_hours(100 * 365 * 24);

/// How systems are searched.
pub(super) struct Tuned<'a> {
    /// Trials of each system.
    pub trials: usize,
    /// Share of the training rows that judges trials.
    pub validation: f64,
    /// What trained models are asked for.
    pub task: runner::Task,
    /// The run's folder.
    pub folder: &'a Path,
    /// Whether searches of an earlier run go on.
    pub resume: bool,
    /// Where layers are computed.
    pub device: &'a Device,
    /// Who hears of progress.
    pub progress: &'a RunProgress,
}

impl Tuned<'_> {
    /// The systems under the best settings found on the training rows of one split, and their ensemble.
    pub fn systems(&self, data: &Dataset, rule: &SplitRule, systems: &[System], seed: u64) -> Result<Vec<System>> {
        let (rule, split_seed) = runner::of_seed(rule, seed);
        let name = match self.task {
            runner::Task::Ratings => "rmse".to_owned(),
            runner::Task::Ranking => ranking::HEADLINE.name(),
        };
        let metric = materials::metric(&name, Reading::Frozen)?;
        let task = Task::new(data, &rule, split_seed, self.validation, metric, self.device)?;
        let folder = self.folder.join("tuning").join(format!("{}-seed-{seed}", file_stem(&data.name, rule.regime(), &table_split(&rule))));
        if !self.resume {
            let _ = std::fs::remove_dir_all(&folder);
        }
        std::fs::create_dir_all(&folder).map_err(|e| BenchError::Usage(format!("{}: cannot create: {e}", folder.display())))?;
        let candidates = systems.iter().map(|s| Candidate::new(&s.name, &s.title, s.settings.clone())).collect::<foretaste_automl::Result<Vec<_>>>()?;
        let race = Race {
            materials: &task.materials,
            metric: &task.metric,
            budget: UNLIMITED,
            trials: Some(self.trials),
            sampled: false,
            seed,
            journal: storage::open(&folder.join("studies.sqlite").display().to_string())?,
            folder: &folder,
            stop: Arc::new(progress::stopping),
            heard: &|text| self.progress.begin(text),
        };
        let standing = race.run(candidates)?;
        if progress::stopping() {
            return Err(BenchError::Interrupted);
        }
        let mut found = Vec::new();
        for (index, (entrant, system)) in standing.entrants.iter().zip(systems).enumerate() {
            let trial = standing.kept.iter().find(|kept| kept.entrant == index).and_then(|kept| entrant.trials.iter().find(|t| t.number == kept.trial));
            found.push(match (trial, &entrant.candidate.space) {
                (Some(trial), Some(_)) => {
                    System { title: format!("{}, tuned", system.title), settings: entrant.candidate.with(&trial.configuration)?, ..system.clone() }
                }
                _ => system.clone(),
            });
        }
        if !standing.kept.is_empty() {
            let (winner, methods) = join::decide(&task, &standing, Instant::now() + UNLIMITED, rule.regime(), false, seed)?;
            let mut board = Leaderboard::new(&task.metric, &standing, &task.materials.validation, methods, &[]);
            board.refitted(&winner, f64::INFINITY);
            leaderboard::write(&board, &standing, &folder)?;
            found.push(System { name: AUTOML.into(), title: "AutoML".into(), settings: winner.settings });
        }
        Ok(found)
    }
}
