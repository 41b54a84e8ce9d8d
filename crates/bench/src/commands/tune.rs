//! `tune`: search the settings of one model, then test what was found beside its defaults.

use super::materials::{self, Task};
use super::use_threads;
use crate::cli::Tune as Arguments;
use crate::dataset;
use crate::output::{note, print};
use crate::tuning::{self, Tuned};
use crate::{BenchError, Result, progress, systems};
use foretaste_automl::{Candidate, Objective, Tuning, tune};
use foretaste_data::SplitRule;
use foretaste_hpo::{Budget, Configuration, Halt, Running, State, Study, StudySettings, Trial, sampler, storage};
use foretaste_models::{Device, Reading};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    progress::stop_on_ctrl_c();
    use_threads(arguments.threads)?;
    let system = systems::select(std::slice::from_ref(&arguments.model), systems::DEFAULT, &arguments.set)?.remove(0);
    let mut candidate = Candidate::new(&system.name, &system.title, system.settings)?;
    if let Some(space) = &mut candidate.space {
        for text in &arguments.space {
            *space = space.clone().with_override(text)?;
        }
        if !arguments.only.is_empty() {
            *space = space.only(&arguments.only)?;
        }
    }
    let Some(space) = candidate.space.clone() else {
        return Err(BenchError::Usage(format!("{} has no settings to search", candidate.name)));
    };
    let reading = if arguments.streaming { Reading::Streaming } else { Reading::Frozen };
    let name = arguments.metric.clone().unwrap_or_else(|| materials::usual_metric(&candidate));
    let metric = materials::metric(&name, reading)?;
    let data = dataset::load(&arguments.dataset, arguments.data.as_deref(), &arguments.reading.options()?, arguments.accept_licence)?;
    data.remarks.iter().for_each(|remark| note(remark));
    if metric.judges_ratings() {
        data.table.require_values()?;
    }
    let rule = rule(&arguments.regime, arguments.test)?;
    let device = Device::open(&arguments.device)?;
    let task = Task::new(&data, &rule, arguments.seed, arguments.validation, metric, &device)?;
    let folder =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/tune-{}-{}-{}-{}", data.name, candidate.name, rule.regime(), task.metric.name)));
    std::fs::create_dir_all(&folder).map_err(|e| BenchError::Usage(format!("{}: cannot create: {e}", folder.display())))?;

    let settings = StudySettings {
        name: arguments.study.clone().unwrap_or_else(|| format!("{}-{}-{}-{}", data.name, candidate.name, rule.regime(), task.metric.name)),
        task: task.materials.task(&task.metric, &candidate),
        direction: task.metric.direction,
        seed: arguments.seed,
        sampler: match arguments.grid_points {
            Some(points) => Box::new(sampler::Grid { points }),
            None => arguments.sampler.parse()?,
        },
        pruner: arguments.pruner.parse()?,
        ..StudySettings::default()
    };
    let address = arguments.storage.clone().unwrap_or_else(|| folder.join("study.sqlite").display().to_string());
    let journal = storage::open(&address)?;
    if !arguments.resume && journal.studies()?.contains(&settings.name) {
        return Err(BenchError::Usage(format!(
            "{address} holds the study {} already\n  help: --resume goes on with it (or joins its other workers); --study NAME begins another",
            settings.name
        )));
    }
    let study = Study::open(journal, space, settings)?;
    let budget = Budget {
        // A time alone is a budget; nothing named is forty trials.
        trials: arguments.trials.or((arguments.budget.is_none() && arguments.grid_points.is_none()).then_some(40)),
        time: arguments.budget.as_deref().map(materials::duration).transpose()?,
        stop: Some(Arc::new(progress::stopping)),
    };
    let told = Told { json: arguments.json, metric: task.metric.name.clone() };
    let objective = Objective { materials: &task.materials, metric: &task.metric, candidate: &candidate };
    let tuning = Tuning {
        budget,
        jobs: arguments.jobs,
        threads: rayon::current_num_threads(),
        folder: Some(&folder.join("checkpoints")),
        heard: &|trial, outcome| told.trial(trial, outcome),
    };
    tune(&study, &objective, &tuning)?;
    // Empty, unless a training was interrupted.
    let _ = std::fs::remove_dir(folder.join("checkpoints"));
    finish(arguments, &task, &candidate, &study, &folder)
}

/// The split that a regime names.
pub(super) fn rule(regime: &str, test: f64) -> Result<SplitRule> {
    Ok(match regime {
        "random" => SplitRule::HoldOut { test },
        "future" => SplitRule::Cut { test },
        "last-session" => SplitRule::LastSession { gap: 1800 },
        "per-user" => SplitRule::LeaveLast { test: 1 },
        other => return Err(BenchError::Usage(format!("unknown regime {other:?}; known are random, future, per-user, last-session"))),
    })
}

/// Tests the defaults and the best trial, and writes the report.
fn finish(arguments: &Arguments, task: &Task, candidate: &Candidate, study: &Study, folder: &Path) -> Result<()> {
    let trials = study.trials()?;
    let best = study.best()?;
    let default = trials.iter().find(|t| t.configuration == candidate.default_configuration() && t.state == State::Complete);
    // An interrupted search is looked at, not tested: its test would come twice.
    let interrupted = progress::stopping();
    let tested = |trial: Option<&Trial>| match trial.filter(|_| !interrupted && !arguments.no_test) {
        Some(trial) => task.test_of(&candidate.of_trial(trial, study.direction())?, arguments.seed).map(Some),
        None => Ok(None),
    };
    let tuned = Tuned {
        title: candidate.title.clone(),
        metric: task.metric.name.clone(),
        default: default.map(|t| t.value.unwrap_or(f64::NAN)),
        default_test: tested(default)?,
        best: best.as_ref().map(|t| t.value.unwrap_or(f64::NAN)),
        best_test: tested(best.as_ref())?,
        importance: study.importance()?,
        settings: best.as_ref().map(|trial| candidate.of_trial(trial, study.direction())).transpose()?.map(|s| s.to_toml()),
        seconds: trials.iter().map(|t| t.seconds).sum(),
        trials,
    };
    tuning::write(&tuned, study, folder)?;
    if arguments.json {
        print(&serde_json::to_string(&tuned).map_err(|e| BenchError::Usage(e.to_string()))?);
    } else {
        print(&tuned.text());
        print(&format!("report: {}", folder.join("report.html").display()));
    }
    if interrupted { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// Tells of each trial as it ends.
struct Told {
    json: bool,
    metric: String,
}

impl Told {
    fn trial(&self, trial: &Running, outcome: &Result<f64, Halt>) {
        if self.json {
            let value = outcome.as_ref().ok();
            crate::output::raw(
                &serde_json::json!({ "event": "trial", "trial": trial.number(), "configuration": trial.configuration(), "value": value }).to_string(),
            );
            return;
        }
        let outcome = match outcome {
            Ok(value) => format!("{} {value:.4}", self.metric),
            Err(Halt::Pruned) => "pruned".into(),
            Err(Halt::Interrupted) => "interrupted; it waits for --resume".into(),
            Err(Halt::Lost) => "taken over by another worker".into(),
            Err(Halt::Failed(reason)) => format!("failed: {reason}"),
        };
        note(&format!("trial {}: {outcome} ({})", trial.number(), listed(trial.configuration())));
    }
}

/// A configuration in a line.
pub(super) fn listed(configuration: &Configuration) -> String {
    let short = |value: &foretaste_hpo::Value| match value {
        foretaste_hpo::Value::Float(x) => format!("{x:.4}"),
        other => other.to_string(),
    };
    configuration.iter().map(|(name, value)| format!("{name} {}", short(value))).collect::<Vec<_>>().join(", ")
}
