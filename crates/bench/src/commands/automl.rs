//! `automl`: let the systems compete for a budget's time, join the best, and test the winner once.

use super::materials::{self, Prepared, Task};
use super::use_threads;
use crate::cli::Automl as Arguments;
use crate::leaderboard::{Leaderboard, Winner};
use crate::output::{note, print};
use crate::{BenchError, Result, leaderboard, progress, systems};
use foretaste_automl::blend::{self, Method, Predictions};
use foretaste_automl::{Candidate, FOLDS, Race, Standing, clipped_rmse, out_of_fold};
use foretaste_data::Regime;
use foretaste_hpo::storage;
use foretaste_models::{EpochReport, ModelSettings, Progress, Reading, ensemble, save};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Share of the budget that trials get; training the winner on all rows needs the rest.
const TRIALS: f64 = 0.65;

/// Models that an ensemble is chosen from.
const JOINED: usize = 24;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    progress::stop_on_ctrl_c();
    let search = &arguments.search;
    use_threads(search.threads)?;
    let clock = Instant::now();
    let reading = if search.streaming { Reading::Streaming } else { Reading::Frozen };
    let metric = materials::metric(&arguments.metric, reading)?;
    let run = if metric.judges_ratings() { "automl" } else { "ranking" };
    let candidates: Vec<Candidate> = systems::select(&arguments.models, run, &search.set)?
        .into_iter()
        .map(|system| Candidate::new(&system.name, &system.title, system.settings))
        .collect::<foretaste_automl::Result<_>>()?;
    if let Some(candidate) = candidates.iter().find(|candidate| !metric.judges(&candidate.settings)) {
        return Err(BenchError::Usage(format!("{} predicts no ratings; --metric NDCG@10 judges lists", candidate.name)));
    }
    let budget = materials::duration(&arguments.budget)?;
    let prepared = Prepared::new(search, &metric)?;
    let task = prepared.task(search, metric)?;
    let folder = prepared.folder(search, "automl", &task.metric.name)?;
    let address = folder.join("studies.sqlite");
    if address.exists() && !search.resume {
        return Err(BenchError::Usage(format!("{} holds a race already\n  help: --resume goes on with it; --out DIR begins another", folder.display())));
    }
    let names: Vec<String> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
    let of = serde_json::json!({ "budget_seconds": budget.as_secs_f64(), "trials": arguments.trials, "systems": names, "set": search.set });
    prepared.manifest(search, &task, of, &folder)?;
    let race = Race {
        materials: &task.materials,
        metric: &task.metric,
        budget: budget.mul_f64(TRIALS),
        trials: arguments.trials,
        sampled: true,
        seed: search.seed,
        journal: storage::open(&address.display().to_string())?,
        folder: &folder,
        stop: Arc::new(progress::stopping),
        heard: &|text| note(text),
    };
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
    let end = Instant::now() + budget.saturating_sub(clock.elapsed().max(Duration::from_secs_f64(standing.seconds)));
    let (mut joined, mut methods) = joined(&task, &standing, end, arguments.no_ensemble);
    // Elsewhere folds at random would show the past what came after it.
    if prepared.rule.regime() == Regime::Random
        && let Some((better, value)) = restacked(&task, &standing, &joined, end, search.seed)
    {
        methods.push((better.method.clone(), value));
        if methods.iter().all(|(_, other)| value <= *other) {
            joined = better;
        }
    }
    let winner = winner(&standing, &joined);
    // An interrupted race shows how it stands; its winner may change yet, and is not tested.
    let interrupted = progress::stopping();
    let tests = if arguments.test_all && !interrupted { every_test(&task, &standing, search.seed)? } else { Vec::new() };
    let mut board = Leaderboard::new(&task.metric, &standing, &task.materials.validation, methods, &tests);
    board.refitted(&winner, budget.as_secs_f64());
    if interrupted {
        leaderboard::write(&board, &standing, &folder)?;
        print(&board.text());
        return Err(BenchError::Interrupted);
    }
    note(&format!("training {} on all rows that do not test", winner.title));
    let model = task.refit(&winner.settings, search.seed, &Until(None))?;
    board.test = (!search.no_test).then(|| task.tested(model.as_ref()));
    board.seconds = standing.seconds.max(clock.elapsed().as_secs_f64());
    save(model.as_ref(), &prepared.data.table.user_ids, &prepared.data.table.item_ids, &folder.join("model"))?;
    leaderboard::write(&board, &standing, &folder)?;
    if search.json {
        print(&serde_json::to_string(&board).map_err(|e| BenchError::Usage(e.to_string()))?);
    } else {
        print(&board.text());
        print(&format!("model: {}\nreport: {}", folder.join("model").display(), folder.join("report.html").display()));
    }
    Ok(())
}

/// The test figures of all entrants' best trials; none of those that stopped before they had one.
fn every_test(task: &Task, standing: &Standing, seed: u64) -> Result<Vec<Option<f64>>> {
    let of = |index: usize| standing.kept.iter().find(|kept| kept.entrant == index).map(|kept| task.test_of(&kept.settings, seed)).transpose();
    (0..standing.entrants.len()).map(of).collect()
}

/// Ends trainings at Ctrl-C, and at a moment if there is one.
struct Until(Option<Instant>);

impl Progress for Until {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        progress::stopping() || self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// Which trials make the winner, and how.
pub(super) struct Joined {
    /// Places among those kept, with their weights.
    members: Vec<(usize, f64)>,
    intercept: f64,
    /// In words.
    method: String,
}

/// How much longer all rows train than the training rows did.
fn growth(task: &Task) -> f64 {
    task.known.len() as f64 / task.materials.train.len() as f64
}

/// The best trial alone, or the best joined, where rows that found no weights say so and the time left suffices to
/// train all members again; and what each method came to.
pub(super) fn joined(task: &Task, standing: &Standing, end: Instant, alone: bool) -> (Joined, Vec<(String, f64)>) {
    let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
    let cost = |at: usize| standing.kept[at].seconds * growth(task);
    let mut among: Vec<usize> = (0..standing.kept.len()).filter(|at| cost(*at) <= left).take(JOINED).collect();
    if among.is_empty() {
        among.extend((0..standing.kept.len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b))));
    }
    let first = among[0];
    let best = Joined { members: vec![(first, 1.0)], intercept: 0.0, method: Method::Best.name().into() };
    if !task.metric.judges_ratings() || alone {
        return (best, Vec::new());
    }
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
            return (best, methods);
        }
        let weights = method.weights(&predictions);
        let members: Vec<(usize, f64)> = weights.members().map(|(column, weight)| (among[column], weight)).collect();
        // Too slow together: without the slowest, but never without the best, with which all is compared.
        if members.iter().map(|(at, _)| cost(*at)).sum::<f64>() > left {
            let slowest = members.iter().map(|(at, _)| *at).filter(|at| *at != first).max_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            let Some(slowest) = slowest else { return (best, methods) };
            among.retain(|at| *at != slowest);
            continue;
        }
        return (Joined { members, intercept: weights.intercept, method: method.name().into() }, methods);
    }
}

/// The same members with weights from predictions of the training rows out of fold, and what these come to on the judging
/// rows; none where there are no members to weigh, or no time.
fn restacked(task: &Task, standing: &Standing, joined: &Joined, end: Instant, seed: u64) -> Option<(Joined, f64)> {
    let seconds: f64 = joined.members.iter().map(|(at, _)| standing.kept[*at].seconds).sum();
    // Each fold trains on the others; all members are trained once more afterwards.
    let (folds, last) = (seconds * (FOLDS - 1) as f64, seconds * growth(task));
    let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
    if joined.members.len() < 2 || 1.1 * (folds + last) > left {
        return None;
    }
    note(&format!("weighing {} models on {FOLDS} folds of the training rows", joined.members.len()));
    let settings: Vec<ModelSettings> = joined.members.iter().map(|(at, _)| standing.kept[*at].settings.clone()).collect();
    let until = Until(Some(end.checked_sub(Duration::from_secs_f64(1.05 * last))?));
    let columns = out_of_fold(&task.materials, &task.metric, &settings, seed, &until).ok()?;
    let (train, validation) = (&task.materials.train, &task.materials.validation);
    let found = Predictions { columns: columns.iter().map(Vec::as_slice).collect(), values: train.values(), users: &train.row_users() };
    let weights = Method::Stacked.weights(&found);
    let columns = joined.members.iter().map(|(at, _)| standing.kept[*at].predictions.as_slice()).collect();
    let asked = Predictions { columns, values: validation.values(), users: &validation.row_users() };
    let predictions: Vec<f32> = (0..validation.len()).map(|row| weights.of(&asked, row)).collect();
    let value = clipped_rmse(&predictions, validation.values(), task.materials.scale);
    let members = weights.members().map(|(column, weight)| (joined.members[column].0, weight)).collect();
    Some((Joined { members, intercept: weights.intercept, method: format!("{}, {FOLDS} folds", Method::Stacked.name()) }, value))
}

/// The winner as it is trained and told of.
pub(super) fn winner(standing: &Standing, joined: &Joined) -> Winner {
    let Joined { members, intercept, method } = joined;
    let title = |at: usize| standing.entrants[standing.kept[at].entrant].candidate.title.clone();
    let named = members.iter().map(|(at, weight)| (title(*at), standing.kept[*at].trial, *weight)).collect();
    let settings: Vec<(ModelSettings, f32)> = members.iter().map(|(at, weight)| (standing.kept[*at].settings.clone(), *weight as f32)).collect();
    match members.as_slice() {
        [(only, weight)] if *weight == 1.0 && *intercept == 0.0 => Winner { title: title(*only), settings: settings[0].0.clone(), members: named },
        more => Winner {
            title: match more {
                [(only, _)] => format!("{}, shifted and scaled ({method})", title(*only)),
                _ => format!("an ensemble of {} ({method})", more.len()),
            },
            settings: ModelSettings::Ensemble(ensemble::Settings::of(&settings, *intercept as f32)),
            members: named,
        },
    }
}
