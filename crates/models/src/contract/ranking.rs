//! The contract of models that rank items.

use super::{Case, StopAfter, changed, states_are_values};
use crate::{Device, FitContext, ModelError, Trained, load, mean_reciprocal_rank, save, weights_hash};
use foretaste_data::{Histories, History, Interactions, Parts, Role, SplitRule, embedded};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The users below 60 of the embedded data set and their items: few enough for models whose work grows with
/// the catalogue's cube.
fn data() -> &'static Interactions {
    static DATA: OnceLock<Interactions> = OnceLock::new();
    DATA.get_or_init(|| {
        embedded::load().unwrap().of_users(|name| name.parse().is_ok_and(|id: u32| id < 60)).unwrap()
    })
}

fn parts(rule: &SplitRule) -> Parts {
    rule.split(data(), 1, 0.0).unwrap().parts(data())
}

const LAST: SplitRule = SplitRule::LeaveLast { test: 5 };

fn scores(model: &dyn Trained, user: u32, known: History<'_>, timestamp: i64) -> Vec<f32> {
    let mut scores = vec![f32::NAN; data().n_items()];
    model.scores(&model.start(user, known), timestamp, &mut scores);
    scores
}

/// Held-out items rank at least twice as high as by chance.
pub fn beats_chance(case: &Case) {
    let parts = parts(&LAST);
    let model = case.fit(&parts.train, 0).model;
    // A random order has a mean reciprocal rank of (ln n + 0.58) / n.
    let n = data().n_items() as f64;
    let (found, chance) =
        (mean_reciprocal_rank(model.as_ref(), &parts.train, &parts.test), (n.ln() + 0.58) / n);
    assert!(found > 2.0 * chance, "{found} against {chance}");
}

/// The mean reciprocal rank of the case on a changed log.
fn rank_on(case: &Case, time: impl Fn(i64) -> i64 + Copy, turned: bool) -> f64 {
    let parts = parts(&LAST);
    let users = parts.train.n_users();
    let [train, test] = [&parts.train, &parts.test].map(|rows| changed(rows, users, |r| r, time, turned));
    mean_reciprocal_rank(case.fit(&train, 0).model.as_ref(), &train, &test)
}

/// Users and items under other indices: other random choices and ties, and about the same quality.
pub fn renamed_ids_change_little(case: &Case) {
    let (base, renamed) = (rank_on(case, |t| t, false), rank_on(case, |t| t, true));
    assert!((0.5..2.0).contains(&(renamed / base)), "MRR {base}, under other names {renamed}");
}

/// Times that run twice as fast: sessions and decay are others, and the quality is about the same.
pub fn a_doubled_time_unit_changes_little(case: &Case) {
    let (base, doubled) = (rank_on(case, |t| t, false), rank_on(case, |t| 2 * t, false));
    assert!((0.5..2.0).contains(&(doubled / base)), "MRR {base}, at twice the time {doubled}");
}

/// A saved model is the same model.
pub fn saves_and_loads(case: &Case) {
    let parts = parts(&LAST);
    let model = case.fit(&parts.train, 0).model;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
    let loaded = load(&path).unwrap().model;
    assert_eq!(loaded.settings(), model.settings());
    assert_eq!(weights_hash(loaded.as_ref()), weights_hash(model.as_ref()));
    assert_eq!(loaded.ratings().is_err(), model.ratings().is_err());
    for user in [0, 7, u32::MAX] {
        let known = parts.train.user(user);
        assert_eq!(
            scores(loaded.as_ref(), user, known, 1_000_000_000),
            scores(model.as_ref(), user, known, 1_000_000_000)
        );
    }
}

/// The same seed gives the same weights.
pub fn equal_seeds_equal_results(case: &Case) {
    let parts = parts(&LAST);
    let hash = |seed| weights_hash(case.fit(&parts.train, seed).model.as_ref());
    assert_eq!(hash(3), hash(3));
    assert_eq!(hash(3) != hash(4), case.random, "only models with random choices depend on the seed");
}

/// One thread or three: the same weights and scores.
pub fn threads_change_no_bit(case: &Case) {
    let parts = parts(&LAST);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = case.fit(&parts.train, 0).model;
            (weights_hash(model.as_ref()), scores(model.as_ref(), 3, parts.train.user(3), 1_000_000_000))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// Starting from a history and updating row by row give the same state; later rows change no earlier score.
pub fn histories_and_updates_agree(case: &Case) {
    let parts = parts(&LAST);
    let model = case.fit(&parts.train, 0).model;
    let (known, asked) = (parts.train.user(5), parts.test.user(5));
    let mut state = model.start(5, known);
    let mut out = vec![0.0; data().n_items()];
    let mut whole = (known.items.to_vec(), known.values.to_vec(), known.timestamps.to_vec());
    for row in 0..asked.len() {
        model.scores(&state, asked.timestamps.at(row), &mut out);
        let history = History {
            items: &whole.0,
            values: whole.1.as_slice().into(),
            timestamps: whole.2.as_slice().into(),
        };
        assert_eq!(out, scores(model.as_ref(), 5, history, asked.timestamps.at(row)), "row {row}");
        assert!(out.iter().all(|score| score.is_finite()));
        model.update(&mut state, asked.items[row], asked.values[row], asked.timestamps.at(row));
        whole.0.push(asked.items[row]);
        whole.1.push(asked.values[row]);
        whole.2.push(asked.timestamps.at(row));
    }
}

/// New users get a ranking, and unknown items do no harm.
pub fn new_users_are_ranked_for(case: &Case) {
    let parts = parts(&LAST);
    let model = case.fit(&parts.train, 0).model;
    let nothing = parts.train.user(u32::MAX);
    let first = scores(model.as_ref(), u32::MAX, nothing, 1_000_000_000);
    assert!(
        first.iter().all(|score| score.is_finite()) && first.iter().any(|score| *score != first[0]),
        "new users have an order, too"
    );
    // Neither an unknown item nor an unknown value does harm.
    let mut state = model.start(u32::MAX, nothing);
    model.update(&mut state, u32::MAX, f32::NAN, 1_000_000_000);
    let mut out = vec![0.0; data().n_items()];
    model.scores(&state, 1_000_000_001, &mut out);
    assert!(out.iter().all(|score| score.is_finite()));
}

/// A value out of range and no rows are errors; events without values are rows.
pub fn bad_settings_and_rows_are_refused(case: &Case) {
    let refused = case.refused.parse().unwrap();
    assert!(matches!(case.settings.kind().settings(refused), Err(ModelError::Setting { .. })));
    let device = Device::flex();
    let empty = Histories::new(vec![0, 0], vec![], vec![], vec![], 3);
    assert!(matches!(
        case.settings.fit(&empty, None, &FitContext::new(0, &device)),
        Err(ModelError::Training { .. })
    ));
    // Events without values are ordinary rows.
    let events = Histories::new(vec![0, 3], vec![0, 1, 2], vec![f32::NAN; 3], vec![0, 1, 2], 3);
    case.settings.fit(&events, None, &FitContext::new(0, &device)).unwrap();
}

/// Invariant 2: the trained model does not depend on the test rows, to the byte.
pub fn test_rows_reach_no_training(case: &Case) {
    for rule in [
        LAST,
        SplitRule::LastSession { gap: 1800 },
        SplitRule::HeldUsers { users: 0.1, asked: 0.1 },
        SplitRule::Cut { test: 0.1 },
    ] {
        let train = |table: &Interactions, roles: &foretaste_data::Split| {
            let parts = roles.parts(table);
            let device = Device::flex();
            let fitted = case
                .settings
                .fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device))
                .unwrap();
            (weights_hash(fitted.model.as_ref()), fitted.curve)
        };
        let split = rule.split(data(), 1, 0.1).unwrap();
        let before = train(data(), &split);
        let mut changed = data().clone();
        let rows: Vec<usize> =
            (0..changed.len()).filter(|row| matches!(split.roles[*row], Role::Test | Role::Given)).collect();
        rows.iter().for_each(|row| changed.items[*row] = 0);
        changed.values.change(|row, value| if rows.binary_search(&row).is_ok() { 0.5 } else { value });
        assert!(rows.len() > 100, "{}: {}", rule.name(), rows.len());
        assert_eq!(before, train(&changed, &split), "{}", rule.name());
    }
}

/// An interrupted training resumes from its checkpoint and ends in the same bytes.
pub fn interrupted_trainings_go_on(case: &Case) {
    let parts = LAST.split(data(), 1, 0.05).unwrap().parts(data());
    let device = Device::flex();
    let straight =
        case.settings.fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device)).unwrap();
    if straight.curve.is_empty() {
        return; // Nothing to interrupt.
    }
    let folder = tempfile::tempdir().unwrap();
    let stop = StopAfter(AtomicUsize::new(0), 1);
    let context = FitContext {
        progress: &stop,
        checkpoint: Some(folder.path()),
        checkpoint_every: Duration::ZERO,
        ..FitContext::new(0, &device)
    };
    assert!(matches!(
        case.settings.fit(&parts.train, Some(&parts.validation), &context),
        Err(ModelError::Interrupted)
    ));
    let epochs = StopAfter(AtomicUsize::new(0), usize::MAX);
    let resumed = case
        .settings
        .fit(&parts.train, Some(&parts.validation), &FitContext { progress: &epochs, ..context })
        .unwrap();
    assert_eq!(epochs.0.load(Ordering::SeqCst), straight.curve.len() - 1, "an epoch is not repeated");
    assert_eq!(weights_hash(resumed.model.as_ref()), weights_hash(straight.model.as_ref()));
    assert_eq!(resumed.curve, straight.curve);
}

/// Continued, restored and rebuilt states give the same ranks to the bit.
pub fn states_carry_on(case: &Case) {
    let parts = parts(&LAST);
    let model = case.fit(&parts.train, 0).model;
    states_are_values(model.as_ref(), &parts);
}
