use super::native;
#[cfg(feature = "burn")]
use super::network::{Fixed, window};
use super::replay::{Side, join};
use super::train::{Form, Moving, Training, walk};
use super::*;
#[cfg(feature = "burn")]
use crate::engine::parameter::read;
#[cfg(feature = "burn")]
use crate::engine::unrolled::Carried;
use crate::{Device, FitContext};
use foretaste_data::Histories;
use foretaste_data::batch::{Batch, Batches};

const DAY: i64 = 86_400;

/// Three users over four items: users of three, two and one steps.
fn tiny() -> (Settings, Histories) {
    let settings = Settings {
        size: 3,
        embedding: 2,
        dynamic_factors: 2,
        stationary_factors: 2,
        item_days: 3,
        rows: 1,
        window: 12,
        pretraining: 2,
        ..Settings::default()
    };
    let items = vec![0, 1, 2, 3, 1, 0, 2, 3, 0];
    let values = vec![5.0, 3.0, 4.0, 1.0, 2.0, 4.0, 3.0, 5.0, 2.0];
    let times = [0, 0, 4, 9, 1, 2, 2, 7, 7].map(|d: i64| d * DAY).to_vec();
    (settings, Histories::new(vec![0, 4, 7, 9], items, values, times, 4))
}

/// Squared errors of all training ratings by the plain code.
fn loss(training: &Training, sides: [&Side; 2]) -> f64 {
    let (ratings, scale) = (&training.ratings, training.scale);
    let users = walk(sides[0], &training.user_steps, ratings, ratings.items, scale);
    let items = walk(sides[1], &training.item_steps, ratings, &ratings.users, scale);
    let squares = (0..ratings.items.len()).map(|row| {
        let (user, item) = (
            sides[0].project(&users[training.user_steps.of_row[row] as usize].hidden),
            sides[1].project(&items[training.item_steps.of_row[row] as usize].hidden),
        );
        let stationary = [sides[0].stationary(ratings.users[row]), sides[1].stationary(ratings.items[row])];
        f64::from(join([&user, &item], stationary) - ratings.target(row as u32)).powi(2)
    });
    squares.sum()
}

/// Loss and gradients of each side's window, the other side fixed, agree with the plain code and its central
/// differences: by native code, and on a device, whether its ratings are taken at once or in stretches.
#[test]
fn gradients_equal_finite_differences() {
    let (settings, train) = tiny();
    let device = Device::flex();
    let context = FitContext::new(3, &device);
    let form =
        |native| Training::on(&settings, &train, train.mean().unwrap() as f32, &context, native).unwrap();
    let native = form(true);
    // The other form comes with burn.
    let device_form = cfg!(feature = "burn").then(|| form(false));
    let sides = [native.side(Moving::Users).unwrap(), native.side(Moving::Items).unwrap()];
    let n = train.len() as f64;
    // A stretch of none is the native form.
    let cases = [
        (None, 0, Moving::Users),
        (None, 1, Moving::Items),
        (Some(65_536), 0, Moving::Users),
        (Some(2), 0, Moving::Users),
        (Some(65_536), 1, Moving::Items),
        (Some(4), 1, Moving::Items),
    ];
    for (stretch, place, moving) in cases {
        let Some(training) = (if stretch.is_some() { device_form.as_ref() } else { Some(&native) }) else {
            continue;
        };
        let sequences =
            if moving == Moving::Users { &training.user_steps } else { &training.item_steps }.sequences();
        let mut batches = Batches::new(&sequences, settings.rows, settings.window, 3, 0);
        let mut batch = Batch::default();
        assert!(batches.next_into(&mut batch));
        let network = training.network(moving);
        let (squares, gradients): (f64, Vec<Vec<f32>>) = match network {
            Form::Native(network) => {
                let out = native::window(
                    network,
                    &training.native_fixed(moving),
                    &batch,
                    &mut native::carried(&settings),
                );
                (
                    out.squares,
                    out.dense.into_iter().chain([out.inputs.values, out.stationary.values]).collect(),
                )
            }
            #[cfg(feature = "burn")]
            Form::Device(network) => {
                let fixed = Fixed { stretch: stretch.unwrap(), ..training.fixed(moving) };
                let out =
                    window(network, &fixed, &batch, Carried::zeros(settings.rows, settings.size, &device));
                let gradients = out
                    .dense
                    .iter()
                    .chain([&out.inputs, &out.stationary])
                    .map(|g| read("", g).unwrap().data)
                    .collect();
                (f64::from(crate::engine::parameter::values(out.squares.clone()).unwrap()[0]), gradients)
            }
        };
        let exact = loss(training, [&sides[0], &sides[1]]);
        assert!((squares - exact).abs() < 1e-4 * exact, "{squares} {exact}");
        let values = network.values().unwrap();
        let mut checked = 0;
        for (p, gradient) in gradients.iter().enumerate() {
            // Only touched rows of the embeddings have gradients; every owner has ratings.
            let touched = gradient.len() == values[p].len();
            for i in 0..if touched { gradient.len() } else { 0 } {
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[p][i] += by;
                    let own = Side::new(&settings, network.name(), values);
                    let pair = if place == 0 { [&own, &sides[1]] } else { [&sides[0], &own] };
                    loss(training, pair) / n
                };
                let numeric = (moved(5e-3) - moved(-5e-3)) / 1e-2;
                let exact = f64::from(gradient[i]);
                assert!(
                    (numeric - exact).abs() < 1e-3 + 0.02 * exact.abs(),
                    "{stretch:?} side {place}, parameter {p}[{i}]: {numeric} {exact}"
                );
                checked += usize::from(exact.abs() > 1e-5);
            }
        }
        assert!(checked > 30, "{checked}");
    }
}

/// Several sequences side by side, in tasks, over windows that cut them: native code and burn's train the
/// same network.
#[cfg(feature = "burn")]
#[test]
fn native_and_device_forms_agree() {
    let train = foretaste_data::simulate::Simulation { users: 40, items: 12, events: 400 }.run(1);
    let settings =
        Settings { rows: 20, window: 3, learning_rate: 0.01, user_days: 40, item_days: 90, ..tiny().0 };
    let device = Device::flex();
    let context = FitContext::new(3, &device);
    let run = |native| {
        let mut training =
            Training::on(&settings, &train, train.mean().unwrap() as f32, &context, native).unwrap();
        let squares: Vec<f64> = (0..3)
            .map(|epoch| crate::engine::epochs::Trainer::epoch(&mut training, epoch, &context).unwrap())
            .collect();
        (
            squares,
            [Moving::Users, Moving::Items]
                .map(|side| training.side(side).unwrap().tensors(&settings))
                .concat(),
        )
    };
    let (a, b) = (run(true), run(false));
    for (x, y) in a.0.iter().zip(&b.0) {
        assert!((x - y).abs() < 1e-3 * x.abs(), "{x} {y}");
    }
    for (x, y) in a.1.iter().zip(&b.1) {
        assert!(
            x.data.iter().zip(&y.data).all(|(p, q)| (p - q).abs() < 2e-4 + 2e-3 * p.abs()),
            "{}: {:?} {:?}",
            x.name,
            x.data,
            y.data
        );
    }
}

/// A rating of the predicted step is not an input of its prediction, and one of an earlier step is.
#[test]
fn only_earlier_steps_are_seen() {
    let (settings, train) = tiny();
    let settings = Settings { epochs: 3, learning_rate: 0.02, ..settings };
    let device = Device::flex();
    let model = fit(&settings, &train, None, &FitContext::new(0, &device)).unwrap().model;
    // A training user's stationary part already reflects the training rows: the networks alone read `known`.
    let known = |value: f32, day: i64| {
        let histories = Histories::new(vec![0, 1], vec![1], vec![value], vec![day * DAY], 4);
        model.ratings().unwrap().expected(&model.start(0, histories.user(0)), 2, 20 * DAY)
    };
    assert_eq!(known(1.0, 20), known(5.0, 20));
    assert_ne!(known(1.0, 19), known(5.0, 19));
    // An update for an earlier day moves the days after it, whatever came between.
    let later = Histories::new(vec![0, 1], vec![3], vec![2.0], vec![9 * DAY], 4);
    let after = |value: f32| {
        let mut state = model.start(0, later.user(0));
        model.update(&mut state, 1, value, 3 * DAY);
        model.ratings().unwrap().expected(&state, 0, 12 * DAY)
    };
    assert_ne!(after(1.0), after(5.0));
}

/// Loss and gradients agree between `flex` and the wgpu backend (see the RNN's).
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(other) = Device::for_parity() else { return };
    let (settings, train) = tiny();
    let run = |device: &Device| {
        let context = FitContext::new(3, device);
        let mut training = Training::new(&settings, &train, train.mean().unwrap() as f32, &context).unwrap();
        let squares: Vec<f64> = (0..3)
            .map(|epoch| crate::engine::epochs::Trainer::epoch(&mut training, epoch, &context).unwrap())
            .collect();
        (
            squares,
            [Moving::Users, Moving::Items]
                .map(|side| training.side(side).unwrap().tensors(&settings))
                .concat(),
        )
    };
    let (a, b) = (run(&Device::flex()), run(&other));
    for (x, y) in a.0.iter().zip(&b.0) {
        assert!((x - y).abs() < 1e-3 * x.abs(), "{x} {y}");
    }
    for (x, y) in a.1.iter().zip(&b.1) {
        assert!(x.data.iter().zip(&y.data).all(|(p, q)| (p - q).abs() < 1e-3 + 1e-2 * p.abs()), "{}", x.name);
    }
}
