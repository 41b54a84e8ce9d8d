//! `automl`: let the systems compete for a budget's time, join the best, and test the winner once.

use super::materials::{self, Task};
use super::tune::rule;
use super::use_threads;
use crate::cli::Automl as Arguments;
use crate::dataset;
use crate::leaderboard::{Leaderboard, Winner};
use crate::output::{note, print};
use crate::{BenchError, Result, leaderboard, progress, systems};
use foretaste_automl::blend::{self, Method, Predictions};
use foretaste_automl::{Candidate, Race, Standing};
use foretaste_hpo::storage;
use foretaste_models::{Device, EpochReport, ModelSettings, Progress, Reading, ensemble, save};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Share of the budget that trials get; training the winner on all rows needs the rest.
const TRIALS: f64 = 0.65;

/// Models that an ensemble is chosen from.
const JOINED: usize = 24;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    progress::stop_on_ctrl_c();
    use_threads(arguments.threads)?;
    let clock = Instant::now();
    let reading = if arguments.streaming { Reading::Streaming } else { Reading::Frozen };
    let metric = materials::metric(&arguments.metric, reading)?;
    let run = if metric.judges_ratings() { "automl" } else { "ranking" };
    let candidates: Vec<Candidate> = systems::select(&arguments.models, run, &arguments.set)?
        .into_iter()
        .map(|system| Candidate::new(&system.name, &system.title, system.settings))
        .collect::<foretaste_automl::Result<_>>()?;
    if let Some(candidate) = candidates.iter().find(|candidate| !metric.judges(&candidate.settings)) {
        return Err(BenchError::Usage(format!("{} predicts no ratings; --metric NDCG@10 judges lists", candidate.name)));
    }
    let budget = materials::duration(&arguments.budget)?;
    let data = dataset::load(&arguments.dataset, arguments.data.as_deref(), &arguments.reading.options()?, arguments.accept_licence)?;
    data.remarks.iter().for_each(|remark| note(remark));
    if metric.judges_ratings() {
        data.table.require_values()?;
    }
    let rule = rule(&arguments.regime, arguments.test)?;
    let device = Device::open(&arguments.device)?;
    let task = Task::new(&data, &rule, arguments.seed, arguments.validation, metric, &device)?;
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/automl-{}-{}-{}", data.name, rule.regime(), task.metric.name)));
    std::fs::create_dir_all(&folder).map_err(|e| BenchError::Usage(format!("{}: cannot create: {e}", folder.display())))?;
    let address = folder.join("studies.sqlite");
    if address.exists() && !arguments.resume {
        return Err(BenchError::Usage(format!("{} holds a race already\n  help: --resume goes on with it; --out DIR begins another", folder.display())));
    }
    let race = Race {
        materials: &task.materials,
        metric: &task.metric,
        budget: budget.mul_f64(TRIALS),
        trials: arguments.trials,
        seed: arguments.seed,
        journal: storage::open(&address.display().to_string())?,
        folder: &folder,
        stop: Arc::new(progress::stopping),
        heard: &|text| note(text),
    };
    let names: Vec<String> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
    let standing = race.run(candidates)?;
    // Empty, unless a training was interrupted.
    names.iter().for_each(|name| drop(std::fs::remove_dir(folder.join("checkpoints").join(name))));
    let _ = std::fs::remove_dir(folder.join("checkpoints"));
    if standing.kept.is_empty() {
        return Err(if progress::stopping() {
            BenchError::Interrupted
        } else {
            BenchError::Usage("no system was trained within the budget; give more --budget".into())
        });
    }
    let left = budget.as_secs_f64() - standing.seconds.max(clock.elapsed().as_secs_f64());
    let (winner, methods) = choose(&task, &standing, left, arguments);
    let mut board = Leaderboard::new(&task.metric, &standing, &task.materials.validation, methods);
    board.refitted(&winner, budget.as_secs_f64());
    // An interrupted race shows how it stands; its winner may change yet, and is not tested.
    if progress::stopping() {
        leaderboard::write(&board, &standing, &folder)?;
        print(&board.text());
        return Err(BenchError::Interrupted);
    }
    note(&format!("training {} on all rows that do not test", winner.title));
    let model = task.refit(&winner.settings, arguments.seed, &Stopping)?;
    board.test = (!arguments.no_test).then(|| task.tested(model.as_ref()));
    board.seconds = standing.seconds.max(clock.elapsed().as_secs_f64());
    save(model.as_ref(), &data.table.user_ids, &data.table.item_ids, &folder.join("model"))?;
    leaderboard::write(&board, &standing, &folder)?;
    if arguments.json {
        print(&serde_json::to_string(&board).map_err(|e| BenchError::Usage(e.to_string()))?);
    } else {
        print(&board.text());
        print(&format!("model: {}\nreport: {}", folder.join("model").display(), folder.join("report.html").display()));
    }
    Ok(())
}

/// Ctrl-C ends the last training, too.
struct Stopping;

impl Progress for Stopping {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        progress::stopping()
    }
}

/// The best trial alone, or the best joined, where rows that found no weights say so and the time left suffices to
/// train all members again; and what each method came to.
fn choose(task: &Task, standing: &Standing, left: f64, arguments: &Arguments) -> (Winner, Vec<(String, f64)>) {
    // All rows train a little longer than the training rows did.
    let growth = task.known.len() as f64 / task.materials.train.len() as f64;
    let cost = |at: usize| standing.kept[at].seconds * growth;
    let mut among: Vec<usize> = (0..standing.kept.len()).filter(|at| cost(*at) <= left).take(JOINED).collect();
    if among.is_empty() {
        among.extend((0..standing.kept.len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b))));
    }
    let best = &standing.kept[among[0]];
    let title = |entrant: usize| standing.entrants[entrant].candidate.title.clone();
    let alone = Winner { title: title(best.entrant), settings: best.settings.clone(), members: vec![(title(best.entrant), best.trial, 1.0)] };
    if !task.metric.judges_ratings() || arguments.no_ensemble {
        return (alone, Vec::new());
    }
    let first = among[0];
    let users = task.materials.validation.row_users();
    loop {
        let predictions = Predictions {
            columns: among.iter().map(|at| standing.kept[*at].predictions.as_slice()).collect(),
            values: task.materials.validation.values(),
            users: &users,
        };
        let judged = blend::judged(&predictions, task.materials.scale);
        let methods: Vec<(String, f64)> = judged.iter().map(|(method, value)| (method.name().to_owned(), *value)).collect();
        let (method, _) = judged.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Method::Best, f64::NAN));
        if method == Method::Best {
            return (alone, methods);
        }
        let weights = method.weights(&predictions);
        let members: Vec<(usize, f64)> = weights.members().map(|(column, weight)| (among[column], weight)).collect();
        // Too slow together: without the slowest, but never without the best, with which all is compared.
        if members.iter().map(|(at, _)| cost(*at)).sum::<f64>() > left {
            let slowest = members.iter().map(|(at, _)| *at).filter(|at| *at != first).max_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            let Some(slowest) = slowest else { return (alone, methods) };
            among.retain(|at| *at != slowest);
            continue;
        }
        let settings: Vec<(ModelSettings, f32)> = members.iter().map(|(at, weight)| (standing.kept[*at].settings.clone(), *weight as f32)).collect();
        let named = members.iter().map(|(at, weight)| (title(standing.kept[*at].entrant), standing.kept[*at].trial, *weight)).collect();
        let settings = ModelSettings::Ensemble(ensemble::Settings::of(&settings, weights.intercept as f32));
        let title = match members.as_slice() {
            [(only, _)] => format!("{}, shifted and scaled ({})", title(standing.kept[*only].entrant), method.name()),
            _ => format!("an ensemble of {} ({})", members.len(), method.name()),
        };
        return (Winner { title, settings, members: named }, methods);
    }
}
