//! Errors of rating predictions. One formula each, summed in `f64` in row order.

pub use foretaste_models::rmse;

/// Mean absolute error; NaN without rows.
///
/// `MAE = 1/n sum_i |p_i - r_i|`
///
/// ```
/// assert_eq!(foretaste_bench::metrics::mae(&[1.0, 5.0], &[2.0, 2.0]), 2.0);
/// ```
#[must_use]
pub fn mae(predictions: &[f32], values: &[f32]) -> f64 {
    let sum: f64 = predictions.iter().zip(values).map(|(p, v)| (f64::from(*p) - f64::from(*v)).abs()).sum();
    sum / values.len() as f64
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

    proptest! {
        /// MAE <= RMSE <= the largest error; both vanish on perfect predictions and do not see a common shift.
        #[test]
        fn bounds(pairs in proptest::collection::vec((0.5_f32..5.0, 0.5_f32..5.0), 1..50), shift in -3.0_f32..3.0) {
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
