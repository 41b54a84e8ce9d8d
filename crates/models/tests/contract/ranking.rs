//! The contract of models that rank items.

use super::{StopAfter, small};
use foretaste_data::{Histories, History, Interactions, Parts, Role, SplitRule, embedded};
use foretaste_models::{Device, FitContext, Fitted, Kind, ModelError, ModelSettings, Trained, load, mean_reciprocal_rank, save, weights_hash};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The users below 60 of the embedded data set and their items: few enough for models whose work grows with the
/// catalogue's cube.
fn data() -> &'static Interactions {
    static DATA: OnceLock<Interactions> = OnceLock::new();
    DATA.get_or_init(|| embedded::load().unwrap().of_users(|name| name.parse().is_ok_and(|id: u32| id < 60)).unwrap())
}

fn parts(rule: &SplitRule) -> Parts {
    rule.split(data(), 1, 0.0).unwrap().parts(data())
}

const LAST: SplitRule = SplitRule::LeaveLast { test: 5 };

/// Settings under which a model ranks items, small enough for a test.
fn ranker(kind: Kind) -> ModelSettings {
    match kind {
        Kind::Hrnn => kind.settings("objective = \"next-item\"\nsize = 12\nitem_factors = 12\nepochs = 4\nrows = 16\nbptt = 16\nnegatives = 64\nlearning_rate = 0.01\ndecay = 0.9\nmemories = false".parse().unwrap()).unwrap(),
        Kind::Deepfm => kind.settings("objective = \"click\"\nthreshold = 0.0\nnegatives = 4\nfactors = 8\nsize = 16\nepochs = 6\nbatch = 256\nlearning_rate = 0.01\nrecent = 5".parse().unwrap()).unwrap(),
        kind => small(kind),
    }
}

fn train(kind: Kind, rows: &Histories, seed: u64) -> Fitted {
    let device = Device::flex();
    ranker(kind).fit(rows, None, &FitContext::new(seed, &device)).unwrap()
}

fn scores(model: &dyn Trained, user: u32, known: History<'_>, timestamp: i64) -> Vec<f32> {
    let mut scores = vec![f32::NAN; data().n_items()];
    model.rank(user, known).scores(timestamp, &mut scores);
    scores
}

fn beats_chance(kind: Kind) {
    let parts = parts(&LAST);
    let model = train(kind, &parts.train, 0).model;
    // Items of equal chance have a mean reciprocal rank of (ln n + 0.58) / n.
    let n = data().n_items() as f64;
    let (found, chance) = (mean_reciprocal_rank(model.as_ref(), &parts.train, &parts.test), (n.ln() + 0.58) / n);
    assert!(found > 2.0 * chance, "{found} against {chance}");
}

fn saves_and_loads(kind: Kind) {
    let parts = parts(&LAST);
    let model = train(kind, &parts.train, 0).model;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
    let loaded = load(&path).unwrap().model;
    assert_eq!(loaded.settings(), model.settings());
    assert_eq!(weights_hash(loaded.as_ref()), weights_hash(model.as_ref()));
    assert_eq!(loaded.ratings().is_err(), model.ratings().is_err());
    for user in [0, 7, u32::MAX] {
        let known = parts.train.user(user);
        assert_eq!(scores(loaded.as_ref(), user, known, 1_000_000_000), scores(model.as_ref(), user, known, 1_000_000_000));
    }
}

fn equal_seeds_equal_results(kind: Kind) {
    let parts = parts(&LAST);
    let hash = |seed| weights_hash(train(kind, &parts.train, seed).model.as_ref());
    assert_eq!(hash(3), hash(3));
    assert_eq!(hash(3) != hash(4), matches!(kind, Kind::Deepfm | Kind::Hrnn | Kind::Ials), "only models with random choices depend on the seed");
}

fn threads_change_no_bit(kind: Kind) {
    let parts = parts(&LAST);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = train(kind, &parts.train, 0).model;
            (weights_hash(model.as_ref()), scores(model.as_ref(), 3, parts.train.user(3), 1_000_000_000))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// Replaying a history and revealing it row by row come to the same; what comes later moves no score before.
fn states_go_on(kind: Kind) {
    let parts = parts(&LAST);
    let model = train(kind, &parts.train, 0).model;
    let (known, asked) = (parts.train.user(5), parts.test.user(5));
    let mut state = model.rank(5, known);
    let mut out = vec![0.0; data().n_items()];
    let mut whole = (known.items.to_vec(), known.values.to_vec(), known.timestamps.to_vec());
    for row in 0..asked.len() {
        state.scores(asked.timestamps.at(row), &mut out);
        let history = History { items: &whole.0, values: whole.1.as_slice().into(), timestamps: whole.2.as_slice().into() };
        assert_eq!(out, scores(model.as_ref(), 5, history, asked.timestamps.at(row)), "row {row}");
        assert!(out.iter().all(|score| score.is_finite()));
        state.reveal(asked.items[row], asked.values[row], asked.timestamps.at(row));
        whole.0.push(asked.items[row]);
        whole.1.push(asked.values[row]);
        whole.2.push(asked.timestamps.at(row));
    }
}

fn strangers_are_answered(kind: Kind) {
    let parts = parts(&LAST);
    let model = train(kind, &parts.train, 0).model;
    let nothing = parts.train.user(u32::MAX);
    let first = scores(model.as_ref(), u32::MAX, nothing, 1_000_000_000);
    assert!(first.iter().all(|score| score.is_finite()) && first.iter().any(|score| *score != first[0]), "strangers have an order, too");
    // An item nobody knows does no harm, and a value that is not known neither.
    let mut state = model.rank(u32::MAX, nothing);
    state.reveal(u32::MAX, f32::NAN, 1_000_000_000);
    let mut out = vec![0.0; data().n_items()];
    state.scores(1_000_000_001, &mut out);
    assert!(out.iter().all(|score| score.is_finite()));
}

fn bad_settings_and_rows_are_refused(kind: Kind) {
    let bad = match kind {
        Kind::Popularity => "half_life = -1.0",
        Kind::Sims => "min_cointeraction_count = 11",
        Kind::UserKnn => "neighbours = 0",
        Kind::SessionKnn => "idle = 0",
        Kind::Ials => "exponent = 2.0",
        Kind::Ease => "regularization = 0.0",
        _ => "objective = \"next\"",
    };
    assert!(matches!(kind.settings(bad.parse().unwrap()), Err(ModelError::Setting { .. })));
    let device = Device::flex();
    let empty = Histories::new(vec![0, 0], vec![], vec![], vec![], 3);
    assert!(matches!(ranker(kind).fit(&empty, None, &FitContext::new(0, &device)), Err(ModelError::Training { .. })));
    // Events without values are rows like others.
    let events = Histories::new(vec![0, 3], vec![0, 1, 2], vec![f32::NAN; 3], vec![0, 1, 2], 3);
    ranker(kind).fit(&events, None, &FitContext::new(0, &device)).unwrap();
}

/// Invariant 2: whatever the test rows hold, the trained model is the same to the byte.
fn test_rows_reach_no_training(kind: Kind) {
    for rule in [LAST, SplitRule::LastSession { gap: 1800 }, SplitRule::HeldUsers { users: 0.1, asked: 0.1 }, SplitRule::Cut { test: 0.1 }] {
        let train = |table: &Interactions, roles: &foretaste_data::Split| {
            let parts = roles.parts(table);
            let device = Device::flex();
            let fitted = ranker(kind).fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device)).unwrap();
            (weights_hash(fitted.model.as_ref()), fitted.curve)
        };
        let split = rule.split(data(), 1, 0.1).unwrap();
        let before = train(data(), &split);
        let mut changed = data().clone();
        let rows: Vec<usize> = (0..changed.len()).filter(|row| matches!(split.roles[*row], Role::Test | Role::Given)).collect();
        rows.iter().for_each(|row| changed.items[*row] = 0);
        changed.values.change(|row, value| if rows.binary_search(&row).is_ok() { 0.5 } else { value });
        assert!(rows.len() > 100, "{}: {}", rule.name(), rows.len());
        assert_eq!(before, train(&changed, &split), "{}", rule.name());
    }
}

/// An interrupted training goes on from its checkpoint to the same bytes.
fn interrupted_trainings_go_on(kind: Kind) {
    let parts = LAST.split(data(), 1, 0.05).unwrap().parts(data());
    let device = Device::flex();
    let straight = ranker(kind).fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device)).unwrap();
    if straight.curve.is_empty() {
        return; // Nothing to interrupt.
    }
    let folder = tempfile::tempdir().unwrap();
    let stop = StopAfter(AtomicUsize::new(0), 1);
    let context = FitContext { progress: &stop, checkpoint: Some(folder.path()), checkpoint_every: Duration::ZERO, ..FitContext::new(0, &device) };
    assert!(matches!(ranker(kind).fit(&parts.train, Some(&parts.validation), &context), Err(ModelError::Interrupted)));
    let heard = StopAfter(AtomicUsize::new(0), usize::MAX);
    let resumed = ranker(kind).fit(&parts.train, Some(&parts.validation), &FitContext { progress: &heard, ..context }).unwrap();
    assert_eq!(heard.0.load(Ordering::SeqCst), straight.curve.len() - 1, "an epoch is not repeated");
    assert_eq!(weights_hash(resumed.model.as_ref()), weights_hash(straight.model.as_ref()));
    assert_eq!(resumed.curve, straight.curve);
}

macro_rules! contract {
    ($($module:ident: $kind:expr;)*) => {
        /// Each model that predicts no ratings has its module below.
        #[test]
        fn every_model_is_held_to_the_contract() {
            let held = [$($kind),*];
            assert!(Kind::ALL.iter().filter(|kind| !kind.defaults().predicts_ratings()).all(|kind| held.contains(kind)));
        }

        $(mod $module {
            use super::*;
            contract!(@ $kind;
                beats_chance saves_and_loads equal_seeds_equal_results threads_change_no_bit states_go_on strangers_are_answered
                bad_settings_and_rows_are_refused test_rows_reach_no_training interrupted_trainings_go_on
            );
        })*
    };
    (@ $kind:expr; $($test:ident)*) => {
        $(#[test] fn $test() { super::$test($kind); })*
    };
}

contract! {
    deepfm: Kind::Deepfm;
    hrnn: Kind::Hrnn;
    popularity: Kind::Popularity;
    sims: Kind::Sims;
    userknn: Kind::UserKnn;
    sessionknn: Kind::SessionKnn;
    ials: Kind::Ials;
    ease: Kind::Ease;
}
