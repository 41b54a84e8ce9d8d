//! Times item-to-item similarities, factors and lists for all users, for `cargo xtask bench rivals-ranking`.
//!
//! `ranking_speed FILE | simulate:USERS,ITEMS,EVENTS [csv OUT]` prints one line of JSON: seconds of a
//! training of cosine item-kNN (50 neighbours), of an iALS iteration and of six with all around them at 64
//! and 128 factors, and of ten items for every user by each, on the threads of `RAYON_NUM_THREADS`. With
//! `csv OUT` it writes users and items for a peer instead.

use foretaste_data::simulate::Simulation;
use foretaste_data::{Histories, ReadOptions, read};
use foretaste_models::{Device, EpochReport, FitContext, Kind, Progress, Recommend, Trained};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// Notes when each epoch ended.
struct Clock(Mutex<Vec<Instant>>);

impl Progress for Clock {
    fn epoch(&self, _: &'static str, _: &EpochReport) {
        if let Ok(mut times) = self.0.lock() {
            times.push(Instant::now());
        }
    }

    fn cancelled(&self) -> bool {
        false
    }
}

const KNN: &str = "neighbours = 50\nmin_cointeraction_count = 0\nmin_user_history_length_percentile = \
    0.0\nmax_user_history_length_percentile = 1.0\nmin_item_interaction_count_percentile = \
    0.0\nmax_item_interaction_count_percentile = 1.0\nhistory = 1000000";

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = "ranking_speed FILE | simulate:USERS,ITEMS,EVENTS [csv OUT]";
    let source = words.first().ok_or(usage)?;
    let histories = if let Some(sizes) = source.strip_prefix("simulate:") {
        let sizes: Vec<usize> =
            sizes.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| usage)?;
        let [users, items, events] = sizes[..] else { return Err(usage.into()) };
        Simulation { users, items, events }.run(1)
    } else {
        read(Path::new(source), &ReadOptions::default())?.0.histories()
    };
    if let [_, csv, out] = &words[..]
        && csv == "csv"
    {
        let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
        for (user, item) in histories.row_users().iter().zip(histories.items()) {
            writeln!(file, "{user},{item}")?;
        }
        return Ok(file.flush()?);
    }
    let device = Device::flex();
    let clock = Instant::now();
    let knn = Kind::SIMS.settings(KNN.parse()?)?.fit(&histories, None, &FitContext::new(0, &device))?.model;
    let mut found = serde_json::json!({ "rows": histories.len(), "users": histories.n_users(),
        "items": histories.n_items(), "threads": rayon::current_num_threads() });
    found["knn_fit"] = clock.elapsed().as_secs_f64().into();
    found["knn_top10"] = lists(knn.as_ref(), &histories).into();
    for factors in [64, 128] {
        let begin = Instant::now();
        let clock = Clock(Mutex::new(vec![begin]));
        let settings = Kind::IALS.settings(
            format!(
                "factors = {factors}\nepochs = 6\nunobserved = 1.0\nexponent = 0.0\nregularization = 0.01"
            )
            .parse()?,
        )?;
        let model = settings
            .fit(&histories, None, &FitContext { progress: &clock, ..FitContext::new(0, &device) })?
            .model;
        let whole = begin.elapsed().as_secs_f64();
        let times = clock.0.lock().map_err(|_| "a clock is poisoned")?.clone();
        let mut seconds: Vec<f64> =
            times.windows(2).skip(1).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        found[format!("als{factors}_iteration")] = seconds[seconds.len() / 2].into();
        found[format!("als{factors}_fit")] = whole.into();
        found[format!("als{factors}_top10")] = lists(model.as_ref(), &histories).into();
    }
    println!("{found}");
    Ok(())
}

/// Seconds of ten items for every user.
fn lists(model: &dyn Trained, histories: &Histories) -> f64 {
    let users: Vec<(u32, i64)> = (0..histories.n_users() as u32).map(|user| (user, i64::MAX)).collect();
    let clock = Instant::now();
    let mut met = 0;
    Recommend::new(model, histories.n_items()).for_users(histories, &users, |_, list| met += list.len());
    assert!(met > 0, "nobody was recommended anything");
    clock.elapsed().as_secs_f64()
}
