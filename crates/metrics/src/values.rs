//! Errors of predicted ratings and clicks. One formula each, summed in `f64` in row order.

/// Root of the mean squared error, NaN without rows.
///
/// `RMSE = sqrt(1/n sum_i (p_i - r_i)^2)`
///
/// # Panics
/// Where there are not as many predictions as values.
#[must_use]
pub fn rmse<'a>(predictions: &[f32], values: impl IntoIterator<Item = &'a f32>) -> f64 {
    mean_of_errors(predictions, values, |error| error * error).sqrt()
}

/// Mean of `of` each error, in row order.
fn mean_of_errors<'a>(
    predictions: &[f32],
    values: impl IntoIterator<Item = &'a f32>,
    of: impl Fn(f64) -> f64,
) -> f64 {
    let mut values = values.into_iter();
    let mut sum = 0.0;
    for (row, prediction) in predictions.iter().enumerate() {
        let Some(value) = values.next() else {
            panic!("{} predictions, but {row} values", predictions.len());
        };
        sum += of(f64::from(*prediction) - f64::from(*value));
    }
    let more = values.count();
    assert!(more == 0, "{} predictions, but {} values", predictions.len(), predictions.len() + more);
    sum / predictions.len() as f64
}

/// Mean absolute error; NaN without rows.
///
/// `MAE = 1/n sum_i |p_i - r_i|`
///
/// # Panics
/// Where there are not as many predictions as values.
///
/// ```
/// assert_eq!(foretaste_metrics::mae(&[1.0, 5.0], &[2.0, 2.0]), 2.0);
/// ```
#[must_use]
pub fn mae<'a>(predictions: &[f32], values: impl IntoIterator<Item = &'a f32>) -> f64 {
    mean_of_errors(predictions, values, f64::abs)
}

/// Area under the receiver operating characteristic: the share of pairs of a click and a miss in which the
/// click has the higher score, ties counting half; NaN without a click or without a miss.
///
/// ```
/// // Of the four pairs (0.8, 0.3), (0.8, 0.5), (0.5, 0.3) and (0.5, 0.5) three and a half are in order.
/// assert_eq!(foretaste_metrics::auc(&[0.8, 0.3, 0.5, 0.5], &[true, false, true, false]), 0.875);
/// ```
#[must_use]
pub fn auc(scores: &[f32], clicks: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut misses, mut won) = (0.0, 0.0);
    for tied in order.chunk_by(|a, b| scores[*a].total_cmp(&scores[*b]).is_eq()) {
        let hits = tied.iter().filter(|row| clicks[**row]).count() as f64;
        let others = tied.len() as f64 - hits;
        won += hits * (misses + 0.5 * others);
        misses += others;
    }
    won / ((scores.len() as f64 - misses) * misses)
}

/// Mean negative log-likelihood of clicks under their log-odds; NaN without rows.
///
/// `1/n sum_i ln(1 + exp(s_i)) - s_i y_i`
///
/// ```
/// assert!((foretaste_metrics::log_loss(&[0.0, 0.0], &[true, false]) - 2.0_f64.ln()).abs() < 1e-12);
/// ```
#[must_use]
pub fn log_loss(log_odds: &[f32], clicks: &[bool]) -> f64 {
    let loss = |(s, click): (&f32, &bool)| {
        let s = f64::from(*s);
        s.max(0.0) + (-s.abs()).exp().ln_1p() - if *click { s } else { 0.0 }
    };
    log_odds.iter().zip(clicks).map(loss).sum::<f64>() / clicks.len() as f64
}

/// Mean and sample deviation (`n - 1`); the deviation of one number is 0.
#[must_use]
pub fn mean_and_deviation(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        assert!((rmse(&[1.0, 5.0], &[2.0, 2.0]) - 5.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(mean_and_deviation(&[1.0, 2.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[4.0]), (4.0, 0.0));
        assert!(rmse(&[], &[]).is_nan() && mae(&[], &[]).is_nan());
    }

    #[test]
    fn unequal_lengths_are_refused() {
        for (predictions, values) in [(&[1.0_f32, 2.0][..], &[1.0_f32][..]), (&[1.0], &[1.0, 2.0])] {
            assert!(std::panic::catch_unwind(|| rmse(predictions, values)).is_err());
            assert!(std::panic::catch_unwind(|| mae(predictions, values)).is_err());
        }
    }

    proptest! {
        /// AUC is the share of pairs, counted one by one; negating all scores gives 1 - AUC.
        #[test]
        fn auc_counts_pairs(rows in proptest::collection::vec((-3_i8..3, proptest::bool::ANY), 2..40)) {
            let (scores, clicks): (Vec<f32>, Vec<bool>) = rows.iter().map(|(score,
                click)| (f32::from(*score), *click)).unzip();
            let (mut pairs, mut won) = (0.0, 0.0);
            for (a, hit) in scores.iter().zip(&clicks) {
                for (b, _) in scores.iter().zip(&clicks).filter(|(_, other)| *hit && !**other) {
                    pairs += 1.0;
                    won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                }
            }
            let found = auc(&scores, &clicks);
            let equal = if pairs == 0.0 { found.is_nan() } else { (found - won / pairs).abs() < 1e-12 };
            prop_assert!(equal);
            let turned: Vec<f32> = scores.iter().map(|score| -score).collect();
            prop_assert!(pairs == 0.0 || (found + auc(&turned, &clicks) - 1.0).abs() < 1e-12);
        }

        /// MAE <= RMSE <= the largest error; both vanish on perfect predictions and ignore a common
        /// shift.
        #[test]
        fn bounds(pairs in proptest::collection::vec((0.5_f32..5.0, 0.5_f32..5.0), 1..50),
            shift in -3.0_f32..3.0) {
            let (p, v): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let largest = p.iter().zip(&v).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            let (root, absolute) = (rmse(&p, &v), mae(&p, &v));
            prop_assert!(absolute <= root + 1e-9 && root <= largest + 1e-6);
            prop_assert_eq!(rmse(&v, &v), 0.0);
            let moved = |x: &[f32]| x.iter().map(|a| a + shift).collect::<Vec<_>>();
            prop_assert!((rmse(&moved(&p), &moved(&v)) - root).abs() < 1e-5);
        }
    }
}
