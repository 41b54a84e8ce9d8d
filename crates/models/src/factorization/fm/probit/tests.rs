use super::*;

/// Levels of 4,000 rows with known scores and cutpoints.
fn drawn() -> (Vec<u8>, Vec<f32>, Cutpoints) {
    let cuts = Cutpoints(vec![-1.2, -0.1, 0.9]);
    let mut random = rng(5, "probit test");
    let scores: Vec<f32> = (0..4000).map(|_| StandardNormal.sample(&mut random)).collect();
    let levels = scores
        .iter()
        .map(|score| {
            let noise: f64 = StandardNormal.sample(&mut random);
            cuts.0.iter().filter(|c| **c < f64::from(*score) + noise).count() as u8
        })
        .collect();
    (levels, scores, cuts)
}

#[test]
fn gradient_and_curvature_equal_finite_differences() {
    let (levels, scores, _) = drawn();
    let cuts = Cutpoints(vec![-0.9, 0.2, 0.6]);
    let free = cuts.free();
    let gradient_at = |free: &[f64]| {
        let cuts = Cutpoints::from_free(free);
        cuts.curvature(&cuts.likelihood(&levels, &scores)).0
    };
    let value_at = |free: &[f64]| Cutpoints::from_free(free).likelihood(&levels, &scores).value;
    let (gradient, negative) = cuts.curvature(&cuts.likelihood(&levels, &scores));
    let step = 1e-5;
    for j in 0..3 {
        let moved = |by: f64| {
            free.iter().enumerate().map(|(k, f)| if k == j { f + by } else { *f }).collect::<Vec<_>>()
        };
        let slope = (value_at(&moved(step)) - value_at(&moved(-step))) / (2.0 * step);
        assert!((slope - gradient[j]).abs() < 1e-3 * (1.0 + slope.abs()), "{j}: {slope} {}", gradient[j]);
        let (up, down) = (gradient_at(&moved(step)), gradient_at(&moved(-step)));
        for i in 0..3 {
            let bend = -(up[i] - down[i]) / (2.0 * step);
            assert!(
                (bend - negative[i][j]).abs() < 1e-3 * (1.0 + bend.abs()),
                "{i} {j}: {bend} {}",
                negative[i][j]
            );
        }
    }
}

#[test]
fn cutpoints_are_found_again() {
    let (levels, scores, truth) = drawn();
    let mut cuts = Cutpoints::first(&[0.25; 4]);
    let mut random = rng(1, "draws");
    let mut sums = [0.0; 3];
    for _ in 0..200 {
        cuts.draw(&levels, &scores, &mut random);
        sums.iter_mut().zip(&cuts.0).for_each(|(s, c)| *s += c / 200.0);
    }
    for (mean, truth) in sums.iter().zip(&truth.0) {
        assert!((mean - truth).abs() < 0.09, "{sums:?} {truth}");
    }
}

/// Means of truncated variates agree with `(phi(a) - phi(b)) / (Phi(b) - Phi(a))`.
#[test]
fn truncated_variates_have_their_mean() {
    let mut random = rng(2, "truncated");
    let inf = f64::INFINITY;
    for (a, b) in [
        (-inf, -1.5),
        (-inf, 0.3),
        (-0.4, 0.7),
        (0.2, 5.0),
        (1.0, 1.4),
        (2.5, inf),
        (-6.0, -3.0),
        (-1.0, inf),
        (3.0, 3.2),
    ] {
        let n = 20_000;
        let mut sum = 0.0;
        for _ in 0..n {
            let x = truncated(a, b, &mut random);
            assert!(x > a && x < b, "{x} in ({a}, {b})");
            sum += x;
        }
        let exact = (density(a) - density(b)) / between(a, b);
        assert!((sum / f64::from(n) - exact).abs() < 0.02, "({a}, {b}): {} {exact}", sum / f64::from(n));
    }
}

#[test]
fn expectation_by_hand_and_by_differences() {
    let cuts = Cutpoints(vec![0.0]);
    let (expected, slope) = cuts.expectation(&[1.0, 3.0], 0.0);
    assert!((expected - 2.0).abs() < 1e-12 && (slope - 2.0 * density(0.0)).abs() < 1e-12);
    let cuts = Cutpoints(vec![-1.0, 0.5]);
    let values = [1.0, 2.0, 5.0];
    let at = |s: f64| cuts.expectation(&values, s).0;
    assert!(((at(0.3 + 1e-6) - at(0.3 - 1e-6)) / 2e-6 - cuts.expectation(&values, 0.3).1).abs() < 1e-6);
}
