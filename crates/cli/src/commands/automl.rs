//! `automl`: let the systems compete for a budget's time, combine the best, and test the winner once.

use super::search::{self as searching, Prepared, UntilCtrlC};
use super::use_threads;
use crate::arguments::Automl as Arguments;
use crate::leaderboard::Leaderboard;
use crate::output::{note, print};
use crate::{CliError, Result, leaderboard, progress};
use foretaste_automl::{Candidate, Decision, Metric, Race, Standing, TRIALS_SHARE, Task};
use foretaste_bench::systems;
use foretaste_data::Regime;
use foretaste_hpo::storage;
use foretaste_models::{Reading, save};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    progress::stop_on_ctrl_c();
    let search = &arguments.search;
    use_threads(search.common.threads)?;
    let clock = Instant::now();
    let reading = if search.streaming { Reading::Streaming } else { Reading::Frozen };
    let metric = Metric::named(&arguments.metric, reading)?;
    let candidates = candidates(arguments, &metric)?;
    let budget = searching::duration(&arguments.budget)?;
    let prepared = Prepared::new(search, &metric)?;
    let task = prepared.task(search, metric)?;
    let folder = prepared.folder(search, "automl", &task.metric.name)?;
    let address = folder.join("studies.sqlite");
    if address.exists() && !search.resume {
        return Err(CliError::Usage(format!(
            "{} holds a race already\n  help: --resume continues it; --out DIR begins another",
            folder.display()
        )));
    }
    let names: Vec<String> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
    let of = serde_json::json!({ "budget_seconds": budget.as_secs_f64(), "trials": arguments.trials,
        "systems": names, "set": search.set });
    prepared.manifest(search, &task, &of, &folder)?;
    let race = Race {
        data: &task.data,
        metric: &task.metric,
        budget: budget.mul_f64(TRIALS_SHARE),
        trials: arguments.trials,
        sampled: true,
        seed: search.seed,
        journal: storage::open(&address.display().to_string())?,
        folder: &folder,
        stop: Arc::new(progress::stopping),
        log: &|text| note(text),
    };
    let standing = race.run(candidates)?;
    // Empty, unless a training was interrupted.
    names.iter().for_each(|name| drop(std::fs::remove_dir(folder.join("checkpoints").join(name))));
    let _ = std::fs::remove_dir(folder.join("checkpoints"));
    if standing.kept.is_empty() {
        let why = "no system was trained within the budget; give more --budget";
        return Err(if progress::stopping() { CliError::Interrupted } else { CliError::Usage(why.into()) });
    }
    let end = Instant::now()
        + budget.saturating_sub(clock.elapsed().max(Duration::from_secs_f64(standing.seconds)));
    let decision = Decision {
        task: &task,
        standing: &standing,
        end,
        shuffled: prepared.rule.regime() == Regime::Random,
        alone: arguments.no_ensemble,
        seed: search.seed,
        stop: &progress::stopping,
        log: &note,
    };
    let (winner, methods) = decision.winner()?;
    // An interrupted race shows its standing; its winner may still change, and is not tested.
    let interrupted = progress::stopping();
    let all = arguments.test_all && !interrupted;
    let tests = if all { every_test(&task, &standing, search.seed)? } else { Vec::new() };
    let mut board = Leaderboard::new(&task.metric, &standing, &task.data.validation, methods, &tests);
    board.refitted(&winner, budget.as_secs_f64());
    if interrupted {
        leaderboard::write(&board, &standing, &folder)?;
        print(&board.text());
        return Err(CliError::Interrupted);
    }
    note(&format!("training {} on all rows but the test rows", winner.title));
    let model = task.refit(&winner.settings, search.seed, &UntilCtrlC)?;
    board.test = (!search.no_test).then(|| task.tested(model.as_ref()));
    board.seconds = standing.seconds.max(clock.elapsed().as_secs_f64());
    let place = folder.join("model");
    save(model.as_ref(), &prepared.data.table.user_ids, &prepared.data.table.item_ids, &place)?;
    leaderboard::write(&board, &standing, &folder)?;
    if search.common.json {
        print(&serde_json::to_string(&board).map_err(|e| CliError::Usage(e.to_string()))?);
    } else {
        print(&board.text());
        let report = folder.join("report.html");
        print(&format!("model: {}\nreport: {}", place.display(), report.display()));
    }
    Ok(())
}

/// The systems named, or those of the run; the metric must be able to judge them.
fn candidates(arguments: &Arguments, metric: &Metric) -> Result<Vec<Candidate>> {
    let run = if metric.judges_ratings() { "automl" } else { "ranking" };
    let candidates: Vec<Candidate> = systems::select(&arguments.models, run, &arguments.search.set)?
        .into_iter()
        .map(|system| Candidate::new(&system.name, &system.title, system.settings))
        .collect::<foretaste_automl::Result<_>>()?;
    match candidates.iter().find(|candidate| !metric.judges(&candidate.settings)) {
        None => Ok(candidates),
        Some(candidate) => Err(CliError::Usage(format!(
            "{} predicts no ratings; --metric NDCG@10 evaluates lists",
            candidate.name
        ))),
    }
}

/// The test figures of all entrants' best trials; `None` for those that stopped before they had one.
fn every_test(task: &Task, standing: &Standing, seed: u64) -> Result<Vec<Option<f64>>> {
    let of = |index: usize| {
        standing
            .kept
            .iter()
            .find(|kept| kept.entrant == index)
            .map(|kept| task.test_of(&kept.settings, seed))
            .transpose()
    };
    Ok((0..standing.entrants.len()).map(of).collect::<foretaste_automl::Result<_>>()?)
}
