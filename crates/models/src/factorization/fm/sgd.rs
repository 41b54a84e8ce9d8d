//! Stochastic gradient descent over a design (Rendle 2012, section 3.1).

use super::Settings;
use super::design::Design;
use super::machine::Machine;
use foretaste_data::{ValueSlice, rng};
use rand::Rng;
use rand::seq::SliceRandom;

/// Neighbouring rows that are shuffled among themselves in large data: their users' features stay in
/// a cache.
const STRETCH: usize = 1 << 16;
/// With fewer stretches a pass would end biased towards the users that came last.
const STRETCHES: usize = 256;

/// All rows in random order; for many rows, stretches in random order and rows shuffled within each.
fn order(rows: usize, mut random: impl Rng) -> impl Iterator<Item = usize> {
    let length = if rows < STRETCH * STRETCHES { rows.max(1) } else { STRETCH };
    let mut stretches: Vec<usize> = (0..rows).step_by(length).collect();
    stretches.shuffle(&mut random);
    stretches.into_iter().flat_map(move |first| {
        let mut stretch: Vec<usize> = (first..(first + length).min(rows)).collect();
        stretch.shuffle(&mut random);
        stretch
    })
}

/// One pass over all rows in that order; returns the sum of squared errors before each update.
///
/// For one row with error `e`: `w_j += rate (e x_j - l_w w_j)`,
/// `v_j += rate (e x_j (q - x_j v_j) - l_v v_j)` with `q = sum_j x_j v_j`.
pub(super) fn pass(
    machine: &mut Machine,
    design: &Design,
    target: ValueSlice,
    settings: &Settings,
    seed: u64,
    epoch: usize,
) -> f64 {
    let (width, factors, rate) = (machine.width(), machine.factors, settings.learning_rate);
    let mut features: Vec<(usize, usize, f32)> = Vec::new();
    let mut q = vec![0.0_f32; factors];
    let mut squares = 0.0;
    for row in order(design.len(), rng(seed, &format!("fm sgd {epoch}"))) {
        features.clear();
        for (place, block) in design.blocks().iter().enumerate() {
            features.extend(
                block.part(block.rows[row] as usize).map(|(feature, x)| (place, feature as usize * width, x)),
            );
        }
        q.fill(0.0);
        let (mut prediction, mut own) = (machine.intercept, 0.0);
        for (place, at, x) in &features {
            let row = &machine.tables[*place][*at..at + width];
            prediction += x * row[factors];
            for (q, v) in q.iter_mut().zip(row) {
                *q += x * v;
                own += (x * v) * (x * v);
            }
        }
        prediction += 0.5 * (q.iter().map(|q| q * q).sum::<f32>() - own);
        let error = target[row] - prediction;
        squares += f64::from(error * error);
        machine.intercept += rate * error;
        for (place, at, x) in &features {
            let row = &mut machine.tables[*place][*at..at + width];
            for (v, q) in row.iter_mut().zip(&q) {
                *v += rate * (error * x * (q - x * *v) - settings.sgd_regularization * *v);
            }
            row[factors] += rate * (error * x - settings.sgd_weight_regularization * row[factors]);
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first fifth of a pass comes from everywhere, however many rows there are: else what all users
    /// share (items, attributes) ends a pass with the leanings of a few.
    #[test]
    fn passes_begin_everywhere() {
        for rows in [0, 1, 1000, 20 * STRETCH + 7, STRETCHES * STRETCH + 7] {
            let mut seen = vec![false; rows];
            let mut tenths = [false; 10];
            for (at, row) in order(rows, rng(7, "test")).enumerate() {
                assert!(!std::mem::replace(&mut seen[row], true), "row {row} twice");
                if at <= rows / 5 {
                    tenths[row * 10 / rows] = true;
                }
            }
            assert!(seen.into_iter().all(|seen| seen));
            assert!(rows < 1000 || tenths == [true; 10], "{rows} rows begin in {tenths:?}");
        }
    }
}
