//! Functions of the normal distribution, accurate in the tails.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Density.
pub(crate) fn pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// Distribution function.
pub(crate) fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Mass between two bounds, without cancellation in the tails.
pub(crate) fn mass(low: f64, high: f64) -> f64 {
    if low > 0.0 { cdf(-low) - cdf(-high) } else { cdf(high) - cdf(low) }
}

/// Quantile: the bound below which the mass is `p`, by Acklam's approximation (relative error 1e-9) and one
/// step of Halley's method.
pub(crate) fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [0.007_784_695_709_041_462, 0.322_467_129_070_039_8, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let horner = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let p = p.clamp(1e-300, 1.0 - 1e-16);
    let tail = |q: f64| horner(&C, q) / (horner(&D, q) * q + 1.0);
    let x = if p < 0.02425 {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - 0.02425 {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    };
    let e = cdf(x) - p;
    let u = e * (2.0 * PI).sqrt() * (0.5 * x * x).exp();
    if u.is_finite() { x - u / (1.0 + 0.5 * x * u) } else { x }
}

/// `log(pdf(z) + z cdf(z))`: the logarithm of the expected improvement in standard units (Ament et al. 2023,
/// eq. 9).
pub(crate) fn log_improvement(z: f64) -> f64 {
    if z > -1.0 {
        return (pdf(z) + z * cdf(z)).ln();
    }
    let log_pdf = -0.5 * z * z - 0.5 * (2.0 * PI).ln();
    if z > -1e4 {
        // pdf + z cdf = pdf (1 - |z| R(|z|)), R being Mills' ratio.
        return log_pdf + (1.0 + z * mills(-z)).max(1e-300).ln();
    }
    log_pdf - 2.0 * (-z).ln()
}

/// Derivative of [`log_improvement`]: `cdf(z) / (pdf(z) + z cdf(z))`.
pub(crate) fn log_improvement_slope(z: f64) -> f64 {
    if z > -1.0 {
        return cdf(z) / (pdf(z) + z * cdf(z));
    }
    if z > -1e4 {
        let ratio = mills(-z);
        return ratio / (1.0 + z * ratio).max(1e-300);
    }
    -z
}

/// Mills' ratio `(1 - cdf(x)) / pdf(x)` for `x > 0`; beyond 10 from Laplace's continued fraction.
fn mills(x: f64) -> f64 {
    if x < 10.0 {
        return cdf(-x) / pdf(x);
    }
    let mut fraction = x;
    for k in (1..=60).rev() {
        fraction = x + f64::from(k) / fraction;
    }
    1.0 / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_undo_the_distribution() {
        for z in [-6.0, -2.5, -1.0, 0.0, 0.3, 1.96, 5.0] {
            assert!((quantile(cdf(z)) - z).abs() < 1e-6, "{z}: {}", quantile(cdf(z)));
        }
        assert!((cdf(1.959_963_984_540_054) - 0.975).abs() < 1e-12);
    }

    #[test]
    fn the_logarithm_of_the_improvement_joins_up_and_has_its_slope() {
        // By quadrature: the integral of cdf from minus infinity to z.
        for (z, value) in [(0.0, -0.918_938_533_204_672_8), (-1.0, -2.485_120_7), (-3.0, -7.869_7)] {
            assert!((log_improvement(z) - value).abs() < 1e-3, "{z}: {}", log_improvement(z));
        }
        for z in [-2e4, -1e4 - 1.0, -9_999.0, -100.0, -10.0, -2.0, -1.0, 0.5, 3.0] {
            let h = 1e-6 * f64::max(1.0, f64::abs(z));
            let numeric = (log_improvement(z + h) - log_improvement(z - h)) / (2.0 * h);
            let exact = log_improvement_slope(z);
            assert!((numeric - exact).abs() < 1e-3 * exact.abs().max(1.0), "{z}: {numeric} {exact}");
        }
        for join in [-1.0, -1e4] {
            let (below, above) = (log_improvement(join - 1e-9), log_improvement(join + 1e-9));
            assert!((below - above).abs() < 1e-4 * below.abs(), "{below} {above}");
        }
    }
}
