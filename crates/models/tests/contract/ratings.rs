//! The contract of models that predict ratings.

use super::{HOLD_OUT, StopAfter, data, fit, parts, small};
use foretaste_data::{Histories, Interactions, SplitRule};
use foretaste_metrics::rmse;
use foretaste_models::{Device, FitContext, Kind, ModelError, Reading, load, save, weights_hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn beats_the_constant_predictor(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let model = fit(kind, &parts.train, 0).model;
    let mean = parts.train.mean().unwrap() as f32;
    let constant = rmse(&vec![mean; parts.test.len()], parts.test.values());
    for reading in Reading::ALL {
        let error = rmse(&model.ratings().unwrap().predict(&parts.train, &parts.test, reading), parts.test.values());
        assert!(error < 0.97 * constant, "{reading:?}: {error} against {constant}");
    }
}

fn saves_and_loads(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let model = fit(kind, &parts.train, 0).model;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for _ in 0..2 {
        // From the second time on an older model of that name is replaced.
        save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
        // A save that was killed ten minutes ago.
        #[cfg(unix)]
        for left in [".writing-model-1", ".old-model-1"] {
            let left = folder.path().join(left);
            std::fs::create_dir_all(left.join("inner")).unwrap();
            std::fs::File::open(&left).unwrap().set_modified(std::time::SystemTime::now() - Duration::from_mins(10)).unwrap();
        }
    }
    save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.model.settings(), model.settings());
    assert_eq!(loaded.model.parameters(), model.parameters());
    assert_eq!(weights_hash(loaded.model.as_ref()), weights_hash(model.as_ref()));
    assert_eq!(loaded.item_ids, data().item_ids);
    for reading in Reading::ALL {
        assert_eq!(
            loaded.model.ratings().unwrap().predict(&parts.train, &parts.test, reading),
            model.ratings().unwrap().predict(&parts.train, &parts.test, reading)
        );
    }
    let refused = |what: &str| match load(&path) {
        Err(error) => assert!(error.to_string().contains(what), "{error}"),
        Ok(_) => panic!("{what} was loaded"),
    };
    let weights = std::fs::read(path.join("weights.safetensors")).unwrap();
    std::fs::write(path.join("weights.safetensors"), &weights[..weights.len() - 4]).unwrap();
    refused("damaged");
    std::fs::write(path.join("weights.safetensors"), &weights).unwrap();
    let manifest = std::fs::read_to_string(path.join("manifest.json")).unwrap();
    std::fs::write(path.join("manifest.json"), manifest.replace("foretaste-model/1", "foretaste-model/9")).unwrap();
    refused("foretaste-model/9");
    std::fs::write(path.join("manifest.json"), "{\"format\": \"foretaste-run/1\"}").unwrap();
    assert!(save(model.as_ref(), &data().user_ids, &data().item_ids, &path).is_err(), "the folder of a run is left alone");
    std::fs::remove_file(path.join("manifest.json")).unwrap();
    refused("no saved model");
    assert!(save(model.as_ref(), &data().user_ids, &data().item_ids, &path).is_err(), "a folder that is no model is left alone");
}

fn equal_seeds_equal_results(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let hash = |seed| weights_hash(fit(kind, &parts.train, seed).model.as_ref());
    assert_eq!(hash(3), hash(3));
    let random = !matches!(kind, Kind::RollingAverage | Kind::Biases);
    assert_eq!(hash(3) != hash(4), random, "only models with random choices depend on the seed");
}

fn threads_change_no_bit(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = fit(kind, &parts.train, 0).model;
            (weights_hash(model.as_ref()), Reading::ALL.map(|r| model.ratings().unwrap().predict(&parts.train, &parts.test, r)))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// What is predicted for a user does not depend on who is predicted beside.
fn predictions_do_not_depend_on_company(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let model = fit(kind, &parts.train, 0).model;
    for reading in Reading::ALL {
        let all = model.ratings().unwrap().predict(&parts.train, &parts.test, reading);
        for user in [0, 7, 149] {
            let range = parts.test.range(user);
            let mut alone = vec![0.0; range.len()];
            model.ratings().unwrap().predict_user(user, parts.train.user(user), parts.test.user(user), reading, &mut alone);
            assert_eq!(all[range], alone, "user {user}");
        }
    }
}

/// Frozen predictions do not see test values; streaming ones see those of the past alone.
fn readings_keep_their_promise(kind: Kind) {
    let parts = parts(&SplitRule::LeaveLast { test: 5 });
    let model = fit(kind, &parts.train, 0).model;
    let mut changed = parts.test.clone();
    let first = changed.range(3).start;
    changed.change_values(|row, value| if row == first + 2 { 0.5 } else { value });
    assert_ne!(parts.test.values()[first + 2], 0.5);
    let predict = |test: &Histories, reading| model.ratings().unwrap().predict(&parts.train, test, reading);
    assert_eq!(predict(&parts.test, Reading::Frozen), predict(&changed, Reading::Frozen));
    let (before, after) = (predict(&parts.test, Reading::Streaming), predict(&changed, Reading::Streaming));
    assert_eq!(before[..first + 3], after[..first + 3], "what comes before the changed rating, and its own prediction, stay");
    assert_ne!(before[first + 3..first + 5], after[first + 3..first + 5], "what comes after it moves");
    assert_eq!(before[first + 5..], after[first + 5..], "other users stay");
}

fn strangers_are_answered(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let model = fit(kind, &parts.train, 0).model;
    let nobody = Histories::new(vec![0], vec![], vec![], vec![], 0);
    let known = nobody.user(9);
    let far = u32::MAX;
    for (user, item) in [(far, 0), (0, far), (far, far)] {
        let mut state = model.ratings().unwrap().start(user, if user == far { known } else { parts.train.user(user) });
        for _ in 0..3 {
            let prediction = state.predict(item, 1_000_000_000);
            assert!(prediction.is_finite() && (0.0..6.0).contains(&prediction), "user {user}, item {item}: {prediction}");
            state.reveal(item, 4.0, 1_000_000_000);
        }
    }
    // A new user's known rows count: two opposite histories are told apart.
    let history = |value: f32| {
        let items: Vec<u32> = (0..20).collect();
        Histories::new(vec![0, 20], items, vec![value; 20], (0..20).collect::<Vec<i64>>(), data().n_items())
    };
    let (glad, sad) = (history(5.0), history(1.0));
    let predict = |known: &Histories| model.ratings().unwrap().start(far, known.user(0)).predict(30, 100);
    assert!(predict(&glad) > predict(&sad) + 0.3, "{} {}", predict(&glad), predict(&sad));
}

fn bad_settings_and_rows_are_refused(kind: Kind) {
    let bad = match kind {
        Kind::RollingAverage => "user_shrinkage = 0.0",
        Kind::Biases => "sweeps = 0",
        Kind::Pmf => "learning_rate = 7.0",
        Kind::Tsvd => "item_bins = 0",
        Kind::Fm => "kept = 0",
        Kind::Autorec => "side = \"both\"",
        Kind::Deeprec => "layers = []",
        Kind::Deepfm => "depth = 33",
        Kind::Rrn => "item_days = 0",
        Kind::Rnn => "window = 0",
        Kind::Hrnn => "height = 4",
        Kind::Ensemble => "members = []",
        _ => unreachable!("predicts no ratings"),
    };
    assert!(matches!(kind.settings(bad.parse().unwrap()), Err(ModelError::Setting { .. })));
    let device = Device::flex();
    let context = FitContext::new(0, &device);
    let empty = Histories::new(vec![0, 0], vec![], vec![], vec![], 3);
    assert!(matches!(small(kind).fit(&empty, None, &context), Err(ModelError::Training { .. })));
    let unrated = Histories::new(vec![0, 1], vec![0], vec![f32::NAN], vec![0], 3);
    assert!(matches!(small(kind).fit(&unrated, None, &context), Err(ModelError::Training { .. })));
}

/// Invariant 2: whatever the test ratings are, the trained model is the same to the byte.
fn test_ratings_reach_no_training(kind: Kind) {
    for rule in [
        HOLD_OUT,
        SplitRule::KFold { folds: 5, fold: 1 },
        SplitRule::PerUserShare { train: 0.7 },
        SplitRule::LeaveLast { test: 1 },
        SplitRule::Cut { test: 0.1 },
    ] {
        let validation = if matches!(rule, SplitRule::PerUserShare { .. }) { 0.0 } else { 0.05 };
        let train = |table: &Interactions| {
            let parts = rule.split(table, 1, validation).unwrap().parts(table);
            let device = Device::flex();
            let fitted = small(kind).fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device)).unwrap();
            (weights_hash(fitted.model.as_ref()), fitted.curve)
        };
        let before = train(data());
        let mut changed = data().clone();
        let roles = rule.split(data(), 1, validation).unwrap().roles;
        let tests = |row: usize| roles[row] == foretaste_data::Role::Test;
        changed.values.change(|row, value| if tests(row) { 5.5 - value } else { value });
        let count = (0..changed.len()).filter(|row| tests(*row)).count();
        assert!(count > 100, "{}: {count}", rule.name());
        assert_eq!(before, train(&changed), "{}", rule.name());
    }
}

/// An interrupted training goes on from its checkpoint to the same bytes.
fn interrupted_trainings_go_on(kind: Kind) {
    let parts = SplitRule::HoldOut { test: 0.1 }.split(data(), 1, 0.05).unwrap().parts(data());
    let device = Device::flex();
    for validation in [None, Some(&parts.validation)] {
        let straight = small(kind).fit(&parts.train, validation, &FitContext::new(0, &device)).unwrap();
        if straight.curve.is_empty() {
            return; // Nothing to interrupt.
        }
        let folder = tempfile::tempdir().unwrap();
        let stop = StopAfter(AtomicUsize::new(0), 2);
        let context = FitContext { progress: &stop, checkpoint: Some(folder.path()), checkpoint_every: Duration::ZERO, ..FitContext::new(0, &device) };
        assert!(matches!(small(kind).fit(&parts.train, validation, &context), Err(ModelError::Interrupted)));
        assert!(folder.path().join("checkpoint.json").is_file());
        let heard = StopAfter(AtomicUsize::new(0), usize::MAX);
        let context = FitContext { progress: &heard, ..context };
        let resumed = small(kind).fit(&parts.train, validation, &context).unwrap();
        assert_eq!(heard.0.load(Ordering::SeqCst), straight.curve.len() - 2, "two epochs are not repeated");
        assert_eq!(weights_hash(resumed.model.as_ref()), weights_hash(straight.model.as_ref()));
        assert_eq!(resumed.curve, straight.curve);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a finished training leaves no checkpoint");
    }
}

/// A checkpoint of another training (another seed) is never taken up.
fn foreign_checkpoints_are_ignored(kind: Kind) {
    let parts = parts(&HOLD_OUT);
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let stop = StopAfter(AtomicUsize::new(0), 1);
    let context = FitContext { progress: &stop, checkpoint: Some(folder.path()), checkpoint_every: Duration::ZERO, ..FitContext::new(7, &device) };
    if small(kind).fit(&parts.train, None, &context).is_ok() {
        return; // Models without epochs write none.
    }
    let heard = StopAfter(AtomicUsize::new(0), usize::MAX);
    let context = FitContext { progress: &heard, seed: 8, ..context };
    let other = small(kind).fit(&parts.train, None, &context).unwrap();
    assert_eq!(weights_hash(other.model.as_ref()), weights_hash(fit(kind, &parts.train, 8).model.as_ref()));
}

macro_rules! contract {
    ($($module:ident: $kind:expr;)*) => {
        /// Each model of the crate has its module below.
        #[test]
        fn every_model_is_held_to_the_contract() {
            let rating: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.defaults().predicts_ratings()).collect();
            assert_eq!([$($kind),*].as_slice(), rating);
        }

        $(mod $module {
            use super::*;
            contract!(@ $kind;
                beats_the_constant_predictor saves_and_loads equal_seeds_equal_results threads_change_no_bit
                predictions_do_not_depend_on_company readings_keep_their_promise strangers_are_answered
                bad_settings_and_rows_are_refused test_ratings_reach_no_training interrupted_trainings_go_on
                foreign_checkpoints_are_ignored
            );
        })*
    };
    (@ $kind:expr; $($test:ident)*) => {
        $(#[test] fn $test() { super::$test($kind); })*
    };
}

contract! {
    rolling_average: Kind::RollingAverage;
    biases: Kind::Biases;
    pmf: Kind::Pmf;
    tsvd: Kind::Tsvd;
    fm: Kind::Fm;
    autorec: Kind::Autorec;
    deeprec: Kind::Deeprec;
    deepfm: Kind::Deepfm;
    rrn: Kind::Rrn;
    rnn: Kind::Rnn;
    hrnn: Kind::Hrnn;
    ensemble: Kind::Ensemble;
}
