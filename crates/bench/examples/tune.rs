//! Random search over a system's `search.toml`, by the error on a validation part of the training rows.
//!
//! `cargo run --release -p foretaste-bench --example tune -- DATASET DATA SYSTEM TRIALS [SEED]
//! [SETTING=LOW..HIGH ..]`
//!
//! DATA is `-` for the embedded data set. A range narrows that of `search.toml`. The test rows of the
//! split are never predicted here. Prints one line per trial, then the five best.

use foretaste_bench::{dataset, systems};
use foretaste_data::{ReadOptions, SplitRule, rng};
use foretaste_models::{Device, FitContext, Kind};
use rand::RngExt;
use std::path::Path;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, data, system, trials, rest @ ..] = arguments.as_slice() else {
        return Err("DATASET DATA SYSTEM TRIALS [SEED] [SETTING=LOW..HIGH ..]".into());
    };
    let seed: u64 = rest.first().map_or(Ok(0), |s| s.parse())?;
    let narrow = |setting: &str| -> Option<(f64, f64)> {
        let (low, high) =
            rest.iter().find_map(|r| r.strip_prefix(setting)?.strip_prefix('='))?.split_once("..")?;
        Some((low.parse().ok()?, high.parse().ok()?))
    };
    let data = dataset::load(
        name,
        (data != "-").then(|| Path::new(data)),
        &ReadOptions::default(),
        &dataset::Beside::default(),
    )?;
    let system = systems::select(std::slice::from_ref(system), systems::DEFAULT, &[])?.remove(0);
    let kind: Kind = system.settings.kind();
    let space: toml::Table = kind.search_space().parse()?;
    let defaults: toml::Table = system.settings.to_toml().parse()?;
    let parts = SplitRule::HoldOut { test: 0.1 }.split(&data.table, seed, 0.05)?.parts(&data.table);
    let device = Device::flex();
    let mut random = rng(seed, "tune");
    let mut results = Vec::new();
    for trial in 0..trials.parse::<usize>()? {
        let mut table = defaults.clone();
        for (setting, range) in &space {
            let number = |end: &str| {
                range[end].as_float().or_else(|| range[end].as_integer().map(|i| i as f64)).unwrap_or(0.0)
            };
            let (low, high) = narrow(setting).unwrap_or((number("low"), number("high")));
            let u: f64 = random.random_range(0.0..1.0);
            let log = range.get("log").and_then(toml::Value::as_bool) == Some(true);
            let value =
                if log { (low.ln() + u * (high.ln() - low.ln())).exp() } else { low + u * (high - low) };
            // The default configuration is trial 0.
            if trial > 0 {
                let integer = range["type"].as_str() == Some("integer");
                table.insert(
                    setting.clone(),
                    if integer {
                        toml::Value::Integer(value.round() as i64)
                    } else {
                        toml::Value::Float(value)
                    },
                );
            }
        }
        let shown: Vec<String> = space.keys().map(|k| format!("{k}={}", table[k])).collect();
        let context = FitContext {
            user_attributes: data.user_attributes.as_ref(),
            item_attributes: data.item_attributes.as_ref(),
            ..FitContext::new(seed, &device)
        };
        match kind.settings(table)?.fit(&parts.train, Some(&parts.validation), &context) {
            Ok(fitted) => {
                let best =
                    fitted.curve.iter().filter_map(|e| e.validation_error).fold(f64::INFINITY, f64::min);
                println!("{best:.5} epoch {} {}", fitted.best_epoch, shown.join(" "));
                results.push((best, fitted.best_epoch, shown));
            }
            Err(error) => println!("failed: {error} {}", shown.join(" ")),
        }
    }
    results.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("best:");
    for (best, epoch, shown) in results.iter().take(5).rev() {
        println!("{best:.5} epoch {epoch} {}", shown.join(" "));
    }
    Ok(())
}
