//! The equations against themselves written out, finite differences and burn.

use super::fields::{Features, Fields};
use super::train::{Example, Layers, Training, label};
use super::{Objective, Settings};
use crate::engine::epochs::Trainer;
use crate::{Device, FitContext, Predictor};
use foretaste_data::{Attributes, Histories, Vocabulary, catalogue};

/// Six users, nine items, of which item 8 and user 5 have no rows.
fn histories() -> Histories {
    let lengths = [4_usize, 3, 5, 2, 6, 0];
    let offsets = std::iter::once(0).chain(lengths.iter().scan(0, |sum, n| {
        *sum += n;
        Some(*sum)
    }));
    let n: usize = lengths.iter().sum();
    let items = (0..n as u32).map(|row| (row * 5 + row / 3) % 8).collect();
    let values = (0..n).map(|row| 1.0 + ((row * 7) % 9) as f32 * 0.5).collect::<Vec<_>>();
    let timestamps = (0..n as i64).map(|row| 900_000_000 + row * 40_000).collect::<Vec<_>>();
    Histories::new(offsets.collect(), items, values, timestamps, 9)
}

/// A column of two values, one of which has two.
fn attributes(owners: u32) -> Attributes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let rows: String =
        (0..owners).map(|owner| format!("{owner},{}\n", ["a", "b", "a|b"][owner as usize % 3])).collect();
    std::fs::write(&path, format!("id,kind\n{rows}")).unwrap();
    let names: Vec<String> = (0..owners).map(|owner| owner.to_string()).collect();
    let ids: Vocabulary = names.iter().map(String::as_str).collect();
    Attributes::from_table(&catalogue::read(&path).unwrap(), &ids).unwrap()
}

fn settings(objective: Objective, depth: usize, dropout: f32) -> Settings {
    Settings {
        objective,
        factors: 3,
        depth,
        size: 5,
        dropout,
        recent: 2,
        threshold: 3.0,
        init_deviation: 0.4,
        batch: 8,
        weight_decay: 0.5,
        ..Settings::default()
    }
}

/// Trainings under these settings, with attributes, handed to `run`.
fn with<T>(
    settings: &Settings,
    native: bool,
    device: &Device,
    run: impl FnOnce(&mut Training, &Histories, Vec<Example>) -> T,
) -> T {
    let train = histories();
    let (users, items) = (attributes(6), attributes(9));
    let context = FitContext {
        user_attributes: Some(&users),
        item_attributes: Some(&items),
        ..FitContext::new(3, device)
    };
    let mut training = Training::new(settings, &train, &context, native).unwrap();
    let examples = (0..train.len() as u32).map(|row| Example {
        row,
        item: train.items()[row as usize],
        label: label(settings, train.values()[row as usize]),
    });
    let examples = examples.collect();
    run(&mut training, &train, examples)
}

/// DeepFM written out, in doubles: every pair of features, every unit.
fn written_out(training: &Training, fields: &Fields, train: &Histories, example: Example) -> f64 {
    let user = train.row_users()[example.row as usize];
    let (own, timestamp) = (train.user(user), train.timestamps().at(example.row as usize));
    let mut features = Features::default();
    fields.user(user, &mut features);
    fields.item(example.item, &mut features);
    fields.time(timestamp, &mut features);
    fields.before(own.items, own.timestamps, timestamp, &mut features);
    let settings = training.settings;
    let row = |feature: u32| -> Vec<f64> {
        training.table[0][feature as usize * (settings.factors + 1)..][..=settings.factors]
            .iter()
            .map(|v| f64::from(*v))
            .collect()
    };
    let mut score = f64::from(training.intercept[0]);
    for (at, (j, x)) in features.entries.iter().enumerate() {
        score += row(*j)[settings.factors] * f64::from(*x);
        for (k, y) in &features.entries[at + 1..] {
            score += (0..settings.factors).map(|f| row(*j)[f] * row(*k)[f]).sum::<f64>()
                * f64::from(*x)
                * f64::from(*y);
        }
    }
    let Layers::Native([weights, ..]) = &training.layers else { unreachable!("the test's is native") };
    let mut units: Vec<f64> = Vec::new();
    for field in features.fields() {
        units.extend(
            (0..settings.factors).map(|f| field.iter().map(|(j, x)| row(*j)[f] * f64::from(*x)).sum::<f64>()),
        );
    }
    let mut at = 0;
    for layer in 0..=settings.depth {
        if settings.depth == 0 {
            break;
        }
        let outputs = if layer == settings.depth { 1 } else { settings.size };
        let bias = at + units.len() * outputs;
        let sum = |unit: usize| {
            units
                .iter()
                .enumerate()
                .map(|(i, x)| x * f64::from(weights[at + i * outputs + unit]))
                .sum::<f64>()
                + f64::from(weights[bias + unit])
        };
        let next: Vec<f64> = (0..outputs)
            .map(|unit| if layer == settings.depth { sum(unit) } else { sum(unit).max(0.0) })
            .collect();
        at = bias + outputs;
        units = next;
    }
    score + if settings.depth == 0 { 0.0 } else { units[0] }
}

/// Training, prediction and ranking compute the written-out equations; without layers that is the
/// factorization machine.
#[test]
fn scores_equal_the_equations_written_out() {
    for depth in [0, 1, 3] {
        let settings = settings(Objective::Rating, depth, 0.0);
        with(&settings, true, &Device::flex(), |training, train, examples| {
            for _ in 0..5 {
                training.step(&examples, 0.05).unwrap();
            }
            let (users, items) = (attributes(6), attributes(9));
            let device = Device::flex();
            let context = FitContext {
                user_attributes: Some(&users),
                item_attributes: Some(&items),
                ..FitContext::new(3, &device)
            };
            let fields = Fields::new(&settings, train, &context);
            let expected: Vec<f64> =
                examples.iter().map(|example| written_out(training, &fields, train, *example)).collect();
            let loss: f64 = expected
                .iter()
                .zip(&examples)
                .map(|(score, example)| (score - f64::from(example.label)).powi(2))
                .sum();
            let found = training.gradients(&examples).unwrap().0 * examples.len() as f64;
            assert!((found - loss).abs() < 1e-4 * loss, "{found} {loss}");
            let model = training.model(1.0).unwrap();
            for (example, expected) in examples.iter().zip(expected) {
                let user = train.row_users()[example.row as usize];
                let timestamp = train.timestamps().at(example.row as usize);
                let state = model.start(user, train.user(user));
                let predicted = model.predict(&state, example.item, timestamp);
                assert!(
                    (f64::from(predicted) - expected).abs() < 1e-4,
                    "depth {depth}: {predicted} {expected}"
                );
                let mut scores = vec![0.0; 9];
                Predictor::scores(&model, &state, timestamp, &mut scores);
                for (item, score) in scores.iter().enumerate() {
                    assert!(
                        (score - model.predict(&state, item as u32, timestamp)).abs() < 1e-4,
                        "depth {depth}, item {item}"
                    );
                }
            }
        });
    }
}

/// A parameter.
#[derive(Clone, Copy)]
enum Place {
    Intercept,
    Feature(usize),
    Weight(usize),
}

impl Place {
    fn of<'a>(self, training: &'a mut Training<'_>) -> &'a mut f32 {
        match (self, &mut training.layers) {
            (Self::Intercept, _) => &mut training.intercept[0],
            (Self::Feature(at), _) => &mut training.table[0][at],
            (Self::Weight(at), Layers::Native([weights, ..])) => &mut weights[at],
            #[cfg(feature = "burn")]
            (Self::Weight(_), Layers::Device(_)) => unreachable!("the test's is native"),
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for (objective, depth, dropout) in [
        (Objective::Rating, 2, 0.0),
        (Objective::Click, 2, 0.0),
        (Objective::Click, 1, 0.4),
        (Objective::Rating, 0, 0.0),
    ] {
        let settings = settings(objective, depth, dropout);
        with(&settings, true, &Device::flex(), |training, _, examples| {
            // Every pass must draw the same mask.
            let pass = |training: &mut Training| {
                training.steps = 0;
                training.gradients(&examples).unwrap()
            };
            let (_, intercept, (ids, features), layers) = pass(training);
            let mut held = 0;
            let mut check = |training: &mut Training, what: String, gradient: f32, place: Place| {
                let step = 1e-2;
                let before = *place.of(training);
                let at = |training: &mut Training, value: f32| {
                    *place.of(training) = value;
                    pass(training).0
                };
                let (up, middle, down) =
                    (at(training, before + step), at(training, before), at(training, before - step));
                *place.of(training) = before;
                // A unit that relu switches in between has no slope to compare.
                let (left, right) = ((middle - down) / f64::from(step), (up - middle) / f64::from(step));
                if (left - right).abs() < 0.02 * (left.abs() + right.abs()) + 3e-3 {
                    let slope = f64::midpoint(left, right);
                    assert!(
                        (slope - f64::from(gradient)).abs() < 0.02 * slope.abs() + 3e-3,
                        "{what}: {slope} {gradient}"
                    );
                    held += 1;
                }
            };
            check(training, "intercept".into(), intercept, Place::Intercept);
            for (at, gradient) in features.iter().enumerate() {
                let place = ids[at / 4] as usize * 4 + at % 4;
                check(training, format!("feature {place}"), *gradient, Place::Feature(place));
            }
            for (at, gradient) in layers.iter().enumerate() {
                check(training, format!("weight {at}"), *gradient, Place::Weight(at));
            }
            let all = 1 + features.len() + layers.len();
            assert!(held * 10 > all * 9, "{held} of {all}");
        });
    }
}

/// Losses and features after some steps, native or on a device.
#[cfg(feature = "burn")]
fn trained(settings: &Settings, native: bool, device: &Device) -> (Vec<f64>, Vec<f32>) {
    with(settings, native, device, |training, _, examples| {
        let losses = (0..6).map(|_| training.step(&examples, 0.02).unwrap()).collect();
        (losses, training.model(1.0).unwrap().all_weights())
    })
}

#[cfg(feature = "burn")]
fn agree(settings: &Settings, other: &Device) {
    let ((losses, weights), (other_losses, other_weights)) =
        (trained(settings, true, &Device::flex()), trained(settings, false, other));
    for (a, b) in losses.iter().zip(&other_losses) {
        assert!((a - b).abs() < 1e-3 * a, "{losses:?} {other_losses:?}");
    }
    let worst = weights.iter().zip(&other_weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-3, "{worst}");
}

#[cfg(feature = "burn")]
#[test]
fn burn_and_native_code_agree() {
    for (objective, depth, dropout) in
        [(Objective::Rating, 2, 0.0), (Objective::Click, 1, 0.3), (Objective::Click, 3, 0.3)]
    {
        agree(&settings(objective, depth, dropout), &Device::flex());
    }
}

/// Losses and weights agree between `flex` and the wgpu backend (see the RNN's).
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(other) = Device::for_parity() else { return };
    for (objective, depth, dropout) in [(Objective::Rating, 2, 0.0), (Objective::Click, 3, 0.3)] {
        agree(&settings(objective, depth, dropout), &other);
    }
}

#[test]
fn fields_by_hand() {
    let train = histories();
    let device = Device::flex();
    let items = attributes(9);
    let context = FitContext { item_attributes: Some(&items), ..FitContext::new(0, &device) };
    let fields = Fields::new(&settings(Objective::Rating, 1, 0.0), &train, &context);
    assert_eq!((fields.counts(), fields.features()), ([1, 2, 2, 1], 7 + 10 + 2 + 31 + 9));
    let mut features = Features::default();
    fields.user(9, &mut features);
    fields.item(2, &mut features);
    // 1970-01-01 13:00, a Thursday.
    fields.time(13 * 3600, &mut features);
    fields.before(&[4, 1, 3, 5], [10, 20, 30, 40][..].into(), 40, &mut features);
    let found: Vec<&[(u32, f32)]> = features.fields().collect();
    assert_eq!(found[0], [(6, 1.0)], "the unknown user");
    assert_eq!(found[1..3], [&[(7 + 2, 1.0)][..], &[(17, 0.5), (18, 0.5)]], "item 2 is both a and b");
    assert_eq!(found[3..5], [[(19 + 13, 1.0)], [(19 + 24 + 3, 1.0)]]);
    assert_eq!(found[5], [(50 + 1, 0.5), (50 + 3, 0.5)], "the two newest before");
}

#[test]
fn the_unknown_are_the_mean_of_the_known() {
    let settings = settings(Objective::Rating, 1, 0.0);
    with(&settings, true, &Device::flex(), |training, _, _| {
        let model = training.model(1.0).unwrap();
        let weights = model.all_weights();
        let [users, items] = [0..6, 9..18];
        let row = |feature: usize| &weights[feature * 4..feature * 4 + 4];
        for (range, known) in [(users, 5), (items, 8)] {
            for at in 0..4 {
                let mean = range.clone().take(known).map(|id| row(id)[at]).sum::<f32>() / known as f32;
                assert!(
                    (row(range.start + known)[at] - mean).abs() < 1e-6
                        && (row(range.end)[at] - mean).abs() < 1e-6
                );
            }
        }
    });
}
