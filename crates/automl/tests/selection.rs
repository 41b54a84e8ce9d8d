//! Tuning and racing on a small part of the embedded data set.

use foretaste_automl::blend::{self, Method, Predictions};
use foretaste_automl::{
    Candidate, Metric, Objective, Race, SelectionData, Standing, Stopped, Tuning, out_of_fold, tune,
};
use foretaste_data::{Interactions, Role, SplitRule, embedded};
use foretaste_hpo::storage::{self, Memory};
use foretaste_hpo::{Budget, Space, State, Study, StudySettings};
use foretaste_metrics::rmse;
use foretaste_models::{
    Device, FitContext, Kind, ModelSettings, NoProgress, Reading, ensemble, weights_hash,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const RULE: SplitRule = SplitRule::HoldOut { test: 0.1 };

fn log() -> Interactions {
    let mut table = embedded::load().unwrap();
    let rows = table.users.partition_point(|u| *u < 120);
    table.users.truncate(rows);
    table.items.truncate(rows);
    table.timestamps.truncate(rows);
    table.values.truncate(rows);
    table
}

fn data<'a>(table: &Interactions, device: &'a Device) -> SelectionData<'a> {
    let parts = RULE.split(table, 1, 0.1).unwrap().parts(table);
    SelectionData {
        train: parts.train,
        validation: parts.validation,
        scale: Some((0.5, 5.0)),
        user_attributes: None,
        item_attributes: None,
        device,
    }
}

fn candidate(kind: Kind, text: &str) -> Candidate {
    Candidate::new(kind.name(), kind.title(), kind.settings(text.parse().unwrap()).unwrap()).unwrap()
}

fn field() -> Vec<Candidate> {
    vec![
        candidate(Kind::ROLLING_AVERAGE, ""),
        candidate(Kind::BIASES, ""),
        candidate(Kind::PMF, "factors = 8\nepochs = 12\nlearning_rate = 0.02\nbiases = true"),
        candidate(Kind::FM, "factors = 4\niterations = 100\nburn_in = 10\nkept = 10"),
    ]
}

fn race(table: &Interactions, folder: &std::path::Path, stop_after: usize) -> Standing {
    let device = Device::flex();
    let data = data(table, &device);
    let asked = AtomicUsize::new(0);
    Race {
        data: &data,
        metric: &Metric::rmse(Reading::Frozen),
        budget: Duration::from_mins(10),
        trials: Some(3),
        sampled: true,
        seed: 4,
        journal: storage::open(folder.join("studies.sqlite").to_str().unwrap()).unwrap(),
        folder,
        stop: Arc::new(move || asked.fetch_add(1, Ordering::Relaxed) >= stop_after),
        log: &|_| {},
    }
    .run(field())
    .unwrap()
}

/// The results of a race, in an order that does not depend on time.
fn found(standing: &Standing) -> Vec<(usize, usize, f64)> {
    let mut found: Vec<_> = standing.kept.iter().map(|k| (k.entrant, k.trial, k.value)).collect();
    found.sort_by_key(|(entrant, trial, _)| (*entrant, *trial));
    found
}

#[test]
fn a_race_goes_on_where_it_stood_and_ends_with_the_best_first() {
    let table = log();
    let whole_folder = tempfile::tempdir().unwrap();
    let whole = race(&table, whole_folder.path(), usize::MAX);
    assert!(whole.kept.windows(2).all(|pair| pair[0].value <= pair[1].value));
    for entrant in &whole.entrants {
        assert_eq!(entrant.stopped, Some(Stopped::Exhausted), "{}", entrant.candidate.name);
        assert_eq!(entrant.trials.len(), 3);
        // Trial 0 has the default settings.
        assert_eq!(entrant.trials[0].configuration, entrant.candidate.default_configuration());
        assert!(entrant.trials.iter().all(|t| matches!(t.state, State::Complete | State::Pruned)));
    }
    // Nothing is left to do the second time.
    assert_eq!(found(&race(&table, whole_folder.path(), usize::MAX)), found(&whole));

    // Interrupted again and again, it gives the same result.
    let folder = tempfile::tempdir().unwrap();
    for stop_after in [3, 9, 27, usize::MAX] {
        let standing = race(&table, folder.path(), stop_after);
        if stop_after == usize::MAX {
            let trials = |standing: &Standing| {
                standing
                    .entrants
                    .iter()
                    .map(|e| e.trials.iter().map(|t| t.configuration.clone()).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
            };
            assert_eq!(trials(&standing), trials(&whole));
            assert_eq!(found(&standing), found(&whole));
        }
    }
}

/// Invariant 2, for tuning, racing, joining and training the winner: all results are independent of the test
/// ratings, to the byte.
#[test]
fn test_ratings_reach_no_selection() {
    let choose = |table: &Interactions| {
        let folder = tempfile::tempdir().unwrap();
        let standing = race(table, folder.path(), usize::MAX);
        let device = Device::flex();
        let data = data(table, &device);
        let users = data.validation.row_users();
        let mut kept: Vec<_> = standing.kept.iter().collect();
        kept.sort_by_key(|k| (k.entrant, k.trial));
        let columns = kept.iter().map(|k| k.predictions.as_slice()).collect();
        let predictions = Predictions { columns, values: &data.validation.values().to_vec(), users: &users };
        let judged = blend::judged(&predictions, data.scale);
        let weights = Method::Stacked.weights(&predictions);
        let members: Vec<(ModelSettings, f32)> =
            weights.members().map(|(at, w)| (kept[at].settings.clone(), w as f32)).collect();
        let settings = ModelSettings::from(ensemble::Settings::of(&members, weights.intercept as f32));
        let known = data.train.merged(&data.validation);
        let model = settings.fit(&known, None, &FitContext::new(0, &device)).unwrap().model;
        (found(&standing), judged, weights, weights_hash(model.as_ref()))
    };
    let table = log();
    let mut changed = table.clone();
    let roles = RULE.split(&table, 1, 0.1).unwrap().roles;
    changed.values.change(|row, value| if roles[row] == Role::Test { 5.5 - value } else { value });
    assert_ne!(table.values, changed.values);
    assert_eq!(choose(&table), choose(&changed));
}

#[test]
fn tuning_begins_with_the_defaults_and_prunes() {
    let table = log();
    let device = Device::flex();
    let data = data(&table, &device);
    let metric = Metric::rmse(Reading::Frozen);
    let candidate = candidate(Kind::PMF, "factors = 8\nepochs = 12\nlearning_rate = 0.02\nbiases = true");
    let settings = StudySettings { pruner: "asha".parse().unwrap(), ..StudySettings::default() };
    let study = Study::open(Arc::new(Memory::default()), candidate.space.clone().unwrap(), settings).unwrap();
    let ended = AtomicUsize::new(0);
    let objective = Objective { data: &data, metric: &metric, candidate: &candidate };
    let count = |_: &_, _: &_| {
        ended.fetch_add(1, Ordering::Relaxed);
    };
    let tuning = Tuning { budget: Budget::trials(8), jobs: 2, threads: 2, folder: None, on_end: &count };
    assert_eq!(tune(&study, &objective, &tuning).unwrap(), 8);
    assert_eq!(ended.into_inner(), 8);
    let trials = study.trials().unwrap();
    assert_eq!(trials[0].configuration, candidate.default_configuration());
    assert!(
        trials.iter().any(|t| t.state == State::Pruned) && trials.iter().all(|t| t.state != State::Failed),
        "{trials:?}"
    );
    assert!(trials.iter().filter(|t| t.state == State::Pruned).all(|t| t.reports.len() < 12));
    // The value is that of the settings without a study.
    let best = study.best().unwrap().unwrap();
    let again = objective
        .score(
            &candidate.with(&best.configuration).unwrap(),
            foretaste_hpo::trial_seed(0, best.number),
            &NoProgress,
            None,
        )
        .unwrap();
    assert_eq!(Some(again.value), best.value);
    let clipped: Vec<f32> = again.predictions.unwrap().iter().map(|p| p.clamp(0.5, 5.0)).collect();
    assert_eq!(again.value, rmse(&clipped, data.validation.values()));
}

#[test]
fn every_models_search_space_is_one_and_holds_its_defaults() {
    for kind in Kind::BUILT_IN {
        let candidate = Candidate::new(kind.name(), kind.title(), kind.defaults()).unwrap();
        let Some(space) = &candidate.space else {
            assert_eq!(*kind, Kind::ENSEMBLE);
            continue;
        };
        space.check(&candidate.default_configuration()).unwrap_or_else(|e| panic!("{}: {e}", kind.name()));
        // The model accepts whatever is drawn.
        for seed in 0..20 {
            let study = Study::in_memory(
                space.clone(),
                StudySettings { seed, sampler: "random".parse().unwrap(), ..StudySettings::default() },
            )
            .unwrap();
            let trial = study.ask(None).unwrap().unwrap();
            candidate.with(trial.configuration()).unwrap_or_else(|e| panic!("{}: {e}", kind.name()));
        }
    }
    // What belongs to another learner is not searched.
    let names = |text: &str| {
        candidate(Kind::FM, text)
            .space
            .unwrap()
            .parameters()
            .iter()
            .map(|p| p.name.clone())
            .collect::<Vec<_>>()
    };
    assert!(
        names("").iter().all(|n| !n.starts_with("sgd_"))
            && names("learner = \"sgd\"").contains(&"sgd_regularization".to_owned())
    );
    let _: Space = Kind::HRNN.search_space().parse().unwrap();
}

/// A row's own rating does not reach the model that predicts it; the others' do.
#[test]
fn out_of_fold_predictions_do_not_see_their_rows() {
    let table = log();
    let device = Device::flex();
    let metric = Metric::rmse(Reading::Frozen);
    let settings = [Kind::BIASES.defaults(), Kind::ROLLING_AVERAGE.defaults()];
    let found = |changed: Option<usize>| {
        let mut data = data(&table, &device);
        if let Some(row) = changed {
            data.train.change_values(|at, value| if at == row { 5.5 - value } else { value });
        }
        out_of_fold(&data, &metric, &settings, 7, &NoProgress).unwrap()
    };
    let before = found(None);
    for row in [0, 13, 500] {
        let after = found(Some(row));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before[row], after[row], "row {row}");
            assert_ne!(before, after, "row {row} teaches the models of other folds");
        }
    }
    assert!(before.iter().flatten().all(|p| p.is_finite() && (0.0..6.0).contains(p)));
}
