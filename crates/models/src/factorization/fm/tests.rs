use super::machine::Machine;
use super::*;
use foretaste_data::rng;
use rand::RngExt;

/// Sixty rows over three blocks: one-hot, a bag, and a block whose rows have parts of their own.
fn design() -> (Design, Vec<f32>) {
    let mut random = rng(1, "fm test");
    let mut first = Block::new(vec![0; 4]);
    (0..4).for_each(|part| first.push([(part, 1.0)]));
    first.rows = (0..60).map(|_| random.random_range(0..4)).collect();
    let mut second = Block::new(vec![1, 1, 1, 1, 1, 2, 2]);
    for part in 0..5_u32 {
        second.push([(part, 1.0), (5 + part % 2, 0.7), ((part + 1) % 5, 0.4)]);
    }
    second.rows = (0..60).map(|_| random.random_range(0..5)).collect();
    let mut third = Block::new(vec![3; 3]);
    (0..60).for_each(|row| third.push([(row % 3, 0.5 + row as f32 / 60.0)]));
    third.rows = (0..60).collect();
    let target = (0..60).map(|_| random.random_range(-1.0..1.0)).collect();
    (Design::new(vec![first, second, third]).unwrap(), target)
}

fn machine(design: &Design, factors: usize) -> Machine {
    let mut random = rng(2, "fm test machine");
    let tables = design
        .blocks()
        .iter()
        .map(|b| (0..b.n_features() * (factors + 1)).map(|_| random.random_range(-0.5..0.5)).collect())
        .collect();
    Machine { factors, intercept: 0.3, tables }
}

/// Equation 1 as it is written, feature by feature.
fn by_pairs(machine: &Machine, design: &Design, row: usize) -> f64 {
    let width = machine.width();
    let mut features = Vec::new();
    for (place, block) in design.blocks().iter().enumerate() {
        for (feature, x) in block.part(block.rows[row] as usize) {
            features.push((
                &machine.tables[place][feature as usize * width..(feature as usize + 1) * width],
                f64::from(x),
            ));
        }
    }
    let mut sum = f64::from(machine.intercept);
    for (place, (row, x)) in features.iter().enumerate() {
        sum += f64::from(row[machine.factors]) * x;
        for (other, y) in &features[place + 1..] {
            sum += (0..machine.factors).map(|f| f64::from(row[f]) * f64::from(other[f])).sum::<f64>() * x * y;
        }
    }
    sum
}

fn predictions(machine: &Machine, design: &Design) -> Vec<f32> {
    let folded: Vec<Vec<f32>> =
        design.blocks().iter().enumerate().map(|(b, block)| machine.fold(b, block)).collect();
    machine.predict(design, &folded)
}

#[test]
fn blocks_predict_what_the_equation_says() {
    let (design, _) = design();
    let machine = machine(&design, 3);
    for (row, predicted) in predictions(&machine, &design).into_iter().enumerate() {
        let exact = by_pairs(&machine, &design, row);
        assert!((f64::from(predicted) - exact).abs() < 1e-5, "{row}: {predicted} {exact}");
    }
}

/// After a sweep the errors are those of the new machine, and at the fixed point of many sweeps the
/// gradient of the penalized squared error vanishes (by finite differences).
#[test]
fn sweeps_end_at_the_least_squares_optimum() {
    let (design, target) = design();
    let mut machine = machine(&design, 2);
    let sweeper = sweep::Sweeper::new(&design);
    let prior = |_: usize, _: u32| sweep::Prior { mean: 0.0, precision: 0.8 };
    for _ in 0..400 {
        let folded: Vec<Vec<f32>> =
            design.blocks().iter().enumerate().map(|(b, block)| machine.fold(b, block)).collect();
        let mut errors: Vec<f32> =
            target.iter().zip(machine.predict(&design, &folded)).map(|(t, p)| t - p).collect();
        let none: Option<&mut rand_chacha::ChaCha8Rng> = None;
        sweeper.sweep(&mut machine, &folded, &mut errors, 1.0, prior, none);
        let exact: Vec<f32> = target.iter().zip(predictions(&machine, &design)).map(|(t, p)| t - p).collect();
        assert!(errors.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-4));
    }
    let loss = |machine: &Machine| {
        let penalty: f64 = machine.tables.iter().flatten().map(|v| 0.8 * f64::from(*v).powi(2)).sum();
        (0..design.len())
            .map(|row| (f64::from(target[row]) - by_pairs(machine, &design, row)).powi(2))
            .sum::<f64>()
            + penalty
    };
    for place in 0..3 {
        for at in 0..machine.tables[place].len() {
            let moved = |by: f32| {
                let mut machine = machine.clone();
                machine.tables[place][at] += by;
                loss(&machine)
            };
            let gradient = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!(gradient.abs() < 5e-3, "table {place} entry {at}: {gradient}");
        }
    }
}

/// One step of gradient descent on one row moves every parameter against the loss's finite difference.
#[test]
fn gradient_steps_equal_finite_differences() {
    let (full, target) = design();
    // A design of one row: the order of rows plays no part.
    let blocks = full.blocks().iter().map(|b| {
        let mut block = b.clone();
        block.rows.truncate(1);
        block
    });
    let design = Design::new(blocks.collect()).unwrap();
    let before = machine(&design, 2);
    let settings = Settings {
        learner: Learner::Sgd,
        learning_rate: 1e-3,
        sgd_regularization: 0.2,
        sgd_weight_regularization: 0.1,
        ..Settings::default()
    };
    let mut after = before.clone();
    sgd::pass(&mut after, &design, target[..1].into(), &settings, 0, 0);
    let loss = |machine: &Machine| 0.5 * (f64::from(target[0]) - by_pairs(machine, &design, 0)).powi(2);
    let width = before.width();
    for place in 0..3 {
        let touched: Vec<usize> = design.blocks()[place]
            .part(design.blocks()[place].rows[0] as usize)
            .map(|(f, _)| f as usize)
            .collect();
        for at in 0..before.tables[place].len() {
            let moved = |by: f32| {
                let mut machine = before.clone();
                machine.tables[place][at] += by;
                loss(&machine)
            };
            let value = f64::from(before.tables[place][at]);
            let penalty = if at % width == before.factors { 0.1 * value } else { 0.2 * value };
            let gradient = (moved(1e-3) - moved(-1e-3)) / 2e-3
                + if touched.contains(&(at / width)) { penalty } else { 0.0 };
            let step = f64::from(after.tables[place][at]) - value;
            assert!((step + 1e-3 * gradient).abs() < 2e-6, "table {place} entry {at}: {step} {gradient}");
        }
    }
}

/// With fixed priors the draws of a Bayesian linear model (one block, no factors that matter) have
/// the closed form's mean and variance.
#[test]
fn draws_have_the_posterior_of_the_closed_form() {
    let mut block = Block::new(vec![0]);
    (0..8).for_each(|row| block.push([(0, 0.5 + row as f32 / 4.0)]));
    block.rows = (0..8).collect();
    let design = Design::new(vec![block]).unwrap();
    let target: Vec<f32> =
        (0..8).map(|row| 0.7 * (0.5 + row as f32 / 4.0) + if row % 2 == 0 { 0.3 } else { -0.3 }).collect();
    let sweeper = sweep::Sweeper::new(&design);
    let prior = |_: usize, _: u32| sweep::Prior { mean: 0.2, precision: 2.0 };
    let alpha = 1.5_f64;
    let mut machine = Machine { factors: 1, intercept: 0.0, tables: vec![vec![0.0, 0.0]] };
    let mut random = rng(4, "posterior");
    let (mut sum, mut squares) = (0.0, 0.0);
    let n = 20_000;
    for _ in 0..n {
        let folded = vec![machine.fold(0, &design.blocks()[0])];
        let mut errors: Vec<f32> =
            target.iter().zip(machine.predict(&design, &folded)).map(|(t, p)| t - p).collect();
        sweeper.sweep(&mut machine, &folded, &mut errors, alpha as f32, prior, Some(&mut random));
        let w = f64::from(machine.tables[0][1]);
        sum += w;
        squares += w * w;
    }
    let x: Vec<f64> = (0..8).map(|row| 0.5 + f64::from(row) / 4.0).collect();
    let precision = alpha * x.iter().map(|x| x * x).sum::<f64>() + 2.0;
    let mean = (alpha * x.iter().zip(&target).map(|(x, t)| x * f64::from(*t)).sum::<f64>() + 0.4) / precision;
    let (found, variance) = (sum / f64::from(n), squares / f64::from(n) - (sum / f64::from(n)).powi(2));
    assert!(
        (found - mean).abs() < 0.01 && (variance * precision - 1.0).abs() < 0.05,
        "{found} {mean} {variance} {}",
        1.0 / precision
    );
}

/// A level's sampled prior stays a prior: [`learn`] on any design improves on the mean.
#[test]
fn any_design_is_learned() {
    let (design, _) = design();
    let truth = machine(&design, 2);
    let target: Vec<f32> = predictions(&truth, &design);
    for (learner, likelihood) in [
        (Learner::Mcmc, Likelihood::Normal),
        (Learner::Als, Likelihood::Normal),
        (Learner::Sgd, Likelihood::Normal),
        (Learner::Mcmc, Likelihood::Probit),
    ] {
        let probit = likelihood == Likelihood::Probit;
        let target: Vec<f32> = if probit {
            target.iter().map(|t| if *t > 0.5 { 1.0 } else { 0.0 }).collect()
        } else {
            target.clone()
        };
        let settings = Settings {
            learner,
            likelihood,
            factors: 2,
            iterations: 200,
            regularization: 0.01,
            weight_regularization: 0.01,
            learning_rate: 0.05,
            ..Settings::default()
        };
        let mut mean = vec![0.0_f64; 60];
        learn(&settings, &design, &target, &design, 3, |iteration, predictions| {
            if iteration > 100 {
                mean.iter_mut().zip(predictions).for_each(|(m, p)| *m += f64::from(*p) / 100.0);
            }
        })
        .unwrap();
        let average = target.iter().sum::<f32>() / 60.0;
        let squares = |predicted: &dyn Fn(usize) -> f64| {
            (0..60).map(|row| (f64::from(target[row]) - predicted(row)).powi(2)).sum::<f64>()
        };
        let (learned, constant) = (squares(&|row| mean[row]), squares(&|_| f64::from(average)));
        assert!(learned < 0.35 * constant, "{learner:?} {likelihood:?}: {learned} {constant}");
    }
}

#[test]
fn unfit_designs_are_refused() {
    let mut block = Block::new(vec![0]);
    block.push([(0, 1.0)]);
    block.rows = vec![0, 1];
    assert!(Design::new(vec![block.clone()]).unwrap_err().to_string().contains("a row refers to part 1"));
    assert!(Design::new(Vec::new()).is_err());
    block.rows = vec![0];
    let design = Design::new(vec![block]).unwrap();
    assert!(learn(&Settings::default(), &design, &[1.0, 2.0], &design, 0, |_, _| {}).is_err());
}

/// A day without training rows is an average day: leaving its part out would take its share of the
/// mean rating away, and everything predicted for later days would be off.
#[test]
fn a_new_day_is_an_average_day() {
    let (users, items) = (30_u32, 12_u32);
    let mut random = rng(6, "days");
    let mut columns = (vec![0], Vec::new(), Vec::new(), Vec::new());
    for user in 0..users {
        for item in 0..items {
            columns.1.push(item);
            columns.2.push(3.0 + (user % 3) as f32 * 0.5 + random.random_range(-0.3..0.3));
            columns.3.push(i64::from(user * 7 + item / 4) * 86_400);
        }
        columns.0.push(columns.1.len());
    }
    let train = Histories::new(columns.0, columns.1, columns.2, columns.3, items as usize);
    let settings = Settings { factors: 2, iterations: 120, burn_in: 40, ..Settings::default() };
    let device = crate::Device::flex();
    let model = fit(&settings, &train, None, &FitContext::new(0, &device)).unwrap().model;
    let (ratings, state) = (model.ratings().unwrap(), model.start(4, train.user(4)));
    let (seen, unseen) =
        (ratings.expected(&state, 3, 28 * 86_400), ratings.expected(&state, 3, 9_999 * 86_400));
    assert!((seen - unseen).abs() < 0.35 && (unseen - 3.5).abs() < 0.35, "{seen} {unseen}");
}

/// The first of two chains draws what a chain alone draws, the second something else.
#[test]
fn chains_are_independent() {
    let train = Histories::new(
        vec![0, 3, 5],
        vec![0, 1, 2, 0, 2],
        vec![4.0, 2.0, 5.0, 3.0, 1.0],
        vec![0, 1, 2, 3, 4],
        3,
    );
    let device = crate::Device::flex();
    let draws = |chains: usize| {
        let settings = Settings {
            factors: 2,
            iterations: 6,
            burn_in: 2,
            kept: 4 * chains,
            chains,
            ..Settings::default()
        };
        let tensors = fit(&settings, &train, None, &FitContext::new(0, &device)).unwrap().model.tensors();
        tensors.into_iter().find(|t| t.name.ends_with("users")).unwrap()
    };
    let (one, two) = (draws(1), draws(2));
    assert_eq!((one.shape[0], two.shape[0]), (4, 8));
    let size = one.data.len() / 4;
    for draw in 0..4 {
        let at = |tensor: &crate::engine::tensors::NamedTensor, draw: usize| {
            tensor.data[draw * size..(draw + 1) * size].to_vec()
        };
        assert_eq!(at(&one, draw), at(&two, 2 * draw));
        assert_ne!(at(&one, draw), at(&two, 2 * draw + 1));
    }
}
