//! Blending models: which of them, and with which weights.
//!
//! All weights are fitted on rows that trained none of the models, and validated on others: users are
//! split into folds, and weights fitted on all folds but one are validated on that one.

use crate::metric::clipped_rmse;
use faer::Mat;
use faer::linalg::solvers::Solve;

/// Predictions of the same rows by several models: `[models][rows]`.
pub struct Predictions<'a> {
    /// One column per model.
    pub columns: Vec<&'a [f32]>,
    /// The true values (`[rows]`).
    pub values: &'a [f32],
    /// The user of each row (`[rows]`).
    pub users: &'a [u32],
}

/// A weighted sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One per model.
    pub weights: Vec<f64>,
    /// The intercept.
    pub intercept: f64,
}

/// How weights are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The best model alone.
    Best,
    /// Greedy selection with replacement (Caruana et al. 2004): whole counts over their sum.
    Greedy,
    /// Least squares with a pull towards the greedy weights (stacking, Wolpert 1992; Breiman 1996).
    Stacked,
}

impl Method {
    /// All methods, simplest first.
    pub const ALL: [Self; 3] = [Self::Best, Self::Greedy, Self::Stacked];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best alone",
            Self::Greedy => "greedy selection",
            Self::Stacked => "stacking",
        }
    }

    /// The weights that fit the given rows best.
    #[must_use]
    pub fn weights(self, predictions: &Predictions) -> Weights {
        match self {
            Self::Best => greedy(predictions, 1),
            Self::Greedy => greedy(predictions, ROUNDS),
            Self::Stacked => stacked(predictions),
        }
    }
}

/// Rounds of greedy selection.
const ROUNDS: usize = 40;
/// Folds by which methods are compared.
const FOLDS: u32 = 5;
/// Pull of stacked weights towards the greedy ones, per row.
const PULL: f64 = 0.01;

/// The fold of a user, of `folds` in all: always the same.
#[must_use]
pub fn fold(user: u32, folds: u32) -> u32 {
    (user.wrapping_mul(0x9e37_79b9) >> 16) % folds
}

/// The RMSE of each method's weights on users they were not fitted on.
#[must_use]
pub fn judged(predictions: &Predictions, clip: Option<(f32, f32)>) -> Vec<(Method, f64)> {
    Method::ALL
        .into_iter()
        .map(|method| {
            let mut joined = vec![0.0_f32; predictions.values.len()];
            for held in 0..FOLDS {
                let of = |row: &usize| fold(predictions.users[*row], FOLDS) == held;
                let (asked, known): (Vec<usize>, Vec<usize>) = (0..joined.len()).partition(of);
                let weights = among(predictions, &known, |part| method.weights(part));
                asked.iter().for_each(|row| joined[*row] = weights.of(predictions, *row));
            }
            (method, clipped_rmse(&joined, predictions.values, clip))
        })
        .collect()
}

/// Greedy selection with replacement (Caruana et al. 2004) among models that are combined by something other
/// than a sum of predictions: `value` rates counts, lower is better. Ends when no model improves it, or
/// after `rounds`. Returns the counts and their value, beginning with the best model alone.
pub fn selected(models: usize, rounds: usize, mut value: impl FnMut(&[u32]) -> f64) -> (Vec<u32>, f64) {
    let mut counts = vec![0; models];
    let mut lowest = f64::INFINITY;
    for _ in 0..rounds {
        let tried = (0..models).map(|model| {
            counts[model] += 1;
            let value = value(&counts);
            counts[model] -= 1;
            (model, value)
        });
        let Some((model, best)) = tried.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, best)| *best < lowest)
        else {
            break;
        };
        counts[model] += 1;
        lowest = best;
    }
    (counts, lowest)
}

/// Calls `work` with the predictions of a subset of the rows.
fn among<T>(predictions: &Predictions, rows: &[usize], work: impl FnOnce(&Predictions) -> T) -> T {
    let pick = |column: &[f32]| rows.iter().map(|row| column[*row]).collect::<Vec<f32>>();
    let columns: Vec<Vec<f32>> = predictions.columns.iter().map(|column| pick(column)).collect();
    let users: Vec<u32> = rows.iter().map(|row| predictions.users[*row]).collect();
    work(&Predictions {
        columns: columns.iter().map(Vec::as_slice).collect(),
        values: &pick(predictions.values),
        users: &users,
    })
}

impl Weights {
    /// The sum for one row.
    #[must_use]
    pub fn of(&self, predictions: &Predictions, row: usize) -> f32 {
        (self.intercept
            + self
                .weights
                .iter()
                .zip(&predictions.columns)
                .map(|(w, column)| w * f64::from(column[row]))
                .sum::<f64>()) as f32
    }

    /// The models with a weight that is not zero.
    pub fn members(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.weights.iter().copied().enumerate().filter(|(_, weight)| *weight != 0.0)
    }
}

/// Adds in each round the model that lowers the error of the mean most; ends when none does.
fn greedy(predictions: &Predictions, rounds: usize) -> Weights {
    let n = predictions.values.len();
    let mut counts = vec![0_u32; predictions.columns.len()];
    let (mut sum, mut lowest) = (vec![0.0_f64; n], f64::INFINITY);
    for round in 0..rounds {
        let share = 1.0 / (round as f64 + 1.0);
        let error = |column: &&[f32]| {
            (0..n)
                .map(|row| {
                    ((sum[row] + f64::from(column[row])) * share - f64::from(predictions.values[row])).powi(2)
                })
                .sum::<f64>()
        };
        let errors = predictions.columns.iter().map(error).enumerate();
        let Some((chosen, error)) =
            errors.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, error)| *error < lowest)
        else {
            break;
        };
        lowest = error;
        counts[chosen] += 1;
        sum.iter_mut().zip(predictions.columns[chosen]).for_each(|(sum, p)| *sum += f64::from(*p));
    }
    let total = f64::from(counts.iter().sum::<u32>().max(1));
    Weights { weights: counts.iter().map(|count| f64::from(*count) / total).collect(), intercept: 0.0 }
}

/// Ridge regression over the models that greedy selection chose, towards its weights.
fn stacked(predictions: &Predictions) -> Weights {
    let start = greedy(predictions, ROUNDS);
    let members: Vec<(usize, f64)> = start.members().collect();
    let (n, m) = (predictions.values.len(), members.len());
    if n == 0 || m == 0 {
        return start;
    }
    // Centred, so that the intercept is not penalized.
    let mean = |column: &[f32]| column.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
    let means: Vec<f64> = members.iter().map(|(at, _)| mean(predictions.columns[*at])).collect();
    let target = mean(predictions.values);
    let mut products = vec![0.0; m * m];
    let mut right = vec![0.0; m];
    let mut row_values = vec![0.0; m];
    for row in 0..n {
        members
            .iter()
            .zip(&means)
            .zip(&mut row_values)
            .for_each(|(((at, _), mean), out)| *out = f64::from(predictions.columns[*at][row]) - mean);
        let greedy: f64 = members.iter().zip(&row_values).map(|((_, w), x)| w * x).sum();
        let left = f64::from(predictions.values[row]) - target - greedy;
        for i in 0..m {
            right[i] += row_values[i] * left;
            for j in 0..m {
                products[i * m + j] += row_values[i] * row_values[j];
            }
        }
    }
    (0..m).for_each(|i| products[i * m + i] += PULL * n as f64);
    let moves = solved(&products, &right);
    let mut weights = start.weights;
    members.iter().zip(&moves).for_each(|((at, _), step)| weights[*at] += step);
    let intercept =
        target - members.iter().zip(&means).map(|((at, _), mean)| weights[*at] * mean).sum::<f64>();
    Weights { weights, intercept }
}

/// Solves a small positive definite system, `[m, m]` row-major.
fn solved(a: &[f64], b: &[f64]) -> Vec<f64> {
    let m = b.len();
    let matrix = Mat::from_fn(m, m, |i, j| a[i * m + j]);
    let right = Mat::from_fn(m, 1, |i, _| b[i]);
    let solution = matrix.partial_piv_lu().solve(&right);
    (0..m).map(|i| solution[(i, 0)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three models: the truth and an error of their own each; a fourth is useless.
    fn example() -> (Vec<Vec<f32>>, Vec<f32>, Vec<u32>) {
        let noise = |row: u32, salt: u32| {
            (row.wrapping_mul(2_654_435_761)
                .wrapping_add(salt.wrapping_mul(0x85eb_ca6b))
                .rotate_left(salt % 31)
                % 1000) as f32
                / 500.0
                - 1.0
        };
        let values: Vec<f32> = (0..2000).map(|row| 3.0 + noise(row, 1)).collect();
        let column = |salt: u32, size: f32| {
            values.iter().enumerate().map(|(row, v)| v + size * noise(row as u32, salt)).collect::<Vec<f32>>()
        };
        (
            vec![column(7, 0.8), column(13, 0.9), column(17, 1.0), vec![0.0; 2000]],
            values,
            (0..2000).map(|row| row / 10).collect(),
        )
    }

    #[test]
    fn joining_beats_the_best_alone() {
        let (columns, values, users) = example();
        let predictions = Predictions {
            columns: columns.iter().map(Vec::as_slice).collect(),
            values: &values,
            users: &users,
        };
        let judged = judged(&predictions, None);
        assert!(judged[1].1 < 0.85 * judged[0].1 && judged[2].1 <= judged[1].1 * 1.01, "{judged:?}");
        let weights = Method::Greedy.weights(&predictions);
        assert!(
            (weights.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.weights[3] == 0.0,
            "{weights:?}"
        );
        assert_eq!(Method::Best.weights(&predictions).weights, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn selection_ends_where_nothing_is_better() {
        // Lowest where the first model counts twice and the third once.
        let value = |counts: &[u32]| {
            let total = f64::from(counts.iter().sum::<u32>());
            [2.0 / 3.0, 0.0, 1.0 / 3.0]
                .iter()
                .zip(counts)
                .map(|(wanted, count)| (wanted - f64::from(*count) / total).powi(2))
                .sum()
        };
        let (counts, lowest) = selected(3, 20, value);
        assert_eq!(counts, [2, 0, 1]);
        assert!(lowest < 1e-12);
        assert_eq!(selected(3, 1, value).0, [1, 0, 0]);
    }

    #[test]
    fn equations_by_hand() {
        // [[2, 1], [1, 3]] x = [4, 7] has the solution (1, 2).
        let x = solved(&[2.0, 1.0, 1.0, 3.0], &[4.0, 7.0]);
        assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
    }
}
