//! `tune`: search the settings of one model, then test the best ones beside its defaults.

use super::search::{self as searching, Prepared};
use super::use_threads;
use crate::arguments::Tune as Arguments;
use crate::output::{note, print};
use crate::tuning::{self, Tuned};
use crate::{CliError, Result, progress};
use foretaste_automl::{Candidate, Metric, Objective, Task, Tuning, tune};
use foretaste_bench::systems;
use foretaste_hpo::{
    Budget, Configuration, Direction, Halt, Running, State, Study, StudySettings, Trial, sampler, storage,
};
use foretaste_models::Reading;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    progress::stop_on_ctrl_c();
    let search = &arguments.search;
    let (sampler, budget) = asked(arguments)?;
    let pruner = arguments.pruner.parse()?;
    use_threads(search.common.threads)?;
    let system =
        systems::select(std::slice::from_ref(&arguments.model), systems::DEFAULT, &search.set)?.remove(0);
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
        return Err(CliError::Usage(format!("{} has no settings to search", candidate.name)));
    };
    let reading = if search.streaming { Reading::Streaming } else { Reading::Frozen };
    let name = arguments.metric.clone().unwrap_or_else(|| Metric::usual(&candidate.settings));
    let metric = Metric::named(&name, reading)?;
    let prepared = Prepared::new(search, &metric)?;
    let task = prepared.task(search, metric)?;
    let folder = prepared.folder(search, "tune", &format!("{}-{}", candidate.name, task.metric.name))?;
    let (data, regime) = (&prepared.data.name, prepared.rule.regime());

    let of = serde_json::json!({ "system": candidate.name, "defaults": candidate.settings,
        "space": arguments.space, "only": arguments.only,
        "sampler": arguments.sampler, "pruner": arguments.pruner, "trials": arguments.trials,
            "budget": arguments.budget });
    prepared.manifest(search, &task, &of, &folder)?;
    let settings = StudySettings {
        name: arguments
            .study
            .clone()
            .unwrap_or_else(|| format!("{data}-{}-{regime}-{}", candidate.name, task.metric.name)),
        task: task.data.task(&task.metric, &candidate),
        direction: task.metric.direction,
        seed: search.seed,
        sampler,
        pruner,
        ..StudySettings::default()
    };
    let address =
        arguments.storage.clone().unwrap_or_else(|| folder.join("study.sqlite").display().to_string());
    let journal = storage::open(&address)?;
    if !search.resume && journal.studies()?.contains(&settings.name) {
        return Err(CliError::Usage(format!(
            "{address} holds the study {} already\n  help: --resume continues it (or joins its other \
             workers); --study NAME begins another",
            settings.name
        )));
    }
    let study = Study::open(journal, space, settings)?;
    let reporter = Reporter::new(search.common.json, &task.metric, budget.trials);
    let objective = Objective { data: &task.data, metric: &task.metric, candidate: &candidate };
    let tuning = Tuning {
        budget,
        jobs: arguments.jobs,
        threads: rayon::current_num_threads(),
        folder: Some(&folder.join("checkpoints")),
        on_end: &|trial, outcome| reporter.trial(trial, outcome),
    };
    tune(&study, &objective, &tuning)?;
    reporter.bar.finish();
    // Empty, unless a training was interrupted.
    let _ = std::fs::remove_dir(folder.join("checkpoints"));
    finish(arguments, &task, &candidate, &study, &folder)
}

/// How trials are proposed, and how many.
fn asked(arguments: &Arguments) -> Result<(Box<dyn sampler::Sampler>, Budget)> {
    if arguments.trials == Some(0) {
        return Err(CliError::Usage("--trials 0: at least one trial is needed".into()));
    }
    if arguments.jobs == 0 {
        return Err(CliError::Usage("--jobs 0: at least one trial at a time is needed".into()));
    }
    let sampler: Box<dyn sampler::Sampler> = match arguments.grid_points {
        Some(points) => Box::new(sampler::Grid { points }),
        None => arguments.sampler.parse()?,
    };
    let budget = Budget {
        // A time alone is a budget; without either, forty trials.
        trials: arguments
            .trials
            .or((arguments.budget.is_none() && arguments.grid_points.is_none()).then_some(40)),
        time: arguments.budget.as_deref().map(searching::duration).transpose()?,
        stop: Some(Arc::new(progress::stopping)),
    };
    Ok((sampler, budget))
}

/// Why the last trial failed, where all that ended did.
fn none_but_failures(trials: &[Trial]) -> Option<&str> {
    let ended = || trials.iter().filter(|trial| trial.state.ended());
    let failed = ended().all(|trial| trial.state == State::Failed);
    ended().next_back().filter(|_| failed).map(|trial| trial.reason.as_deref().unwrap_or("no reason given"))
}

/// Tests the defaults and the best trial, and writes the report.
fn finish(
    arguments: &Arguments,
    task: &Task,
    candidate: &Candidate,
    study: &Study,
    folder: &Path,
) -> Result<()> {
    let trials = study.trials()?;
    if let Some(reason) = none_but_failures(&trials) {
        return Err(CliError::Failed(format!(
            "all {} trials failed; the last: {reason}\n  help: the study is in {}; other settings begin \
             another one",
            trials.len(),
            folder.display()
        )));
    }
    let best = study.best()?;
    let default = trials
        .iter()
        .find(|t| t.configuration == candidate.default_configuration() && t.state == State::Complete);
    // An interrupted search is shown, not tested: otherwise it would be tested twice.
    let interrupted = progress::stopping();
    let tested = |trial: Option<&Trial>| match trial.filter(|_| !interrupted && !arguments.search.no_test) {
        Some(trial) => {
            task.test_of(&candidate.of_trial(trial, study.direction())?, arguments.search.seed).map(Some)
        }
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
        settings: best
            .as_ref()
            .map(|trial| candidate.of_trial(trial, study.direction()))
            .transpose()?
            .map(|s| s.to_toml()),
        seconds: trials.iter().map(|t| t.seconds).sum(),
        trials,
    };
    tuning::write(&tuned, study, folder)?;
    if arguments.search.common.json {
        print(&serde_json::to_string(&tuned).map_err(|e| CliError::Usage(e.to_string()))?);
    } else {
        print(&tuned.text());
        print(&format!("report: {}", folder.join("report.html").display()));
    }
    if interrupted { Err(CliError::Interrupted) } else { Ok(()) }
}

/// Trials that the live table shows.
const SHOWN: usize = 5;

/// Reports each trial as it ends: a table of the best at a terminal, else one line each.
struct Reporter {
    json: bool,
    metric: String,
    direction: Direction,
    bar: ProgressBar,
    /// Complete trials, best first: figure, number, configuration.
    best: Mutex<Vec<(f64, usize, String)>>,
}

impl Reporter {
    fn new(json: bool, metric: &Metric, trials: Option<usize>) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(trials.map(|n| n as u64), target);
        let template = if trials.is_some() {
            "{bar:24} {pos}/{len} trials  {elapsed}\n{msg}"
        } else {
            "{pos} trials  {elapsed}\n{msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            json,
            metric: metric.name.clone(),
            direction: metric.direction,
            bar,
            best: Mutex::new(Vec::new()),
        }
    }

    fn trial(&self, trial: &Running, outcome: &Result<f64, Halt>) {
        if self.json {
            let value = outcome.as_ref().ok();
            crate::output::raw(
                &serde_json::json!({ "event": "trial", "trial": trial.number(),
                    "configuration": trial.configuration(), "value": value })
                .to_string(),
            );
            return;
        }
        let summary = match outcome {
            Ok(value) => format!("{} {value:.4}", self.metric),
            Err(Halt::Pruned) => "pruned".into(),
            Err(Halt::Interrupted) => "interrupted; it waits for --resume".into(),
            Err(Halt::Storage(reason)) => format!("given back: {reason}"),
            Err(Halt::Lost) => "taken over by another worker".into(),
            Err(Halt::Failed(reason)) => format!("failed: {reason}"),
        };
        let line = format!("trial {}: {summary} ({})", trial.number(), listed(trial.configuration()));
        if self.bar.is_hidden() {
            note(&line);
            return;
        }
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(value) = outcome {
            best.push((*value, trial.number(), listed(trial.configuration())));
            best.sort_by(|a, b| (a.0 * self.direction.sign()).total_cmp(&(b.0 * self.direction.sign())));
        }
        let table: Vec<String> = best
            .iter()
            .take(SHOWN)
            .map(|(value, number, settings)| format!("{value:.4}  trial {number:<4} {settings}"))
            .collect();
        self.bar.inc(1);
        self.bar.set_message(format!("{} of the best:\n{}\nlast: {line}", self.metric, table.join("\n")));
    }
}

/// A configuration as one line.
pub(super) fn listed(configuration: &Configuration) -> String {
    let short = |value: &foretaste_hpo::Value| match value {
        foretaste_hpo::Value::Float(x) => format!("{x:.4}"),
        other => other.to_string(),
    };
    configuration
        .iter()
        .map(|(name, value)| format!("{name} {}", short(value)))
        .collect::<Vec<_>>()
        .join(", ")
}
