use super::*;

fn loss(p: &[f64], q: &[f64], bu: f64, bi: f64, value: f64, lambda: f64, bias_lambda: f64) -> f64 {
    let product: f64 = p.iter().zip(q).map(|(a, b)| a * b).sum();
    let squares = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
    0.5 * (value - bu - bi - product).powi(2)
        + 0.5 * lambda * (squares(p) + squares(q))
        + 0.5 * bias_lambda * (bu * bu + bi * bi)
}

/// One update moves along minus the gradient of a rating's loss, found by central differences.
#[test]
fn an_update_is_a_gradient_step() {
    let (rate, lambda, bias_lambda, value) = (0.01_f32, 0.3_f32, 0.2_f32, 1.5_f32);
    let step = Step { rate, keep: 1.0 - rate * lambda, bias_rate: rate, bias_keep: 1.0 - rate * bias_lambda };
    let mut p: Vec<f32> = (0..16).map(|i| 0.05 * i as f32 - 0.3).collect();
    let mut q: Vec<f32> = (0..16).map(|i| 0.2 - 0.03 * i as f32).collect();
    let (mut bu, mut bi) = (0.3_f32, -0.2_f32);
    let before: Vec<f64> = p.iter().chain(&q).chain([&bu, &bi]).map(|v| f64::from(*v)).collect();
    update(&mut p, &mut q, &mut bu, &mut bi, value, &step);
    let after: Vec<f64> = p.iter().chain(&q).chain([&bu, &bi]).map(|v| f64::from(*v)).collect();
    let at = |v: &[f64]| {
        loss(&v[..16], &v[16..32], v[32], v[33], f64::from(value), f64::from(lambda), f64::from(bias_lambda))
    };
    for i in 0..before.len() {
        let (mut up, mut down) = (before.clone(), before.clone());
        up[i] += 1e-5;
        down[i] -= 1e-5;
        let gradient = (at(&up) - at(&down)) / 2e-5;
        let moved = (before[i] - after[i]) / f64::from(rate);
        assert!((gradient - moved).abs() < 2e-4, "component {i}: gradient {gradient}, step {moved}");
    }
}

/// The version chosen for this processor and the plain one give the same bits, for rows of even and
/// odd numbers of lanes.
#[test]
fn processors_agree() {
    let ratings: Vec<Rating> =
        (0..200).map(|n| Rating { user: n % 7, item: (n * 5) % 11, value: (n % 5) as f32 - 2.0 }).collect();
    let step = Step { rate: 0.02, keep: 0.999, bias_rate: 0.02, bias_keep: 0.99 };
    for stride in [8, 16, 24, 32, 64, 104, 128] {
        let fresh = |rows: usize| -> Vec<f32> {
            (0..rows * stride).map(|i| ((i * 37 % 101) as f32 - 50.0) / 500.0).collect()
        };
        let (mut p, mut q, mut bu, mut bi) = (fresh(7), fresh(11), vec![0.0; 7], vec![0.0; 11]);
        let squares = sweep(&ratings, (&mut p, &mut bu), (&mut q, &mut bi), stride, &step);
        let (mut p2, mut q2, mut bu2, mut bi2) = (fresh(7), fresh(11), vec![0.0; 7], vec![0.0; 11]);
        let mut squares2 = 0.0;
        for rating in &ratings {
            let (u, i) = (rating.user as usize, rating.item as usize);
            let (p, q) = (&mut p2[u * stride..(u + 1) * stride], &mut q2[i * stride..(i + 1) * stride]);
            squares2 += update(p, q, &mut bu2[u], &mut bi2[i], rating.value, &step);
        }
        assert_eq!((squares, p, q, bu, bi), (squares2, p2, q2, bu2, bi2), "stride {stride}");
    }
}

/// The inner product in lanes is the inner product.
#[test]
fn products_are_right() {
    for length in [8, 16, 24, 40, 104] {
        let p: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
        let q: Vec<f32> = (0..length).map(|i| (i as f32 * 0.3).cos()).collect();
        let expected: f64 = p.iter().zip(&q).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(product(&p, &q)) - expected).abs() < 1e-4, "{length}");
    }
}

/// Every rating is in exactly one block, and blocks of a stratum share no user and no item.
#[test]
fn the_grid_holds_every_rating_once() {
    let (users, items) = (13_u32, 29_u32);
    let offsets: Vec<usize> = (0..=users as usize).map(|u| u * 10).collect();
    let item_of: Vec<u32> = (0..130).map(|i| (i * 7) % items).collect();
    let train = Histories::new(
        offsets,
        item_of.clone(),
        (0..130).map(|i| i as f32).collect::<Vec<_>>(),
        vec![0; 130],
        items as usize,
    );
    let settings = Settings { blocks: 4, factors: 3, ..Settings::default() };
    let grid = Grid::new(&settings, &train, 0.0, 5);
    let mut seen: Vec<(u32, u32, i64)> = Vec::new();
    for (block, ratings) in grid.ratings.iter().enumerate() {
        for rating in ratings {
            let user = grid.users[block / 4].members[rating.user as usize];
            let item = grid.items[block % 4].members[rating.item as usize];
            seen.push((user, item, rating.value as i64));
        }
    }
    seen.sort_unstable();
    let mut expected: Vec<(u32, u32, i64)> =
        (0..130).map(|i| (i as u32 / 10, item_of[i], i as i64)).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}
