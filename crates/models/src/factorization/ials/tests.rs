use super::*;
use crate::{Device, FitContext, Fitted};
use foretaste_data::Histories;

fn log() -> Histories {
    let rows: [&[u32]; 5] = [&[0, 1, 2], &[1, 2], &[0, 3], &[3, 4, 0, 1], &[4]];
    let mut offsets = vec![0];
    rows.iter().for_each(|row| offsets.push(offsets.last().unwrap() + row.len()));
    let items = rows.concat();
    let n = items.len();
    Histories::new(
        offsets,
        items,
        (0..n).map(|i| (i % 5) as f32).collect::<Vec<_>>(),
        (0..n as i64).collect::<Vec<_>>(),
        6,
    )
}

fn settings() -> Settings {
    Settings {
        factors: 3,
        epochs: 30,
        unobserved: 0.2,
        regularization: 0.05,
        exponent: 0.5,
        alpha: 0.3,
        solver: Solver::Cholesky,
        ..Settings::default()
    }
}

fn train(settings: &Settings) -> Fitted {
    fit(settings, &log(), None, &FitContext::new(3, &Device::flex())).unwrap()
}

/// The loss as the module states it, by all pairs.
fn loss(settings: &Settings, users: &[Vec<f64>], items: &[Vec<f64>]) -> f64 {
    let train = log();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut sum, a) = (0.0, f64::from(settings.unobserved));
    let mut holders = vec![0; items.len()];
    for (user, w) in users.iter().enumerate() {
        let history = train.user(user as u32);
        for (item, value) in history.items.iter().zip(history.values) {
            holders[*item as usize] += 1;
            sum += (1.0 + f64::from(settings.alpha) * f64::from(*value))
                * (dot(w, &items[*item as usize]) - 1.0).powi(2);
        }
        sum += items.iter().map(|h| a * dot(w, h).powi(2)).sum::<f64>();
        let l = f64::from(settings.regularization)
            * (history.len() as f64 + a * items.len() as f64).powf(f64::from(settings.exponent));
        sum += l * dot(w, w);
    }
    for (h, n) in items.iter().zip(holders) {
        let l = f64::from(settings.regularization)
            * (f64::from(n) + a * users.len() as f64).powf(f64::from(settings.exponent));
        sum += l * dot(h, h);
    }
    sum
}

fn wide(values: &[f32]) -> Vec<Vec<f64>> {
    values.chunks(3).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect()
}

/// At the end of training no change of any factor lowers the loss.
#[test]
fn the_solution_is_a_minimum() {
    let settings = settings();
    let model = train(&settings).model;
    let items = wide(&model.tensors()[0].data);
    let file = tempfile::NamedTempFile::new().unwrap();
    crate::engine::tensors::write_file(&model.tensors(), file.path()).unwrap();
    let inside =
        Model::restore(settings.clone(), &crate::engine::tensors::read(file.path()).unwrap()).unwrap();
    let users: Vec<Vec<f64>> = (0..5)
        .map(|user| {
            inside.start(user, log().user(user)).factors(&inside).iter().map(|v| f64::from(*v)).collect()
        })
        .collect();
    let base = loss(&settings, &users, &items);
    for (users_move, n) in [(true, 5), (false, 5)] {
        for at in 0..n {
            for c in 0..3 {
                for step in [-0.02, 0.02] {
                    let (mut users, mut items) = (users.clone(), items.clone());
                    if users_move {
                        users[at][c] += step;
                    } else {
                        items[at][c] += step;
                    }
                    assert!(loss(&settings, &users, &items) > base, "users {users_move} {at} {c} {step}");
                }
            }
        }
    }
    assert_eq!(items[5], [0.0; 3], "an item without rows stays at 0");
}

/// Conjugate gradients run to their end agree with the exact solver.
#[test]
fn solvers_agree() {
    let exact = train(&Settings { epochs: 300, ..settings() }).model;
    let gradients = train(&Settings { solver: Solver::Cg, steps: 3, epochs: 300, ..settings() }).model;
    let scores = |model: &dyn crate::Trained, user: u32| {
        let mut scores = vec![0.0; 6];
        model.scores(&model.start(user, log().user(user)), 0, &mut scores);
        scores
    };
    for user in 0..5 {
        let (a, b) = (scores(exact.as_ref(), user), scores(gradients.as_ref(), user));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-3), "{a:?} {b:?}");
    }
    // A new user: popularity alone.
    let stranger = scores(exact.as_ref(), 77);
    assert!(
        stranger.iter().all(|s| *s < 1e-5)
            && stranger[0] == stranger[1]
            && stranger[0] > stranger[2]
            && stranger[5] == 0.0,
        "{stranger:?}"
    );
}

/// Stored factors are used for those rows only, and equal a new solution to the bit.
#[test]
fn kept_factors_are_those_of_their_rows() {
    let settings = settings();
    let fitted = train(&settings).model;
    let file = tempfile::NamedTempFile::new().unwrap();
    crate::engine::tensors::write_file(&fitted.tensors(), file.path()).unwrap();
    let model = Model::restore(settings, &crate::engine::tensors::read(file.path()).unwrap()).unwrap();
    let log = log();
    for user in 0..5 {
        assert_eq!(model.kept(user, log.user(user)).unwrap(), model.query(log.user(user)));
    }
    let (rows, mut values) = (log.user(1), log.user(1).values.to_vec());
    assert!(model.kept(0, rows).is_none() && model.kept(77, rows).is_none());
    values[0] += 1.0;
    assert!(model.kept(1, History { values: values[..].into(), ..rows }).is_none(), "weights follow values");
}
