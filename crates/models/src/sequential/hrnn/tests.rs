//! The network against finite differences, its forms against each other, and its variance against rows.

use super::filter::{forward, predictions};
use super::lanes::Group;
use super::train::{Training, train_model};
use super::{Items, Settings};
use crate::engine::codes::Codes;
use crate::engine::epochs::Trainer;
use crate::{Device, FitContext, Predictor, Reading};
use foretaste_data::{Histories, History, rng};
use rand::RngExt;

/// Histories in which users have levels, items have levels, and the first session differs from the rest.
pub(super) fn histories(users: usize, items: usize, longest: usize) -> Histories {
    let random = &mut rng(7, "hrnn tests");
    let (mut offsets, mut columns) = (vec![0], (Vec::new(), Vec::new(), Vec::new()));
    for user in 0..users {
        let mut time = 1_000_000_000 + random.random_range(0..1_000_000_i64);
        let level = random.random::<f32>() * 2.0 - 1.0;
        for _ in 0..random.random_range(2..longest) {
            let item = random.random_range(0..items as u32);
            let noise = 1.6 * ((0..3).map(|_| random.random::<f32>()).sum::<f32>() - 1.5);
            let value = 3.5 + level + 0.5 * ((item % 7) as f32 - 3.0) / 3.0 * (user % 3) as f32 + noise;
            columns.0.push(item);
            columns.1.push(value);
            columns.2.push(time);
            time += [1, 30, 4000, 90_000, 3_000_000][random.random_range(0..5)];
        }
        offsets.push(columns.0.len());
    }
    Histories::new(offsets, columns.0, columns.1, columns.2, items)
}

pub(super) fn small() -> Settings {
    Settings {
        size: 3,
        height: 2,
        raters: 4,
        bag: 3,
        steps: 1,
        item_bins: 3,
        kinds: 2,
        items: Items::Raters,
        epochs: 3,
        ..Settings::default()
    }
}

/// The groups of the first step, drawn.
pub(super) fn drawn(training: &Training) -> Vec<Group> {
    let plans = training.batches(0).remove(0);
    let lay = |plan| {
        let mut group = Group::default();
        group.lay(training.train, training.sizes.shape, plan);
        training.draw(&mut group, "test");
        group
    };
    plans.iter().map(lay).collect()
}

/// The loss whose gradient [`Training::step`] is, in double precision where sums are long.
fn loss(training: &mut Training) -> f64 {
    let dense = training.layout.dense(&training.values, training.range);
    training.refresh();
    let (mut sum, mut rows) = (0.0, 0);
    for mut group in drawn(training) {
        training.gather(&mut group);
        let mut tape = Vec::new();
        forward(training.sizes.shape, &dense, &mut group, &mut tape);
        for (entry, expected, variance) in predictions(training.sizes.shape, &group, &tape) {
            let error = f64::from(group.values[entry] - expected);
            sum += 0.5 * (error * error / f64::from(variance) + f64::from(variance).ln());
            rows += 1;
        }
    }
    let (layout, values) = (&training.layout, &training.values);
    let mut priors = 0.0;
    for (range, weight) in layout.penalties(training.settings) {
        let squares: f64 = values[range].iter().map(|v| f64::from(*v).powi(2)).sum();
        priors += 0.5 * f64::from(weight) * squares;
    }
    for levels in values[layout.bins.clone()].chunks(training.sizes.bins.n.max(1)) {
        for pair in levels.windows(2) {
            let change = f64::from(pair[1] - pair[0]).powi(2);
            priors += 0.5 * f64::from(training.settings.bin_penalty) * change;
        }
    }
    let deviation = f64::from(values[layout.log_bias_deviation.start]);
    for item in 0..training.sizes.items {
        let bias = f64::from(values[layout.bias.start + item]);
        let variance = f64::from(values[layout.log_bias_variance.start + item]);
        let squares = bias * bias + variance.exp();
        priors += 0.5 * (squares * (-2.0 * deviation).exp() + 2.0 * deviation - variance - 1.0);
    }
    sum / f64::from(rows) + f64::from(training.settings.prior) / training.train.len() as f64 * priors
}

/// One attribute each, in turn.
fn codes(of: u32, n: u32) -> Codes {
    Codes {
        offsets: (0..=of as usize).collect(),
        ids: (0..of).map(|index| index % n).collect(),
        n: n as usize,
    }
}

/// Every parameter's gradient is that of finite differences, for both kinds of items' vectors, with rows that
/// are not taken in and users of whom none is.
#[test]
fn gradients_are_those_of_finite_differences() {
    for items in [Items::Raters, Items::Free] {
        let train = histories(60, 25, 30);
        let settings = Settings { items, blind: 0.2, ..small() };
        let mut training =
            Training::with_codes(&settings, &train, (codes(60, 4), codes(25, 3)), (3, &Device::flex()))
                .unwrap();
        let random = &mut rng(5, "away from zero");
        training.values.iter_mut().for_each(|v| *v += 0.2 * (random.random::<f32>() - 0.5));
        training.step(&mut drawn(&training)).unwrap();
        let gradient = training.gradient.clone();
        let layout = training.layout.clone();
        let ranges = [
            ("mean", layout.mean),
            ("bias", layout.bias),
            ("log_bias_variance", layout.log_bias_variance),
            ("log_bias_deviation", layout.log_bias_deviation),
            ("rater", layout.rater),
            ("rater_out", layout.rater_out),
            ("rating", layout.rating),
            ("rating_out", layout.rating_out),
            ("free", layout.free),
            ("bag", layout.bag),
            ("bag_out", layout.bag_out),
            ("empty", layout.empty),
            ("log_kappa", layout.log_kappa),
            ("log_noise", layout.log_noise),
            ("item_noise", layout.item_noise),
            ("log_n0", layout.log_n0),
            ("drift", layout.drift),
            ("log_variances", layout.log_variances),
            ("kind_out", layout.kind_out),
            ("kind_bias", layout.kind_bias),
            ("bend", layout.bend),
            ("bend_shift", layout.bend_shift),
            ("bend_out", layout.bend_out),
            ("kind_codes", layout.kind_codes),
            ("streak", layout.streak),
            ("fade", layout.fade),
            ("hidden", layout.hidden),
            ("hidden_bias", layout.hidden_bias),
            ("hidden_out", layout.hidden_out),
            ("user_codes", layout.user_codes),
            ("item_codes", layout.item_codes),
            ("bins", layout.bins),
        ];
        for (name, range) in ranges {
            // Along the gradient itself, where the slope is its length.
            let length = range.clone().map(|at| f64::from(gradient[at]).powi(2)).sum::<f64>().sqrt();
            if range.is_empty() {
                assert!((items == Items::Free) == name.starts_with("rat") || name == "free", "{name}");
                continue;
            }
            assert!(length > 1e-7, "{name} has no gradient");
            let step = (3e-4 / length).clamp(1e-3, 0.02);
            let kept = training.values.clone();
            let mut at = |sign: f64| {
                for place in range.clone() {
                    let move_ = sign * step * f64::from(gradient[place]) / length;
                    training.values[place] = (f64::from(kept[place]) + move_) as f32;
                }
                let loss = loss(&mut training);
                training.values.copy_from_slice(&kept);
                loss
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
            let off = (slope - length).abs();
            assert!(off < 0.01 * length + 2e-6, "{items:?} {name}: {slope} by differences, {length}");
        }
    }
}

/// Intervals of the predicted variance hold the share of new ratings that a normal distribution says.
#[test]
fn variances_cover() {
    let train = histories(400, 40, 60);
    let device = Device::flex();
    let settings = Settings { epochs: 12, steps: 12, ..small() };
    let model = train_model(&settings, &train, &FitContext::new(0, &device)).unwrap();
    let fresh = histories(600, 40, 60);
    let (mut within, mut rows) = (0, 0);
    for user in 400..600 {
        let history = fresh.user(user);
        let mut state = model.start(user, History::default());
        for n in 0..history.len() {
            let (item, value, time) = (history.items[n], history.values[n], history.timestamps.at(n));
            let expected = model.predict(&state, item, time);
            let deviation = model.variance(&state, item, time).unwrap().sqrt();
            // 80 % of a normal distribution.
            within += u32::from((value - expected).abs() < 1.2816 * deviation);
            rows += 1;
            model.update(&mut state, item, value, time);
        }
    }
    let share = f64::from(within) / f64::from(rows);
    assert!((0.72..0.88).contains(&share), "{share}");
}

/// The variance of a rating falls with each rating of the user, and grows again with time.
#[test]
fn what_is_not_known_falls_with_ratings_and_grows_with_time() {
    let train = histories(200, 20, 40);
    let device = Device::flex();
    let model = train_model(&small(), &train, &FitContext::new(0, &device)).unwrap();
    let mut state = model.start(u32::MAX, History::default());
    let of = |state: &super::User, time: i64| model.variance(state, 3, time).unwrap();
    let before = of(&state, 1000);
    for n in 0..20 {
        let value = model.predict(&state, n % 10, 1000);
        model.update(&mut state, n % 10, value, 1000);
    }
    let after = of(&state, 1000);
    assert!(after < before, "{after} {before}");
    assert!(of(&state, 1000 + 400 * 86_400) > after);
    assert!(of(&state, i64::MAX).is_finite());
}

/// Of an item that no one has rated, its attribute says something: here items are liked, with the code 0, and
/// not, in turn.
#[test]
fn items_without_ratings_are_as_their_attributes() {
    let drawn = histories(200, 20, 40);
    let (mut offsets, mut items) = (vec![0], Vec::new());
    for user in 0..200 {
        items.extend_from_slice(drawn.user(user).items);
        offsets.push(items.len());
    }
    let values: Vec<f32> = items.iter().map(|item| [4.5, 2.0][*item as usize % 2]).collect();
    let times: Vec<i64> = (0..items.len() as i64).collect();
    let train = Histories::new(offsets, items, values, times, 22);
    let settings = Settings { epochs: 20, steps: 8, ..small() };
    let device = Device::flex();
    let trained = |codes| {
        let mut training =
            Training::with_codes(&settings, &train, (Codes::default(), codes), (3, &device)).unwrap();
        for epoch in 0..settings.epochs {
            training.epoch(epoch, &FitContext::new(3, &device)).unwrap();
        }
        let model = training.model(0.0).unwrap();
        let nobody = model.start(u32::MAX, History::default());
        [20, 21].map(|item| model.predict(&nobody, item, 1000))
    };
    let [liked, not] = trained(codes(22, 2));
    assert!(liked > not + 0.3, "{liked} {not}");
    let [without, other] = trained(Codes::default());
    assert!(without == other, "{without} {other}");
}

/// A user's own rating does not reach the user's own prediction through the item's vector.
#[test]
fn own_ratings_are_left_out() {
    let train = histories(80, 12, 20);
    let device = Device::flex();
    let model = train_model(&small(), &train, &FitContext::new(0, &device)).unwrap();
    let predict = |reading| {
        let mut out = vec![0.0; 3];
        let asked = train.user(5);
        let asked = History {
            items: &asked.items[..1].repeat(3),
            values: (&[3.0_f32; 3][..]).into(),
            timestamps: (&[2_000_000_000_i64; 3][..]).into(),
        };
        model.predict_user(5, train.user(5), asked, reading, &mut out);
        out
    };
    let (frozen, streaming) = (predict(Reading::Frozen), predict(Reading::Streaming));
    assert!(frozen.iter().all(|p| *p == frozen[0]), "frozen states do not move");
    assert!(streaming[0] == frozen[0] && streaming[1] != frozen[1]);
}

/// Gradients and errors of the form for devices are the native ones, within rounding.
#[cfg(feature = "burn")]
fn agree(device: &Device) {
    for (depth, items) in [(1, Items::Raters), (0, Items::Free)] {
        let train = histories(30, 12, 14);
        let settings = Settings { depth, items, blind: 0.2, ..small() };
        let codes = || (codes(30, 4), codes(12, 3));
        let mut native = Training::with_codes(&settings, &train, codes(), (3, &Device::flex())).unwrap();
        let mut other = Training::with_codes(&settings, &train, codes(), (3, &Device::flex())).unwrap();
        other.compute_on(device);
        let random = &mut rng(5, "away from zero");
        native.values.iter_mut().for_each(|v| *v += 0.2 * (random.random::<f32>() - 0.5));
        other.values.clone_from(&native.values);
        let squares = native.step(&mut drawn(&native)).unwrap();
        let found = other.step(&mut drawn(&other)).unwrap();
        assert!((squares - found).abs() < 1e-4 * squares, "{squares} {found}");
        let largest = native.gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (at, (a, b)) in native.gradient.iter().zip(&other.gradient).enumerate() {
            assert!((a - b).abs() < 1e-3 * a.abs() + 1e-5 * largest, "{at}: {a} {b}");
        }
    }
}

#[cfg(feature = "burn")]
#[test]
fn native_equals_burn() {
    agree(&Device::flex());
}

/// The same against the wgpu backend. Runs where an adapter is there: CI brings a software Vulkan driver and
/// names it in `FORETASTE_PARITY_DEVICE`.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(device) = Device::for_parity() else { return };
    agree(&device);
}
