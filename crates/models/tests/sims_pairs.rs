//! SIMS on `MovieLens` 1M against a direct computation of 5,000 random pairs. Slow, so only run on request
//! (`FORETASTE_SLOW_TESTS=1`, as CI does).

use foretaste_data::{ReadOptions, read, rng};
use foretaste_models::{Device, FitContext, sims};
use rand::RngExt;
use std::path::{Path, PathBuf};

#[test]
fn pairs_of_ml_1m_equal_the_direct_way() {
    if std::env::var_os("FORETASTE_SLOW_TESTS").is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must set FORETASTE_SLOW_TESTS");
        eprintln!("skipped: FORETASTE_SLOW_TESTS is not set");
        return;
    }
    let home = std::env::var_os("FORETASTE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let file = home.join("ml-1m/ratings.dat");
    if !file.is_file() {
        eprintln!("skipped: no data");
        return;
    }
    let (table, _) = read(&file, &ReadOptions::default()).unwrap();
    let rows = table.histories();
    let newest = rows.timestamps().iter().max().unwrap();
    // Each item's users and times: one row a user and item here, users ascending.
    let mut takers: Vec<Vec<(u32, i64)>> = vec![Vec::new(); rows.n_items()];
    for user in 0..rows.n_users() as u32 {
        let own = rows.user(user);
        own.items
            .iter()
            .zip(own.timestamps)
            .for_each(|(item, time)| takers[*item as usize].push((user, time)));
    }
    let decay = |half_life: f64, seconds: i64| {
        if half_life > 0.0 { (-(seconds as f64) / 86_400.0 / half_life).exp2() } else { 1.0 }
    };
    for (gap_half_life, age_half_life, popularity_discount_factor) in [(0.0, 0.0, 0.5), (30.0, 400.0, 0.25)] {
        let settings = sims::Settings {
            gap_half_life,
            age_half_life,
            popularity_discount_factor,
            neighbours: 0,
            min_user_history_length_percentile: 0.0,
            max_user_history_length_percentile: 1.0,
            min_item_interaction_count_percentile: 0.0,
            max_item_interaction_count_percentile: 1.0,
            ..sims::Settings::default()
        };
        let device = Device::flex();
        let model = sims::train(&settings, &rows, &FitContext::new(0, &device)).unwrap();
        let weight = |item: usize| {
            takers[item].iter().map(|(_, time)| decay(age_half_life, newest - time)).sum::<f64>()
        };
        let highest = (0..rows.n_items()).map(weight).fold(0.0, f64::max);
        let mut random = rng(5, "pairs");
        let mut similar = 0;
        for _ in 0..5000 {
            let (i, j) = (random.random_range(0..rows.n_items()), random.random_range(0..rows.n_items()));
            let time_in = |users: &[(u32, i64)], user: u32| {
                users.binary_search_by_key(&user, |taker| taker.0).ok().map(|at| users[at].1)
            };
            let shared: Vec<(i64, i64)> = takers[i]
                .iter()
                .filter_map(|(user, time)| Some((*time, time_in(&takers[j], *user)?)))
                .collect();
            let both: f64 = shared
                .iter()
                .map(|(a, b)| decay(gap_half_life, (a - b).abs()) * decay(age_half_life, newest - a.max(b)))
                .sum();
            let expected = both / (weight(i) * weight(j)).sqrt()
                * (weight(j) / highest).powf(0.5 - popularity_discount_factor);
            let found = model
                .similar(i as u32)
                .find(|(other, _)| *other == j as u32)
                .map(|(_, similarity)| f64::from(similarity));
            let counts = i != j && shared.len() >= settings.min_cointeraction_count as usize;
            similar += usize::from(counts);
            match found {
                Some(found) => assert!(
                    counts && (found - expected).abs() < 1e-5 * expected + 1e-9,
                    "{i} {j}: {found} {expected}"
                ),
                None => assert!(!counts, "{i} {j}: {expected}"),
            }
        }
        assert!(similar > 2000, "{similar} of the pairs have a similarity");
    }
}
