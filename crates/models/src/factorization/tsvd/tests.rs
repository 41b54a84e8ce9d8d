use super::train::Training;
use super::user::{Asked, Layout, predict};
use super::*;
use crate::{Device, FitContext, Reading};
use foretaste_data::{Histories, rng};
use rand::RngExt;

const DAY: i64 = 86_400;

/// Three users over four items and 200 days.
fn tiny() -> Histories {
    let items = vec![0, 1, 2, 3, 1, 0, 2, 3, 0, 1];
    let values = vec![5.0, 3.0, 4.0, 1.0, 2.0, 4.0, 3.0, 5.0, 2.0, 1.0];
    let times = [0, 0, 40, 41, 90, 91, 200, 3, 3, 60].map(|d: i64| d * DAY).to_vec();
    Histories::new(vec![0, 4, 7, 10], items, values, times, 4)
}

/// All parts at once.
fn whole(bias: BiasDrift) -> Settings {
    Settings {
        factors: 3,
        item_bins: 4,
        bias,
        scale: true,
        learning_rate: 1e-3,
        time_learning_rate: 0.5,
        ..Settings::default()
    }
}

/// A training whose parameters are all away from their first values.
fn shaken<'a>(settings: &'a Settings, train: &'a Histories) -> Training<'a> {
    let mut training = Training::new(settings, train, 3.0, 1).unwrap();
    let mut random = rng(9, "shaken");
    let mut shake =
        |values: &mut Vec<f32>| values.iter_mut().for_each(|v| *v += random.random_range(-0.4..0.4));
    training.users.iter_mut().for_each(&mut shake);
    [&mut training.items.q, &mut training.items.y, &mut training.items.bias, &mut training.items.bin_bias]
        .into_iter()
        .for_each(shake);
    training
}

/// One rating's loss by the model's own prediction, and the user's first pass over that rating alone.
fn one_step(
    settings: &Settings,
    train: &Histories,
    training: &Training,
    theta: &mut [f32],
) -> (Asked, user::Step) {
    let step = training.step(0);
    assert_eq!(train.range(0).len(), 1, "one rating, so that each step is one gradient");
    (training.visit(0, theta, &step, settings.epochs as u64, 0), step)
}

/// Each parameter's step on one rating is the negative gradient of its penalized squared error, by
/// central differences: user's bias, drift, scale, factors, control points, days; item's bias, bin, factors.
#[test]
fn gradient_steps_equal_finite_differences() {
    for bias in [BiasDrift::Linear, BiasDrift::Spline] {
        let settings = whole(bias);
        // The first user has one rating; the second gives the calendar some length.
        let train = Histories::new(
            vec![0, 1, 3],
            vec![2, 0, 1],
            vec![4.5, 3.0, 2.0],
            vec![30 * DAY, 0, 200 * DAY],
            4,
        );
        let mut training = shaken(&settings, &train);
        // A rating on its user's mean day would have no drift: the second user rates it, too.
        let before = training.users[0].clone();
        let mut after = before.clone();
        let (asked, step) = one_step(&settings, &train, &training, &mut after);
        let model_loss = |training: &Training, theta: &[f32]| {
            let layout: Layout = training.layouts[0];
            let history = train.user(0);
            let calendar = calendar::Calendar::new(history.timestamps);
            let day = calendar::day(history.timestamps.at(0));
            let bins = calendar::Bins { first: 0, last: 200, n: 4 };
            let row =
                user::Row { item: 2, bin: bins.of(day) as u8, moment: calendar.moment(day), value: 1.5 };
            let splines = calendar.spline(day, layout.knots, settings.spline_gamma);
            let items = &training.items;
            let item_bias = items.bias[2] + items.bin_bias[2 * 4 + usize::from(row.bin)];
            let mut vector = vec![0.0; 3];
            let predicted = predict(
                theta,
                layout,
                &row,
                &splines,
                (item_bias, items.q(2)),
                &items.implicit(history.items),
                &mut vector,
            );
            0.5 * f64::from(row.value - predicted).powi(2)
        };
        let layout = training.layouts[0];
        for at in 0..before.len() {
            let moved = |by: f32| {
                let mut theta = before.clone();
                theta[at] += by;
                model_loss(&training, &theta)
            };
            let gradient = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            let in_time = at == user::DRIFT || at >= layout.drift();
            let (rate, penalty) = if in_time {
                (step.time_rate, settings.time_regularization)
            } else if at < user::FACTORS {
                (step.rate, settings.bias_regularization)
            } else {
                (step.rate, settings.regularization)
            };
            let rest = if at == user::SCALE { 1.0 } else { 0.0 };
            let expected = -f64::from(rate) * (gradient + f64::from(penalty * (before[at] - rest)));
            // The linear drift is no part of a spline's bias.
            let expected = if at == user::DRIFT && bias == BiasDrift::Spline { 0.0 } else { expected };
            assert!(
                (f64::from(after[at] - before[at]) - expected).abs() < 3e-6,
                "{bias:?} {at}: {} {expected}",
                after[at] - before[at]
            );
        }
        let mut item_gradient = |pick: for<'x, 'y> fn(&'x mut Training<'y>) -> &'x mut f32| {
            *pick(&mut training) += 1e-3;
            let up = model_loss(&training, &before);
            *pick(&mut training) -= 2e-3;
            let down = model_loss(&training, &before);
            *pick(&mut training) += 1e-3;
            ((up - down) / 2e-3, f64::from(*pick(&mut training)))
        };
        let (gradient, value) = item_gradient(|t| &mut t.items.bias[2]);
        let expected = -f64::from(step.rate) * (gradient + f64::from(settings.bias_regularization) * value);
        assert!((f64::from(asked.biases[0][0]) - expected).abs() < 3e-6);
        let (gradient, value) = item_gradient(|t| &mut t.items.q[7]);
        let expected = -f64::from(step.rate) * (gradient + f64::from(settings.regularization) * value);
        assert!((f64::from(asked.q[1]) - expected).abs() < 3e-6, "{} {expected}", asked.q[1]);
        // With one rated item the implicit sum is y itself.
        let (gradient, _) = item_gradient(|t| &mut t.items.y[7]);
        assert!((f64::from(asked.implicit[1]) + f64::from(step.rate) * gradient).abs() < 3e-6);
    }
}

/// Carrying the implicit sum along a pass adds up to rating-by-rating steps of every `y_j`.
#[test]
fn the_carried_implicit_sum_is_svd_plus_plus() {
    let settings = Settings { implicit_regularization: 0.0, ..whole(BiasDrift::Static) };
    let train = tiny();
    let mut training = shaken(&settings, &train);
    let step = training.step(0);
    let user = 1_u32;
    let before = training.items.implicit(train.user(user).items);
    let mut theta = training.users[user as usize].clone();
    let asked = training.visit(user, &mut theta, &step, 0, 0);
    let change = asked.implicit.clone();
    training.take_in(&[asked], &step);
    let after = training.items.implicit(train.user(user).items);
    for f in 0..3 {
        assert!(
            (after[f] - before[f] - change[f]).abs() < 1e-6,
            "{f}: {} {}",
            after[f] - before[f],
            change[f]
        );
        assert!(change[f] != 0.0);
    }
}

/// On days without training rows the day's own parameters are silent: two such days, both after the
/// user's last, have the same predictions, and a day with rows does not.
#[test]
fn unseen_days_have_no_parameters_of_their_own() {
    let settings = Settings {
        epochs: 10,
        learning_rate: 0.05,
        time_learning_rate: 1.0,
        item_bins: 1,
        ..whole(BiasDrift::Linear)
    };
    let train = tiny();
    let device = Device::flex();
    let fitted = fit(&settings, &train, None, &FitContext::new(0, &device)).unwrap();
    let (ratings, state) = (fitted.model.ratings().unwrap(), fitted.model.start(0, train.user(0)));
    assert_eq!(ratings.expected(&state, 1, 300 * DAY), ratings.expected(&state, 1, 900 * DAY));
    assert_ne!(ratings.expected(&state, 1, 41 * DAY), ratings.expected(&state, 1, 900 * DAY));
}

/// Without time and implicit terms it is biased matrix factorization: the requested day does not matter.
#[test]
fn biased_mf_falls_out() {
    let settings = Settings {
        factors: 4,
        epochs: 5,
        implicit: false,
        item_bins: 1,
        bias: BiasDrift::Static,
        day_bias: false,
        factor_drift: false,
        day_factors: false,
        ..Settings::default()
    };
    let train = tiny();
    let device = Device::flex();
    let model = fit(&settings, &train, None, &FitContext::new(0, &device)).unwrap().model;
    let predict = |asked: &Histories| model.ratings().unwrap().predict(&train, asked, Reading::Frozen);
    let moved = train.timestamps().iter().map(|t| t + 77 * DAY).collect::<Vec<_>>();
    let later =
        Histories::new(train.offsets().to_vec(), train.items().to_vec(), train.values().to_vec(), moved, 4);
    assert_eq!(predict(&train), predict(&later));
}
