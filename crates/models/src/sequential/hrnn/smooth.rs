//! Predictions between a user's known ratings, as splits at random ask for: from the ratings before and those
//! after.
//!
//! The drift is the same in both directions of time, so that a second filter can come from the end, and both
//! meet (the two-filter smoother: Fraser and Potter 1969). With `(s, P)` of the filter up to the time asked,
//! `(s', P')` of the one that has seen what is later, both drifted to it, and the prior `P0`, which both
//! hold:
//!
//! ```text
//! C = (P^-1 + P'^-1 - P0^-1)^-1        mean = C (P^-1 s + P'^-1 s')
//! ```

use super::model::{Model, User};
use crate::{Predictor, Reading};
use foretaste_data::History;

/// Whether some known rating is later than the first row asked.
pub(super) fn is_between(known: History<'_>, asked: History<'_>) -> bool {
    !known.is_empty() && !asked.is_empty() && known.timestamps.at(known.len() - 1) > asked.timestamps.at(0)
}

/// Predicts rows in time order, each from the known ratings before it and after it. Those of its very time
/// count as before.
pub(super) fn predict_user(
    model: &Model,
    user: u32,
    known: History<'_>,
    asked: History<'_>,
    reading: Reading,
    out: &mut [f32],
) {
    let later = from_the_end(model, user, known, asked);
    let mut state = model.begin(user);
    let mut space = Vec::new();
    let mut next = 0;
    for (row, (out, later)) in out.iter_mut().zip(&later).enumerate() {
        let (item, time) = (asked.items[row], asked.timestamps.at(row));
        while next < known.len() && known.timestamps.at(next) <= time {
            model.take_known(&mut state, user, known, next, 1, &mut space);
            next += 1;
        }
        let mut met = state.clone();
        model.move_to(&mut met, time);
        if let Some(later) = later {
            meet(model, &mut met, later);
        }
        *out = model.predict_now(&met, item, time);
        if reading == Reading::Streaming {
            model.update(&mut state, item, asked.values[row], time);
        }
    }
}

/// For each row asked, the state of a filter that comes from the end, drifted to the row; `None` where
/// nothing is later. Its clock runs backwards.
fn from_the_end(model: &Model, user: u32, known: History<'_>, asked: History<'_>) -> Vec<Option<User>> {
    let mut state = model.begin(user);
    let mut space = Vec::new();
    let mut next = known.len();
    let mut found = Vec::with_capacity(asked.len());
    for row in (0..asked.len()).rev() {
        let time = asked.timestamps.at(row);
        while next > 0 && known.timestamps.at(next - 1) > time {
            next -= 1;
            model.take_known(&mut state, user, known, next, -1, &mut space);
        }
        found.push((next < known.len()).then(|| {
            let mut drifted = state.clone();
            model.move_to(&mut drifted, -time);
            drifted
        }));
    }
    found.reverse();
    found
}

/// Joins what the filter from the end knows to a state of the same time.
fn meet(model: &Model, state: &mut User, later: &User) {
    let n = state.mean.len();
    let invert = |user: &User| inverse(n, &user.covariance.iter().map(|p| f64::from(*p)).collect::<Vec<_>>());
    let (Some(mut sum), Some(other)) = (invert(state), invert(later)) else { return };
    let times = |matrix: &[f64], x: &[f32], out: &mut [f64]| {
        for i in 0..n {
            for j in 0..=i {
                let p = matrix[i * (i + 1) / 2 + j];
                out[i] += p * f64::from(x[j]);
                if i != j {
                    out[j] += p * f64::from(x[i]);
                }
            }
        }
    };
    let mut weighted = vec![0.0; n];
    times(&sum, &state.mean, &mut weighted);
    times(&other, &later.mean, &mut weighted);
    sum.iter_mut().zip(&other).for_each(|(sum, other)| *sum += other);
    (0..n).for_each(|i| sum[i * (i + 1) / 2 + i] -= 1.0 / f64::from(model.prior_variance(i)));
    // Rounding alone can make the sum other than positive definite; the ratings before it then stand alone.
    let Some(covariance) = inverse(n, &sum) else { return };
    let weighted: Vec<f32> = weighted.iter().map(|x| *x as f32).collect();
    let mut mean = vec![0.0; n];
    times(&covariance, &weighted, &mut mean);
    state.mean.iter_mut().zip(&mean).for_each(|(to, from)| *to = *from as f32);
    state.covariance.iter_mut().zip(&covariance).for_each(|(to, from)| *to = *from as f32);
    let bag = state.bag.iter_mut().zip(&later.bag).zip(model.empty());
    bag.for_each(|((bag, later), empty)| *bag += later - empty);
    state.count += later.count;
    state.surprise += later.surprise;
}

/// The inverse of a packed symmetric positive definite matrix, by its Cholesky factor; `None` for others.
fn inverse(n: usize, matrix: &[f64]) -> Option<Vec<f64>> {
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    // L, then its inverse in its place.
    let mut l = matrix.to_vec();
    for i in 0..n {
        for j in 0..=i {
            let sum = l[at(i, j)] - (0..j).map(|k| l[at(i, k)] * l[at(j, k)]).sum::<f64>();
            if i == j {
                if sum.is_nan() || sum <= 0.0 {
                    return None;
                }
                l[at(i, i)] = sum.sqrt();
            } else {
                l[at(i, j)] = sum / l[at(j, j)];
            }
        }
    }
    for j in 0..n {
        for i in j..n {
            let sum: f64 = (j..i).map(|k| l[at(i, k)] * if k == j { l[at(j, j)] } else { l[at(k, j)] }).sum();
            l[at(i, j)] = if i == j { 1.0 / l[at(i, i)] } else { -sum / l[at(i, i)] };
        }
    }
    let mut out = vec![0.0; matrix.len()];
    for i in 0..n {
        for j in 0..=i {
            out[at(i, j)] = (i..n).map(|k| l[at(k, i)] * l[at(k, j)]).sum();
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::tests::{histories, small};
    use super::super::train::train_model;
    use super::*;
    use crate::{Device, FitContext};

    #[test]
    fn inverses_by_hand() {
        // [4 2; 2 3] has the inverse [3 -2; -2 4] / 8.
        let found = inverse(2, &[4.0, 2.0, 3.0]).unwrap();
        let expected = [0.375, -0.25, 0.5];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert!(inverse(2, &[1.0, 2.0, 1.0]).is_none());
        let n = 7;
        let root: Vec<f64> = (0..n * n).map(|i| ((i * 37 % 11) as f64 - 5.0) / 5.0).collect();
        let entry = |i: usize, j: usize| {
            (0..n).map(|k| root[i * n + k] * root[j * n + k]).sum::<f64>() + f64::from(u8::from(i == j))
        };
        let packed: Vec<f64> =
            (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect();
        let found = inverse(n, &packed).unwrap();
        let of =
            |i: usize, j: usize| if i >= j { found[i * (i + 1) / 2 + j] } else { found[j * (j + 1) / 2 + i] };
        for i in 0..n {
            for j in 0..n {
                let product: f64 = (0..n).map(|k| entry(i, k) * of(k, j)).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }

    /// Without drift the order of ratings does not matter: what two filters find where they meet is what one
    /// finds that has seen all. (Without what depends on the order: correction, bag and user's noise.)
    #[test]
    fn two_filters_find_what_one_finds() {
        let train = histories(50, 12, 30);
        let device = Device::flex();
        let settings = Settings { depth: 0, bag: 0, kinds: 0, ..small() };
        let mut model = train_model(&settings, &train, &FitContext::new(0, &device)).unwrap();
        model.without_order();
        let user = (0..50).find(|user| train.user(*user).len() > 10).unwrap();
        let known = train.user(user);
        let whole = model.start(user, known);
        let (middle, mut found) = (known.timestamps.at(5), [0.0; 2]);
        let times = [middle, middle];
        let asked =
            History { items: &[3, 4], values: (&[3.0, 3.0][..]).into(), timestamps: (&times[..]).into() };
        assert!(is_between(known, asked));
        predict_user(&model, user, known, asked, Reading::Frozen, &mut found);
        for (item, found) in [3, 4].into_iter().zip(found) {
            let one = model.predict(&whole, item, middle);
            assert!((one - found).abs() < 1e-3, "{one} {found}");
        }
    }
}
