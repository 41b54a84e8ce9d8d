//! DeepFM as a model of clicks (a rating of 4 or more), for `cargo xtask bench rivals-deepfm`.
//!
//! `clicks DATASET DATA SEED [csv FOLDER | SETTING=VALUE ..]` splits a data set 80/10/10 at random and trains
//! on 80 %; the validation part chooses the epoch. Prints one line of JSON: examples a second, and the test
//! part's AUC and log-loss. With `csv FOLDER` it writes the parts and their fields for a peer instead. DATA
//! `-` is the embedded set.

use foretaste_bench::{dataset, machine};
use foretaste_data::{Attributes, Histories, ReadOptions, SplitRule};
use foretaste_metrics::{auc, log_loss};
use foretaste_models::{Device, EpochReport, FitContext, Kind, Progress, deepfm};
use std::fmt::Write;
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

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, data, seed, rest @ ..] = arguments.as_slice() else {
        return Err("DATASET DATA SEED [csv FOLDER | SETTING=VALUE ..]".into());
    };
    let seed: u64 = seed.parse()?;
    let data = dataset::load(
        name,
        (data != "-").then(|| Path::new(data)),
        &ReadOptions::default(),
        &dataset::Beside::default(),
    )?;
    let parts = SplitRule::HoldOut { test: 0.1 }.split(&data.table, seed, 1.0 / 9.0)?.parts(&data.table);
    if let [csv, folder] = rest
        && csv == "csv"
    {
        return write(
            Path::new(folder),
            [&parts.train, &parts.validation, &parts.test],
            [data.user_attributes.as_ref(), data.item_attributes.as_ref()],
        );
    }
    let table: toml::Table = format!("objective = \"click\"\n{}", rest.join("\n")).parse()?;
    let Some(settings) = Kind::DEEPFM.settings(table)?.of::<deepfm::Settings>().cloned() else {
        return Err("other settings".into());
    };
    let device = Device::flex();
    let clock = Clock(Mutex::default());
    let context = FitContext {
        user_attributes: data.user_attributes.as_ref(),
        item_attributes: data.item_attributes.as_ref(),
        progress: &clock,
        ..FitContext::new(seed, &device)
    };
    let (model, curve) = deepfm::train(&settings, &parts.train, Some(&parts.validation), &context)?;
    let scores = model.scores(&parts.train, &parts.test);
    let clicks: Vec<bool> = parts.test.values().iter().map(|value| *value >= settings.threshold).collect();
    // Three more epochs without validation, to time the last two alone.
    let clock = Clock(Mutex::default());
    let context = FitContext { progress: &clock, ..context };
    deepfm::train(&deepfm::Settings { epochs: 3, ..settings }, &parts.train, None, &context)?;
    let times = clock.0.lock().map_err(|e| e.to_string())?;
    let seconds =
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).fold(f64::INFINITY, f64::min);
    let best = curve.iter().filter_map(|e| e.validation_error).fold(f64::INFINITY, f64::min);
    println!(
        "{{\"auc\": {:.6}, \"log_loss\": {:.6}, \"validation\": {best:.6}, \"epochs\": \
         {}, \"examples_per_second\": {:.0}, \"peak_mb\": {}}}",
        auc(&scores, &clicks),
        log_loss(&scores, &clicks),
        curve.len(),
        parts.train.len() as f64 / seconds,
        machine::peak_memory_mb().unwrap_or(0),
    );
    Ok(())
}

/// `rows.csv` (part, click, user, item, hour, weekday), and `users.csv` and `items.csv` with a column of
/// codes for each column of attributes, `|` between several.
fn write(
    folder: &Path,
    parts: [&Histories; 3],
    attributes: [Option<&Attributes>; 2],
) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let mut text = String::new();
    for (part, rows) in parts.into_iter().enumerate() {
        for (row, user) in rows.row_users().into_iter().enumerate() {
            let (value, time) = (rows.values()[row], rows.timestamps().at(row));
            let (hour, weekday) =
                (time.rem_euclid(86_400) / 3600, (time.div_euclid(86_400) + 3).rem_euclid(7));
            writeln!(
                text,
                "{part},{},{user},{},{hour},{weekday}",
                u8::from(value >= 4.0),
                rows.items()[row]
            )?;
        }
    }
    std::fs::write(folder.join("rows.csv"), text)?;
    for (attributes, n, name) in
        [(attributes[0], parts[0].n_users(), "users.csv"), (attributes[1], parts[0].n_items(), "items.csv")]
    {
        let Some(attributes) = attributes else { continue };
        let columns =
            (0..attributes.n_codes() as u32).map(|code| attributes.column(code)).max().map_or(0, |c| c + 1);
        let mut text = String::new();
        for owner in 0..n as u32 {
            let field = |column: u32| {
                let codes = attributes.of(owner).iter().filter(|code| attributes.column(**code) == column);
                codes.map(u32::to_string).collect::<Vec<_>>().join("|")
            };
            writeln!(text, "{}", (0..columns).map(field).collect::<Vec<_>>().join(","))?;
        }
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
