//! Transforms losses to be nearly normal, so that a few huge ones do not hide differences among the rest.

/// The losses under Yeo and Johnson's (2000) transform of highest likelihood, with mean 0 and deviation 1.
///
/// The power is at most 1: long tails of bad losses are compressed, never those of good ones.
pub(super) fn normal(losses: &[f64]) -> Vec<f64> {
    let standard = standardized(losses);
    let n = losses.len() as f64;
    // Log likelihood of a power: a normal's, and the logarithm of the transform's slope.
    let likelihood = |power: f64| {
        let moved: Vec<f64> = standard.iter().map(|y| yeo_johnson(*y, power)).collect();
        let mean = moved.iter().sum::<f64>() / n;
        let variance = moved.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n;
        let slope: f64 = standard.iter().map(|y| (power - 1.0) * y.signum() * y.abs().ln_1p()).sum();
        -0.5 * n * variance.max(1e-300).ln() + slope
    };
    let powers = (0..=30).map(|step| 1.0 - 0.1 * f64::from(step));
    let best = powers
        .map(|power| (likelihood(power), power))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(1.0, |(_, power)| power);
    standardized(&standard.iter().map(|y| yeo_johnson(*y, best)).collect::<Vec<f64>>())
}

fn yeo_johnson(y: f64, power: f64) -> f64 {
    if y >= 0.0 {
        if power.abs() < 1e-9 { y.ln_1p() } else { ((y + 1.0).powf(power) - 1.0) / power }
    } else if (power - 2.0).abs() < 1e-9 {
        -(-y).ln_1p()
    } else {
        -((1.0 - y).powf(2.0 - power) - 1.0) / (2.0 - power)
    }
}

fn standardized(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n).sqrt();
    values.iter().map(|y| (y - mean) / deviation.max(1e-12)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_stays_and_long_tails_are_drawn_in() {
        let losses: Vec<f64> = (0..40).map(|i| f64::exp(0.25 * f64::from(i))).collect();
        let warped = normal(&losses);
        assert!(warped.windows(2).all(|w| w[0] < w[1]));
        let (plain, drawn) = (standardized(&losses), &warped);
        assert!(plain[39] > 3.5 && drawn[39] < 2.5, "{} {}", plain[39], drawn[39]);
        assert!(normal(&[3.0, 3.0]).iter().all(|y| y.abs() < 1e-6));
    }
}
