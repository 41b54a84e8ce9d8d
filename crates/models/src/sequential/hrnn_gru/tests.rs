use super::batch::{Prepared, Preparer, Recency};
use super::gradients::{Gradients, Moments};
use super::native::Native;
use super::negatives::Negatives;
#[cfg(feature = "burn")]
use super::network::Network;
use super::noise::Noise;
use super::weights::USER;
use super::*;
use crate::engine::codes::Codes;
use crate::{Device, FitContext, RatingModel, Trained, UserState};
use foretaste_data::Histories;
use foretaste_data::batch::Batches;

const QUIET: Noise = Noise { input: 0.0, state: 0.0, seed: 1 };

/// Three users over five items, lengths 7, 4 and 2, and a batch of two rows and six steps that holds
/// a user's start in the middle of a row, a user's end, and padding.
fn tiny() -> (Settings, Histories) {
    let settings = Settings {
        size: 3,
        depth: 2,
        item_factors: 2,
        height: 2,
        rows: 2,
        bptt: 6,
        stationary: Stationary::Factors,
        recency_mask: false,
        ..Settings::default()
    };
    let items = vec![0, 1, 2, 3, 1, 0, 2, 3, 0, 1, 2, 4, 0];
    let values = vec![5.0, 3.0, 4.0, 1.0, 2.0, 4.0, 3.0, 5.0, 2.0, 1.0, 4.0, 3.0, 5.0];
    let times = vec![0, 10, 500, 510, 90_000, 90_005, 90_010, 3, 9, 2_000, 2_001, 7, 8];
    (settings, Histories::new(vec![0, 7, 11, 13], items, values, times, 5))
}

const SCALE: Scale = Scale { mean: 3.2, deviation: 1.3 };

/// Draws every weight again, so that none is 0 or 1 and no gradient vanishes.
fn network(settings: &Settings) -> Model {
    use rand::RngExt;
    let when = When::new(settings).unwrap();
    let codes = Codes { offsets: vec![0, 1, 3, 3, 4, 5], ids: vec![0, 0, 1, 1, 0], n: 2 };
    let users = if settings.stationary == Stationary::Factors { 3 } else { 0 };
    let biases: &[f32] = &[0.3, -0.1, 0.2, 0.0, -0.4];
    let mut weights = Weights::first(Sizes::new(settings, when.len()), users, [biases, biases], codes, 3);
    let mut random = foretaste_data::rng(4, "hrnn test");
    let Weights { dense, tables, .. } = &mut weights;
    for values in dense.tensors_mut().into_iter().chain(tables.iter_mut().map(Vec::as_mut_slice)) {
        values.iter_mut().for_each(|v| *v += random.random_range(-0.3..0.3));
    }
    Model::new(settings.clone().into(), settings, (SCALE, when), weights, Arc::default())
}

fn batches(model: &Model, settings: &Settings, histories: &Histories) -> Vec<Prepared> {
    let mut walk = Batches::new(histories, settings.rows, settings.bptt, 1, 0);
    let mut all = Vec::new();
    let mut prepared = Prepared::default();
    let recency = Recency::new(histories, settings.recency_mask.then_some(40_000.0));
    let mut preparer = Preparer::new(&model.when, model.scale, histories, &[], recency, settings.rows);
    let users: Vec<u32> = (0..histories.n_users() as u32).collect();
    let negatives = Negatives::new(settings, histories, &users);
    preparer.scope = settings.scope;
    preparer.negatives = model.weights.sizes.ranks.then_some((&negatives, 7));
    while walk.next_into(&mut prepared.batch) {
        preparer.prepare(&mut prepared);
        all.push(prepared.clone());
    }
    all
}

/// The goal's loss over the histories, one interaction at a time, by code that shares the equations alone.
/// Next items are compared with the same sampled negatives as in `all`.
fn loss_by_replay(model: &Model, settings: &Settings, histories: &Histories, all: &[Prepared]) -> f64 {
    let (goal, rows) = (Goal::new(settings, SCALE), histories.len() as f64);
    let nothing =
        Histories::new(vec![0; histories.n_users() + 1], vec![], vec![], vec![], histories.n_items());
    let mut sum = 0.0;
    if let Some(ratings) = model.as_rating() {
        let predictions = ratings.predict(&nothing, histories, Reading::Streaming);
        let squares: f64 =
            predictions.iter().zip(histories.values()).map(|(p, v)| f64::from(p - v).powi(2)).sum();
        sum += squares * f64::from(goal.rating_share);
    }
    if let Some(recommender) = model.as_recommender() {
        let mut states: Vec<_> =
            (0..histories.n_users() as u32).map(|user| recommender.start(user, nothing.user(user))).collect();
        let mut scores = vec![0.0; histories.n_items()];
        // Batches hold each user's rows in order.
        for prepared in all {
            let batch = &prepared.batch;
            for row in 0..settings.rows {
                for at in (row..batch.items.len()).step_by(settings.rows).filter(|at| batch.mask[*at] > 0.0) {
                    let (user, item) = (batch.users[at] as usize, batch.items[at]);
                    let from = histories.range(user as u32).start + batch.positions[at] as usize;
                    recommender.scores(&states[user], histories.timestamps().at(from), &mut scores);
                    let correct = |item: u32, by: f32| scores[item as usize] - by;
                    let own = correct(item, prepared.own_corrections[at]);
                    let samples = prepared.samples.iter().zip(&prepared.corrections);
                    let mut others: Vec<f32> = samples
                        .filter(|(sample, _)| **sample != item)
                        .map(|(sample, by)| correct(*sample, *by))
                        .collect();
                    let (loss, _) = losses::loss(goal.loss, goal.penalty, own, &mut others, &mut Vec::new());
                    sum += f64::from(loss) * f64::from(1.0 - goal.rating_share);
                    recommender.update(
                        &mut states[user],
                        item,
                        histories.values()[from],
                        histories.timestamps().at(from),
                    );
                }
            }
        }
    }
    sum / rows
}

/// All shapes the network can take.
fn variants() -> Vec<Settings> {
    let (base, _) = tiny();
    vec![
        base.clone(),
        Settings { cell: Cell::Lstm, ..base.clone() },
        Settings { cell: Cell::Convolution, depth: 3, ..base.clone() },
        Settings { form: Form::Init, depth: 1, ..base.clone() },
        Settings { form: Form::All, depth: 1, height: 2, sessions: vec![60, 400], ..base.clone() },
        Settings {
            depth: 1,
            height: 0,
            gate: false,
            stationary: Stationary::Biases,
            ratings: false,
            gaps: false,
            ..base.clone()
        },
        Settings { objective: Objective::NextItem, negatives: 3, ..base.clone() },
        Settings {
            objective: Objective::NextItem,
            negatives: 9,
            scope: Scope::Session,
            height: 1,
            ..base.clone()
        },
        Settings {
            objective: Objective::NextItem,
            negatives: 4,
            loss: Loss::Top1Max,
            form: Form::Init,
            depth: 1,
            ..base.clone()
        },
        Settings {
            objective: Objective::Both,
            negatives: 4,
            loss: Loss::BprMax,
            rating_share: 0.3,
            ..base.clone()
        },
        Settings {
            objective: Objective::Both,
            negatives: 4,
            loss: Loss::Softmax,
            form: Form::All,
            depth: 1,
            ..base
        },
    ]
}

/// Windows with carried states and resets predict what the replay predicts.
#[test]
fn windows_equal_the_replay() {
    let (_, histories) = tiny();
    for settings in variants() {
        let model = network(&settings);
        let mut native = Native::new(model.weights.sizes, settings.rows);
        let mut gradients = Gradients::new(&model.weights);
        let all = batches(&model, &settings, &histories);
        assert!(all.len() > 1, "states must be carried for this test to mean anything");
        let goal = Goal::new(&settings, SCALE);
        let share = f64::from(goal.rating_share);
        let errors =
            all.iter().map(|batch| native.window(&model.weights, batch, goal, QUIET, &mut gradients));
        let loss = errors.map(|errors| share * errors.squares + (1.0 - share) * errors.losses).sum::<f64>()
            / histories.len() as f64;
        let expected = loss_by_replay(&model, &settings, &histories, &all);
        assert!((loss - expected).abs() < 1e-4 * expected, "{settings:?}: {loss} {expected}");
    }
}

/// The gradients of every weight agree with central differences of the replay's loss.
#[test]
fn gradients_equal_finite_differences() {
    let (_, histories) = tiny();
    for settings in variants() {
        // One window holds every history whole, so that no gradient is cut off.
        let settings = Settings { bptt: 13, rows: 1, ..settings };
        let mut model = network(&settings);
        let all = batches(&model, &settings, &histories);
        assert_eq!(all.len(), 1);
        let mut gradients = Gradients::new(&model.weights);
        let goal = Goal::new(&settings, SCALE);
        Native::new(model.weights.sizes, 1).window(&model.weights, &all[0], goal, QUIET, &mut gradients);
        let dense = gradients.dense.tensors().len();
        let exact: Vec<Vec<f32>> = gradients
            .dense
            .tensors()
            .into_iter()
            .map(<[f32]>::to_vec)
            .chain(gradients.tables.clone())
            .collect();
        let mut checked = 0;
        for (place, exact) in exact.iter().enumerate() {
            for (i, exact) in exact.iter().enumerate() {
                let mut loss = |by: f32| {
                    let Weights { dense: weights, tables, .. } = &mut model.weights;
                    let values = if place < dense {
                        weights.tensors_mut().swap_remove(place)
                    } else {
                        tables[place - dense].as_mut_slice()
                    };
                    values[i] += by;
                    model.catalogue.take();
                    loss_by_replay(&model, &settings, &histories, &all)
                };
                let step = 4e-3_f32;
                let up = loss(step);
                let down = loss(-2.0 * step);
                loss(step);
                let numeric = (up - down) / (2.0 * f64::from(step));
                assert!(
                    (numeric - f64::from(*exact)).abs() < 2e-3 + 0.01 * numeric.abs(),
                    "tensor {place}[{i}]: {numeric} {exact}"
                );
                checked += usize::from(*exact != 0.0);
            }
        }
        assert!(checked > 60, "most gradients are not zero: {checked}");
    }
}

/// The backward pass drops what the forward pass dropped: a step along the gradient lowers the same
/// loss.
#[test]
fn a_step_along_the_gradient_lowers_the_loss() {
    let (settings, histories) = tiny();
    let mut model = network(&settings);
    let batch = &batches(&model, &settings, &histories)[0];
    let noise = Noise { input: 0.4, state: 0.4, seed: 9 };
    let mut gradients = Gradients::new(&model.weights);
    let loss = |weights: &Weights, gradients: &mut Gradients| {
        Native::new(weights.sizes, 2)
            .window(weights, batch, Goal::new(&settings, SCALE), noise, gradients)
            .squares
    };
    let before = loss(&model.weights, &mut gradients);
    let length: f64 =
        gradients.dense.tensors().iter().flat_map(|t| t.iter()).map(|g| f64::from(*g).powi(2)).sum();
    let step = 1e-3_f32;
    for (value, gradient) in
        model.weights.dense.tensors_mut().into_iter().zip(gradients.dense.clone().tensors())
    {
        value.iter_mut().zip(gradient).for_each(|(v, g)| *v -= step * g);
    }
    let fallen = (before - loss(&model.weights, &mut gradients)) / 12.0;
    let expected = f64::from(step) * length;
    assert!((fallen - expected).abs() < 0.05 * expected, "{fallen} {expected}");
}

/// The state never sees the rating it predicts: changing one rating moves later predictions only.
#[test]
fn a_prediction_does_not_see_its_own_rating() {
    let (settings, histories) = tiny();
    let model = network(&settings);
    let nothing = Histories::new(vec![0; 4], vec![], vec![], vec![], 5);
    let predict =
        |histories: &Histories| (&model as &dyn RatingModel).predict(&nothing, histories, Reading::Streaming);
    let before = predict(&histories);
    let mut changed = histories.clone();
    changed.change_values(|row, value| if row == 3 { 5.0 } else { value });
    let after = predict(&changed);
    assert_eq!(before[..4], after[..4]);
    assert_ne!(before[4..7], after[4..7]);
    assert_eq!(before[7..], after[7..], "other users stay");
}

/// Rows that a batch does not touch stay as they are, whatever their moments; a touched one moves.
#[test]
fn steps_touch_the_batch_alone() {
    let (settings, histories) = tiny();
    let mut model = network(&settings);
    let (mut moments, mut gradients) = (Moments::new(&model.weights), Gradients::new(&model.weights));
    // The last user alone: items 4 and 0.
    let lone = Histories::new(vec![0, 0, 0, 2], vec![4, 0], vec![3.0, 5.0], vec![7, 8], histories.n_items());
    let before = model.weights.clone();
    let batch = &batches(&model, &settings, &lone)[0];
    Native::new(model.weights.sizes, 2).window(
        &model.weights,
        batch,
        Goal::new(&settings, SCALE),
        QUIET,
        &mut gradients,
    );
    moments.step(&mut model.weights, &gradients, batch, 0.01, [0.1; 7]);
    for user in 0..3 {
        assert_eq!(model.weights.row(USER, user) == before.row(USER, user), user != 2, "user {user}");
    }
    for item in 0..5 {
        assert_eq!(model.weights.row(0, item) == before.row(0, item), ![0, 4].contains(&item), "item {item}");
    }
}

/// A state continues from its bytes, and bytes that are too few or of other sizes are rejected.
#[test]
fn a_state_is_handed_on() {
    let (settings, histories) = tiny();
    let smaller = network(&Settings { size: settings.size - 1, ..settings.clone() });
    for settings in [
        settings.clone(),
        Settings { cell: Cell::Lstm, ..settings.clone() },
        Settings { cell: Cell::Convolution, ..settings },
    ] {
        let model = network(&settings);
        let model: &dyn Trained = &model;
        let ratings = model.ratings().unwrap();
        let history = histories.user(0);
        let mut state = model.start(0, History::default());
        let take = |state: &mut UserState, row: usize| {
            model.update(state, history.items[row], history.values[row], history.timestamps.at(row));
        };
        (0..4).for_each(|row| take(&mut state, row));
        let bytes = model.state_to_bytes(&state);
        let mut taken = model.state_from_bytes(&bytes).unwrap();
        for row in 4..7 {
            let (item, time) = (history.items[row], history.timestamps.at(row));
            assert_eq!(ratings.expected(&taken, item, time), ratings.expected(&state, item, time));
            take(&mut state, row);
            take(&mut taken, row);
        }
        assert!(model.state_from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let refused = (&smaller as &dyn Trained).state_from_bytes(&bytes).unwrap_err().to_string();
        assert!(refused.contains("another shape"), "{refused}");
    }
}

/// Burn on `device` and the native code agree in loss, every gradient and ten steps, dropout included.
#[cfg(feature = "burn")]
fn agree(device: &Device, (settings, histories): (Settings, &Histories)) {
    let noise = Noise { input: 0.3, state: 0.3, seed: 2 };
    let model = network(&settings);
    let all = batches(&model, &settings, histories);
    let goal = Goal::new(&settings, SCALE);
    let run = |window: &mut dyn FnMut(&Weights, &Prepared, &mut Gradients) -> Errors| {
        let mut weights = model.weights.clone();
        let (mut moments, mut gradients) = (Moments::new(&weights), Gradients::new(&weights));
        let mut losses = Vec::new();
        let mut first = Vec::new();
        for step in 0..10 {
            let batch = &all[step % all.len()];
            let errors = window(&weights, batch, &mut gradients);
            losses.extend([errors.squares, errors.losses]);
            if step == 0 {
                first = gradients
                    .dense
                    .tensors()
                    .into_iter()
                    .map(<[f32]>::to_vec)
                    .chain(gradients.tables.clone())
                    .collect();
            }
            moments.step(&mut weights, &gradients, batch, 0.01, [0.01; 7]);
        }
        let last: Vec<Vec<f32>> =
            weights.dense.tensors().into_iter().map(<[f32]>::to_vec).chain(weights.tables).collect();
        (losses, first, last)
    };
    let mut native = Native::new(model.weights.sizes, settings.rows);
    let mut other = Network::new(model.weights.sizes, settings.rows, device);
    let ours = run(&mut |weights, batch, gradients| native.window(weights, batch, goal, noise, gradients));
    let theirs =
        run(&mut |weights, batch, gradients| other.window(weights, batch, goal, noise, gradients).unwrap());
    for (a, b) in ours.0.iter().zip(&theirs.0) {
        assert!((a - b).abs() <= 1e-3 * a.abs(), "loss {a} {b}");
    }
    for (place, (a, b)) in ours.1.iter().chain(&ours.2).zip(theirs.1.iter().chain(&theirs.2)).enumerate() {
        assert_eq!(a.len(), b.len(), "tensor {place}");
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 1e-4 + 2e-3 * x.abs(), "tensor {place}: {x} {y}");
        }
    }
}

/// The native code agrees with burn's autodiff.
#[cfg(feature = "burn")]
#[test]
fn native_equals_burn() {
    let (_, histories) = tiny();
    let recent = Settings { recency_mask: true, ..variants().swap_remove(0) };
    variants()
        .into_iter()
        .chain([recent])
        .for_each(|settings| agree(&Device::flex(), (settings, &histories)));
}

/// The same against the wgpu backend. Runs where an adapter is there: CI brings a software Vulkan
/// driver and names it in `FORETASTE_PARITY_DEVICE`.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(device) = Device::for_parity() else { return };
    let (_, histories) = tiny();
    variants().into_iter().for_each(|settings| agree(&device, (settings, &histories)));
}

/// With machines, the prediction of a training row depends on no rating of its user from that row on,
/// and on no rating of the user in any machine that predicts it.
#[test]
fn stationary_predictions_are_cross_fitted() {
    let settings =
        Settings { stationary: Stationary::Fm, fm_folds: 2, fm_factors: 2, fm_iterations: 8, ..tiny().0 };
    let users: u32 = 12;
    let rows: u32 = 6;
    let items: Vec<u32> = (0..users * rows).map(|r| (r * 7 + r / rows) % 9).collect();
    let values: Vec<f32> = (0..users * rows).map(|r| ((r * 5) % 5 + 1) as f32).collect();
    let times: Vec<i64> = (0..users * rows).map(|r| i64::from(r % rows) * 100).collect();
    let offsets = (0..=users).map(|u| (u * rows) as usize).collect();
    let train = Histories::new(offsets, items, values, times, 9);
    let device = Device::flex();
    let predict = |train: &Histories| Machines::fit(&settings, train, &FitContext::new(0, &device)).unwrap();
    let (machines, before) = predict(&train);
    assert_eq!(machines.start().len(), 2);
    let mut changed = train.clone();
    let row = 3 * rows as usize + 2;
    changed.change_values(|at, value| if at == row { 6.0 - value } else { value });
    let (_, after) = predict(&changed);
    let own = 3 * rows as usize..4 * rows as usize;
    assert_eq!(
        before[own.start..=row],
        after[own.start..=row],
        "what comes before the rating, and its own prediction, stay"
    );
    assert_ne!(before[row + 1..own.end], after[row + 1..own.end], "what comes after it moves");
    assert_ne!(
        before,
        after
            .iter()
            .enumerate()
            .map(|(at, p)| if own.contains(&at) { before[at] } else { *p })
            .collect::<Vec<_>>(),
        "other folds' users move"
    );
}

/// A model with machines is fully restored from its tensors, and starts new users alike.
#[test]
fn machines_are_saved_with_the_model() {
    let (settings, histories) = tiny();
    let settings = Settings {
        stationary: Stationary::Fm,
        fm_folds: 2,
        fm_factors: 2,
        fm_iterations: 4,
        epochs: 1,
        ..settings
    };
    let device = Device::flex();
    let model = fit(&settings, &histories, None, &FitContext::new(1, &device)).unwrap().model;
    let file = tempfile::NamedTempFile::new().unwrap();
    crate::engine::tensors::write_file(&model.tensors(), file.path()).unwrap();
    let loaded = Model::restore(settings, &crate::engine::tensors::read(file.path()).unwrap()).unwrap();
    assert_eq!(Predictor::parameters(&loaded), model.parameters());
    let loaded: &dyn RatingModel = &loaded;
    for reading in Reading::ALL {
        assert_eq!(
            loaded.predict(&histories, &histories, reading),
            model.ratings().unwrap().predict(&histories, &histories, reading)
        );
    }
}
