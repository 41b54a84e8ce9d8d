//! Records validation errors of DeepFM's settings on the embedded ratings: the table that `cargo xtask bench
//! rivals-search` searches, so that every sampler sees the same values.
//!
//! `cargo run --release -p foretaste-models --example tuning_table --
//! benches/tables/deepfm-ml-latest-small.json`
//!
//! Each of the 684 combinations trains once, on 80 % of the rows; its value is the best epoch's RMSE on
//! another 10 %. After an interruption it resumes from `FILE.partial`.

use foretaste_data::{SplitRule, embedded};
use foretaste_models::{Device, FitContext, deepfm};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

const SIZES: [usize; 3] = [16, 48, 128];
const DROPOUTS: [f32; 2] = [0.0, 0.3];
const FACTORS: [usize; 3] = [4, 12, 32];
const RATES: [f32; 4] = [0.0005, 0.002, 0.008, 0.02];
const DECAYS: [f32; 3] = [0.0, 1.0, 5.0];
const DEPTHS: usize = 4;

fn grid() -> Vec<(String, deepfm::Settings)> {
    let mut grid = Vec::new();
    for depth in 0..DEPTHS {
        // Without layers they have neither a size nor a dropout.
        let (sizes, dropouts) = if depth == 0 { (1, 1) } else { (SIZES.len(), DROPOUTS.len()) };
        let counts = [sizes, dropouts, FACTORS.len(), RATES.len(), DECAYS.len()];
        for at in 0..counts.iter().product() {
            let mut rest: usize = at;
            let [size, dropout, factors, rate, decay] = counts.map(|count| {
                let index = rest % count;
                rest /= count;
                index
            });
            let layer = |index: usize| if depth == 0 { "-".to_owned() } else { index.to_string() };
            let key = format!("{depth},{},{},{factors},{rate},{decay}", layer(size), layer(dropout));
            let settings = deepfm::Settings {
                depth,
                size: SIZES[size],
                dropout: DROPOUTS[dropout],
                factors: FACTORS[factors],
                learning_rate: RATES[rate],
                weight_decay: DECAYS[decay],
                epochs: 8,
                patience: 1,
                ..deepfm::Settings::default()
            };
            grid.push((key, settings));
        }
    }
    grid
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let path = std::env::args().nth(1).ok_or("tuning_table FILE")?;
    let partial = format!("{path}.partial");
    let data = embedded::load()?;
    let parts = SplitRule::HoldOut { test: 0.1 }.split(&data, 0, 1.0 / 9.0)?.parts(&data);
    let mut values: BTreeMap<String, f64> = BTreeMap::new();
    for line in std::fs::read_to_string(&partial).unwrap_or_default().lines() {
        if let Some((key, Ok(value))) = line.split_once(' ').map(|(key, value)| (key, value.parse())) {
            values.insert(key.to_owned(), value);
        }
    }
    let open = Mutex::new(std::fs::OpenOptions::new().create(true).append(true).open(&partial)?);
    let left: Vec<_> = grid().into_iter().filter(|(key, _)| !values.contains_key(key)).collect();
    let device = Device::flex();
    let found = left.par_iter().map(
        |(key, settings)| -> Result<(String, f64), Box<dyn std::error::Error + Send + Sync>> {
            let fitted =
                deepfm::fit(settings, &parts.train, Some(&parts.validation), &FitContext::new(0, &device))?;
            let value = fitted.curve[fitted.best_epoch - 1].validation_error.ok_or("no validation")?;
            writeln!(open.lock().map_err(|e| e.to_string())?, "{key} {value}")?;
            Ok((key.clone(), value))
        },
    );
    values.extend(found.collect::<Result<Vec<_>, _>>()?);
    let table = serde_json::json!({
        "what": "validation RMSE of DeepFM on the embedded ratings, 80/10/10 at random, seed 0; keys are \
         places in the lists below, - where there are no layers",
        "made by": "cargo run --release -p foretaste-models --example tuning_table",
        "settings": { "depth": [0, 1, 2, 3], "size": SIZES, "dropout": DROPOUTS, "factors": FACTORS,
            "learning_rate": RATES, "weight_decay": DECAYS },
        "values": values,
    });
    std::fs::write(&path, serde_json::to_string_pretty(&table)? + "\n")?;
    Ok(std::fs::remove_file(&partial)?)
}
