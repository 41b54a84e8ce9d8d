use super::*;
use crate::{Device, Trained, top_k};

const DAY: i64 = 86_400;

/// All pairs the direct way: every unit, every pair of rows.
fn direct(settings: &Settings, train: &Histories) -> Vec<Vec<Option<f64>>> {
    let (n, newest) = (train.n_items(), train.timestamps().iter().max().unwrap());
    let decay = |half_life: f64, seconds: i64| {
        if half_life > 0.0 { (-(seconds as f64) / DAY as f64 / half_life).exp2() } else { 1.0 }
    };
    let mut units: Vec<std::collections::BTreeMap<u32, i64>> = Vec::new();
    for user in 0..train.n_users() as u32 {
        let history = train.user(user);
        for row in 0..history.len() {
            if row == 0
                || (settings.sessions > 0
                    && history.timestamps.at(row) - history.timestamps.at(row - 1) > settings.sessions)
            {
                units.push(std::collections::BTreeMap::new());
            }
            units.last_mut().unwrap().insert(history.items[row], history.timestamps.at(row));
        }
    }
    let weight = |i: u32| {
        units
            .iter()
            .filter_map(|unit| unit.get(&i))
            .map(|t| decay(settings.age_half_life, newest - t))
            .sum::<f64>()
    };
    let total: f64 = units
        .iter()
        .map(|unit| unit.values().map(|t| decay(settings.age_half_life, newest - t)).fold(0.0, f64::max))
        .sum();
    let highest = (0..n as u32).map(weight).fold(0.0, f64::max);
    let pair = |i: u32, j: u32| {
        let shared: Vec<(i64, i64)> =
            units.iter().filter_map(|unit| Some((*unit.get(&i)?, *unit.get(&j)?))).collect();
        if i == j || shared.len() < (settings.min_cointeraction_count as usize).max(1) {
            return None;
        }
        let both: f64 = shared
            .iter()
            .map(|(a, b)| {
                decay(settings.gap_half_life, (a - b).abs())
                    * decay(settings.age_half_life, newest - a.max(b))
            })
            .sum();
        let (a, b, k) = (weight(i), weight(j), settings.shrinkage);
        let base = match settings.weight {
            Weight::Cosine => both / ((a + k) * (b + k)).sqrt(),
            Weight::Jaccard => both / (a + b - both + k),
            Weight::Lift => total * both / ((a + k) * (b + k)),
            Weight::LogLikelihood => {
                // Mutual information of the table, cell by cell.
                let cell = |n: f64, row: f64, column: f64| {
                    if n > 0.0 { n * (n * total / (row * column)).ln() } else { 0.0 }
                };
                2.0 * (cell(both, a, b)
                    + cell(a - both, a, total - b)
                    + cell(b - both, total - a, b)
                    + cell(total - a - b + both, total - a, total - b))
            }
        };
        Some(base * (b / highest).powf(0.5 - settings.popularity_discount_factor))
    };
    (0..n as u32).map(|i| (0..n as u32).map(|j| pair(i, j)).collect()).collect()
}

fn log() -> Histories {
    // Forty users over twelve items, some more popular, some rows of the same item.
    let mut state = 7_u64;
    let mut next = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..40 {
        let mut time = next(100) as i64 * DAY;
        for _ in 0..3 + next(8) {
            items.push((next(12) * next(12) / 11) as u32);
            time += if next(3) == 0 { 2 * DAY } else { 60 };
            times.push(time);
        }
        offsets.push(items.len());
    }
    let n = items.len();
    Histories::new(offsets, items, vec![f32::NAN; n], times, 12)
}

fn whole() -> Settings {
    Settings {
        neighbours: 0,
        min_user_history_length_percentile: 0.0,
        max_user_history_length_percentile: 1.0,
        min_item_interaction_count_percentile: 0.0,
        max_item_interaction_count_percentile: 1.0,
        ..Settings::default()
    }
}

fn model(settings: &Settings, train: &Histories) -> Box<dyn Trained> {
    fit(settings, train, None, &FitContext::new(0, &Device::flex())).unwrap().model
}

fn inside(settings: &Settings, rows: &Histories) -> Model {
    train(settings, rows, &FitContext::new(0, &Device::flex())).unwrap()
}

#[test]
fn similarities_equal_the_direct_way() {
    let train = log();
    let variants = [
        whole(),
        Settings { weight: Weight::Jaccard, shrinkage: 2.0, min_cointeraction_count: 0, ..whole() },
        Settings { weight: Weight::Lift, gap_half_life: 1.5, popularity_discount_factor: 1.0, ..whole() },
        Settings {
            weight: Weight::LogLikelihood,
            age_half_life: 0.0,
            popularity_discount_factor: 0.2,
            ..whole()
        },
        Settings {
            age_half_life: 20.0,
            gap_half_life: 3.0,
            sessions: 3600,
            min_cointeraction_count: 1,
            ..whole()
        },
    ];
    for settings in variants {
        let (model, expected) = (inside(&settings, &train), direct(&settings, &train));
        let mut pairs = 0;
        for (i, row) in expected.iter().enumerate() {
            let found: Vec<(u32, f32)> = model.similar(i as u32).collect();
            assert_eq!(found.len(), row.iter().flatten().count(), "{settings:?} item {i}");
            assert!(found.windows(2).all(|pair| pair[0].1 >= pair[1].1), "most similar first");
            for (j, similarity) in found {
                let expected = row[j as usize].unwrap();
                assert!(
                    (f64::from(similarity) - expected).abs() < 1e-5 * expected.abs().max(1.0),
                    "{settings:?} {i} {j}: {similarity} {expected}"
                );
                pairs += 1;
            }
        }
        assert!(pairs > 20, "{settings:?}: {pairs}");
    }
}

#[test]
fn the_discount_goes_from_popular_to_all() {
    let train = log();
    let mut counts = [0; 12];
    train.items().iter().for_each(|item| counts[*item as usize] += 1);
    let mean_popularity = |discount: f64| {
        let model = inside(
            &Settings { popularity_discount_factor: discount, min_cointeraction_count: 1, ..whole() },
            &train,
        );
        let first = (0..12)
            .filter_map(|item| model.similar(item).next())
            .map(|(item, _)| f64::from(counts[item as usize]));
        first.clone().sum::<f64>() / first.count() as f64
    };
    let [low, middle, high] = [0.0, 0.5, 1.0].map(mean_popularity);
    assert!(low > middle && middle > high, "{low} {middle} {high}");
}

#[test]
fn percentiles_leave_users_and_items_out() {
    // Items with 4, 3, 2, 1 rows; users with 4, 3, 2, 1 rows.
    let train = Histories::new(
        vec![0, 4, 7, 9, 10],
        vec![0, 1, 2, 3, 0, 1, 2, 0, 1, 0],
        vec![1.0; 10],
        (0..10).collect::<Vec<_>>(),
        4,
    );
    let settings =
        Settings { min_cointeraction_count: 0, max_item_interaction_count_percentile: 0.67, ..whole() };
    let model = inside(&settings, &train);
    assert_eq!(model.similar(0).count(), 0, "the most popular item takes no part");
    assert_eq!(model.similar(1).map(|(item, _)| item).collect::<Vec<_>>(), [2, 3]);
    let settings =
        Settings { min_cointeraction_count: 0, max_user_history_length_percentile: 0.67, ..whole() };
    let model = inside(&settings, &train);
    assert_eq!(model.similar(3).count(), 0, "only the user with the longest history has item 3");
}

#[test]
fn histories_are_recommended_from_their_newest_items() {
    // Item 1 goes with 0, item 3 with 2.
    let train =
        Histories::new(vec![0, 2, 4, 6, 8], vec![0, 1, 0, 1, 2, 3, 2, 3], vec![1.0; 8], vec![0; 8], 5);
    let settings = Settings { min_cointeraction_count: 1, recency: 1.0, ..whole() };
    let model = model(&settings, &train);
    let best = |items: &[u32], history: usize| {
        let values = vec![1.0; items.len()];
        let times: Vec<i64> = (0..items.len() as i64).collect();
        let mut scores = vec![0.0; 5];
        let model = if history == 1 {
            self::model(&Settings { history: 1, ..settings.clone() }, &train)
        } else {
            self::model(&settings, &train)
        };
        let known = History { items, values: values[..].into(), timestamps: times[..].into() };
        model.scores(&model.start(u32::MAX, known), 9, &mut scores);
        (top_k(&scores, 1)[0], scores)
    };
    assert_eq!(best(&[2, 0], 9).0, 1);
    assert_eq!(best(&[0, 2], 9).0, 3);
    let scores = best(&[0, 2], 9).1;
    assert!((scores[1] - scores[3] / 2.0).abs() < 1e-5, "the item before counts half: {scores:?}");
    assert!(best(&[0, 2], 1).1[1] < 1e-5);
    assert!(best(&[], 9).1[0] > 0.0 && best(&[], 9).1[4] == 0.0 && model.parameters() == 9);
}

/// Tiles on `device` and counts on the CPU agree: the same neighbours, and similarities to rounding.
#[cfg(feature = "burn")]
fn tiles_agree(device: &Device) {
    // More units than a tile holds.
    let rows: Vec<Histories> = (0..12).map(|_| log()).collect();
    let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
    for (copy, rows) in rows.iter().enumerate() {
        offsets.extend(rows.offsets()[1..].iter().map(|o| o + items.len()));
        items.extend(rows.items().iter().map(|item| (item + copy as u32) % 12));
        times.extend(rows.timestamps().iter().map(|time| time + copy as i64 * 977));
    }
    let n = items.len();
    let rows = Histories::new(offsets, items, vec![f32::NAN; n], times, 12);
    let context = FitContext::new(0, device);
    for settings in [
        whole(),
        Settings { weight: Weight::LogLikelihood, sessions: 1800, ..whole() },
        Settings { gap_half_life: 1.0, age_half_life: 20.0, ..whole() },
        Settings { weight: Weight::Jaccard, gap_half_life: 3.0, sessions: 1800, ..whole() },
    ] {
        let units = Units::new(&settings, &rows);
        let (counted, tiled) =
            (units.counted(&settings, &context).unwrap(), units.tiled(&settings, &context).unwrap());
        for (a, b) in counted.iter().zip(&tiled) {
            assert!(!a.is_empty() && a.len() == b.len());
            let by_item =
                |list: &[(u32, f32)]| list.iter().copied().collect::<std::collections::BTreeMap<u32, f32>>();
            for ((item, x), (other, y)) in by_item(a).iter().zip(&by_item(b)) {
                assert!(item == other && (x - y).abs() < 1e-5 * x.abs() + 1e-6, "{item}: {x} {y}");
            }
        }
    }
}

#[cfg(feature = "burn")]
#[test]
fn tiles_and_counts_agree() {
    tiles_agree(&Device::flex());
}

/// The same on the wgpu backend (see the RNN's).
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(device) = Device::for_parity() else { return };
    tiles_agree(&device);
}

/// A half-life of an hour over twenty years leaves most items no weight at all: similarities stay finite, and
/// lists are the same on any number of threads.
#[test]
fn a_half_life_far_below_the_span_is_finite() {
    let (users, rows, items) = (40_u32, 12_u32, 30_u32);
    let of = |at: u32| (at.wrapping_mul(2_654_435_761) >> 8) % items;
    let all: Vec<u32> = (0..users * rows).map(of).collect();
    let times: Vec<i64> =
        (0..users * rows).map(|at| i64::from(at) * 20 * 365 * DAY / i64::from(users * rows)).collect();
    let offsets = (0..=users).map(|user| (user * rows) as usize).collect();
    let train = Histories::new(offsets, all, vec![1.0; (users * rows) as usize], times, items as usize);
    for weight in [Weight::Cosine, Weight::Jaccard, Weight::Lift, Weight::LogLikelihood] {
        let settings = Settings {
            weight,
            age_half_life: 1.0 / 24.0,
            min_cointeraction_count: 1,
            max_user_history_length_percentile: 1.0,
            min_user_history_length_percentile: 0.0,
            min_item_interaction_count_percentile: 0.0,
            max_item_interaction_count_percentile: 1.0,
            ..Settings::default()
        };
        let tensors = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| model(&settings, &train).tensors())
        };
        let one = tensors(1);
        assert!(one.iter().all(|tensor| tensor.data.iter().all(|x| x.is_finite())), "{weight:?}");
        assert!(one.iter().any(|tensor| tensor.name == "similarities" && tensor.data.len() > 100));
        assert_eq!(one, tensors(3), "{weight:?}");
    }
}
