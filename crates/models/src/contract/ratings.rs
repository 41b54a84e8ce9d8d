//! The contract of models that predict ratings.

use super::{Case, HOLD_OUT, StopAfter, changed, data, parts, states_are_values};
use crate::{Device, FitContext, ModelError, Reading, load, save, weights_hash};
use foretaste_data::{Histories, Interactions, SplitRule};
use foretaste_metrics::rmse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Errors are below those of the mean rating, by 3 % at least.
pub fn beats_the_constant_predictor(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let model = case.fit(&parts.train, 0).model;
    let mean = parts.train.mean().unwrap() as f32;
    let constant = rmse(&vec![mean; parts.test.len()], parts.test.values());
    for reading in Reading::ALL {
        let error =
            rmse(&model.ratings().unwrap().predict(&parts.train, &parts.test, reading), parts.test.values());
        assert!(error < 0.97 * constant, "{reading:?}: {error} against {constant}");
    }
}

/// A saved model is the same model; damaged and foreign folders are rejected.
pub fn saves_and_loads(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let model = case.fit(&parts.train, 0).model;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for _ in 0..2 {
        // From the second save on, an older model of that name is replaced.
        save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
        // A save that was killed ten minutes ago.
        #[cfg(unix)]
        for left in [".writing-model-1", ".old-model-1"] {
            let left = folder.path().join(left);
            std::fs::create_dir_all(left.join("inner")).unwrap();
            std::fs::File::open(&left)
                .unwrap()
                .set_modified(std::time::SystemTime::now() - Duration::from_mins(10))
                .unwrap();
        }
    }
    save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    // A save that was killed between its two renames: the older model is still there.
    let aside = folder.path().join(".old-model-1");
    for save_next in [false, true] {
        std::fs::rename(&path, &aside).unwrap();
        std::fs::create_dir(folder.path().join(".writing-model-2")).unwrap();
        if save_next {
            save(model.as_ref(), &data().user_ids, &data().item_ids, &path).unwrap();
        }
        assert_eq!(weights_hash(load(&path).unwrap().model.as_ref()), weights_hash(model.as_ref()));
        assert!(!aside.exists());
        std::fs::remove_dir(folder.path().join(".writing-model-2")).unwrap();
    }
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
    std::fs::write(path.join("manifest.json"), manifest.replace("foretaste-model/1", "foretaste-model/9"))
        .unwrap();
    refused("foretaste-model/9");
    std::fs::write(path.join("manifest.json"), "{\"format\": \"foretaste-run/1\"}").unwrap();
    assert!(
        save(model.as_ref(), &data().user_ids, &data().item_ids, &path).is_err(),
        "the folder of a run is left alone"
    );
    std::fs::remove_file(path.join("manifest.json")).unwrap();
    refused("no saved model");
    assert!(
        save(model.as_ref(), &data().user_ids, &data().item_ids, &path).is_err(),
        "a folder that is no model is left alone"
    );
}

/// The same seed gives the same weights.
pub fn equal_seeds_equal_results(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let hash = |seed| weights_hash(case.fit(&parts.train, seed).model.as_ref());
    assert_eq!(hash(3), hash(3));
    assert_eq!(hash(3) != hash(4), case.random, "only models with random choices depend on the seed");
}

/// One thread or three: the same weights and predictions.
pub fn threads_change_no_bit(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = case.fit(&parts.train, 0).model;
            (
                weights_hash(model.as_ref()),
                Reading::ALL.map(|r| model.ratings().unwrap().predict(&parts.train, &parts.test, r)),
            )
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// A user's predictions do not depend on which other users are predicted.
pub fn predictions_do_not_depend_on_company(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let model = case.fit(&parts.train, 0).model;
    for reading in Reading::ALL {
        let all = model.ratings().unwrap().predict(&parts.train, &parts.test, reading);
        for user in [0, 7, 149] {
            let range = parts.test.range(user);
            let mut alone = vec![0.0; range.len()];
            model.ratings().unwrap().predict_user(
                user,
                parts.train.user(user),
                parts.test.user(user),
                reading,
                &mut alone,
            );
            assert_eq!(all[range], alone, "user {user}");
        }
    }
}

/// Frozen predictions do not see test values; streaming ones see only past ones.
pub fn readings_keep_their_promise(case: &Case) {
    let parts = parts(&SplitRule::LeaveLast { test: 5 });
    let model = case.fit(&parts.train, 0).model;
    let mut changed = parts.test.clone();
    let first = changed.range(3).start;
    changed.change_values(|row, value| if row == first + 2 { 0.5 } else { value });
    assert_ne!(parts.test.values()[first + 2], 0.5);
    let predict = |test: &Histories, reading| model.ratings().unwrap().predict(&parts.train, test, reading);
    assert_eq!(predict(&parts.test, Reading::Frozen), predict(&changed, Reading::Frozen));
    let (before, after) = (predict(&parts.test, Reading::Streaming), predict(&changed, Reading::Streaming));
    assert_eq!(
        before[..first + 3],
        after[..first + 3],
        "what comes before the changed rating, and its own prediction, stay"
    );
    assert_ne!(before[first + 3..first + 5], after[first + 3..first + 5], "what comes after it moves");
    assert_eq!(before[first + 5..], after[first + 5..], "other users stay");
}

/// New users and new items have finite ratings, and a new user's history counts.
pub fn new_users_and_items_are_predicted(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let model = case.fit(&parts.train, 0).model;
    let nobody = Histories::new(vec![0], vec![], vec![], vec![], 0);
    let known = nobody.user(9);
    let far = u32::MAX;
    let ratings = model.ratings().unwrap();
    for (user, item) in [(far, 0), (0, far), (far, far)] {
        let mut state = model.start(user, if user == far { known } else { parts.train.user(user) });
        for _ in 0..3 {
            let prediction = ratings.expected(&state, item, 1_000_000_000);
            assert!(
                prediction.is_finite() && (0.0..6.0).contains(&prediction),
                "user {user}, item {item}: {prediction}"
            );
            model.update(&mut state, item, 4.0, 1_000_000_000);
        }
    }
    // A new user's known rows count: two opposite histories give different predictions.
    let history = |value: f32| {
        let items: Vec<u32> = (0..20).collect();
        Histories::new(vec![0, 20], items, vec![value; 20], (0..20).collect::<Vec<i64>>(), data().n_items())
    };
    let (glad, sad) = (history(5.0), history(1.0));
    let predict = |known: &Histories| ratings.expected(&model.start(far, known.user(0)), 30, 100);
    assert!(predict(&glad) > predict(&sad) + 0.3, "{} {}", predict(&glad), predict(&sad));
}

/// A value out of range, no rows, and rows without ratings are errors.
pub fn bad_settings_and_rows_are_refused(case: &Case) {
    let refused = case.refused.parse().unwrap();
    assert!(matches!(case.settings.kind().settings(refused), Err(ModelError::Setting { .. })));
    let device = Device::flex();
    let context = FitContext::new(0, &device);
    let empty = Histories::new(vec![0, 0], vec![], vec![], vec![], 3);
    assert!(matches!(case.settings.fit(&empty, None, &context), Err(ModelError::Training { .. })));
    let unrated = Histories::new(vec![0, 1], vec![0], vec![f32::NAN], vec![0], 3);
    assert!(matches!(case.settings.fit(&unrated, None, &context), Err(ModelError::Training { .. })));
}

/// Invariant 2: the trained model does not depend on the test ratings, to the byte.
pub fn test_ratings_reach_no_training(case: &Case) {
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
            let fitted = case
                .settings
                .fit(&parts.train, Some(&parts.validation), &FitContext::new(0, &device))
                .unwrap();
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

/// An interrupted training resumes from its checkpoint and ends in the same bytes.
pub fn interrupted_trainings_go_on(case: &Case) {
    let parts = SplitRule::HoldOut { test: 0.1 }.split(data(), 1, 0.05).unwrap().parts(data());
    let device = Device::flex();
    for validation in [None, Some(&parts.validation)] {
        let straight = case.settings.fit(&parts.train, validation, &FitContext::new(0, &device)).unwrap();
        if straight.curve.is_empty() {
            return; // Nothing to interrupt.
        }
        let folder = tempfile::tempdir().unwrap();
        let stop = StopAfter(AtomicUsize::new(0), 2);
        let context = FitContext {
            progress: &stop,
            checkpoint: Some(folder.path()),
            checkpoint_every: Duration::ZERO,
            ..FitContext::new(0, &device)
        };
        assert!(matches!(
            case.settings.fit(&parts.train, validation, &context),
            Err(ModelError::Interrupted)
        ));
        assert!(folder.path().join("checkpoint.json").is_file());
        let epochs = StopAfter(AtomicUsize::new(0), usize::MAX);
        let context = FitContext { progress: &epochs, ..context };
        let resumed = case.settings.fit(&parts.train, validation, &context).unwrap();
        assert_eq!(epochs.0.load(Ordering::SeqCst), straight.curve.len() - 2, "two epochs are not repeated");
        assert_eq!(weights_hash(resumed.model.as_ref()), weights_hash(straight.model.as_ref()));
        assert_eq!(resumed.curve, straight.curve);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "a finished training leaves no checkpoint"
        );
    }
}

/// A checkpoint of another training (another seed) is never used.
pub fn foreign_checkpoints_are_ignored(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let stop = StopAfter(AtomicUsize::new(0), 1);
    let context = FitContext {
        progress: &stop,
        checkpoint: Some(folder.path()),
        checkpoint_every: Duration::ZERO,
        ..FitContext::new(7, &device)
    };
    if case.settings.fit(&parts.train, None, &context).is_ok() {
        return; // Models without epochs write none.
    }
    let epochs = StopAfter(AtomicUsize::new(0), usize::MAX);
    let context = FitContext { progress: &epochs, seed: 8, ..context };
    let other = case.settings.fit(&parts.train, None, &context).unwrap();
    assert_eq!(weights_hash(other.model.as_ref()), weights_hash(case.fit(&parts.train, 8).model.as_ref()));
}

/// Continued, restored and rebuilt states give the same predictions and ranks to the bit.
pub fn states_carry_on(case: &Case) {
    let parts = parts(&SplitRule::LeaveLast { test: 5 });
    let model = case.fit(&parts.train, 0).model;
    states_are_values(model.as_ref(), &parts);
}

/// Ratings `a r + b` give predictions `a p + b`: nothing in a model assumes a scale.
pub fn scaled_ratings_scale_predictions(case: &Case) {
    let parts = parts(&HOLD_OUT);
    let users = 60;
    let predict = |a: f32, b: f32| {
        let [train, test] =
            [&parts.train, &parts.test].map(|rows| changed(rows, users, |r| a * r + b, |t| t, false));
        let model = case.fit(&train, 0).model;
        Reading::ALL.map(|reading| model.ratings().unwrap().predict(&train, &test, reading))
    };
    let base = predict(1.0, 0.0);
    for (a, b) in [(0.05, 0.0), (20.0, 0.0), (1000.0, -300.0), (1.0, 7.0)] {
        for (scaled, base) in predict(a, b).iter().zip(&base) {
            // In stars: 1e-2 is far below what a rating's step of 0.5 means, and above what rounding does to
            // a training of many steps.
            let off = scaled.iter().zip(base).map(|(s, p)| ((s - b) / a - p).abs()).fold(0.0, f32::max);
            assert!(off < 1e-2, "{a} r + {b}: a prediction is off by {off} stars");
        }
    }
}

/// The RMSE, frozen, of the case on a changed log.
fn error_on(case: &Case, time: impl Fn(i64) -> i64 + Copy, turned: bool) -> f64 {
    let parts = parts(&HOLD_OUT);
    let [train, test] = [&parts.train, &parts.test].map(|rows| changed(rows, 100, |r| r, time, turned));
    let model = case.fit(&train, 0).model;
    rmse(&model.ratings().unwrap().predict(&train, &test, Reading::Frozen), test.values())
}

/// Users and items under other indices: other random choices, and the same quality.
pub fn renamed_ids_change_little(case: &Case) {
    let (base, renamed) = (error_on(case, |t| t, false), error_on(case, |t| t, true));
    let most = if case.random { 0.08 } else { 1e-4 };
    assert!((renamed / base - 1.0).abs() < most, "RMSE {base}, under other names {renamed}");
}

/// Times that run twice as fast: sessions and drift are others, the quality is about the same.
pub fn a_doubled_time_unit_changes_little(case: &Case) {
    let (base, doubled) = (error_on(case, |t| t, false), error_on(case, |t| 2 * t, false));
    assert!((doubled / base - 1.0).abs() < 0.05, "RMSE {base}, at twice the time {doubled}");
}
