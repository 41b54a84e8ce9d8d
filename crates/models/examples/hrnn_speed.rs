//! Times HRNN's training on simulated histories, for `cargo xtask bench rivals-hrnn`.
//!
//! `hrnn_speed USERS ITEMS EVENTS SIZE WINDOW EPOCHS` trains a flat network (one GRU, no sessions, gate,
//! metadata or user factors; embeddings and decoder of the hidden size, 256 rows) and prints one line of
//! JSON: seconds of each epoch, events, peak memory. With `csv FILE` after them it writes the histories for
//! a peer instead. The same network from burn's own parts: `hrnn_stock` in `benches`.

use foretaste_data::Histories;
use foretaste_data::simulate::Simulation;
use foretaste_models::{Device, EpochReport, FitContext, ModelSettings, Progress, hrnn_gru};
use std::io::Write;
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = "hrnn_speed USERS ITEMS EVENTS SIZE WINDOW EPOCHS [csv FILE]";
    let numbers: Vec<usize> =
        words.iter().take(6).map(|w| w.parse()).collect::<Result<_, _>>().map_err(|_| usage)?;
    let [users, items, events, size, window, epochs] = numbers[..] else { return Err(usage.into()) };
    let histories = Simulation { users, items, events }.run(1);
    if words.get(6).is_some_and(|word| word == "csv") {
        return write(&histories, words.get(7).ok_or(usage)?);
    }
    let settings = hrnn_gru::Settings {
        size,
        item_factors: size,
        bptt: window,
        rows: 256,
        epochs,
        height: 0,
        gate: false,
        metadata: false,
        stationary: hrnn_gru::Stationary::Biases,
        memories: false,
        dropout: 0.0,
        input_dropout: 0.0,
        weight_decay: 0.0,
        recency_mask: false,
        max_user_history_length_percentile: 1.0,
        ..hrnn_gru::Settings::default()
    };
    let device = Device::flex();
    let clock = Clock(Mutex::new(vec![Instant::now()]));
    let fitted = ModelSettings::from(settings).fit(
        &histories,
        None,
        &FitContext { progress: &clock, ..FitContext::new(0, &device) },
    )?;
    let times = clock.0.lock().map_err(|_| "a clock is poisoned")?.clone();
    tell(events, &times, fitted.curve.last().map_or(0.0, |e| e.train_error))
}

#[allow(clippy::print_stdout)] // The result.
fn tell(events: usize, times: &[Instant], train_error: f64) -> Result<(), Box<dyn std::error::Error>> {
    let seconds: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    println!(
        "{}",
        serde_json::json!({"events": events, "seconds": seconds, "train_rmse": train_error,
            "peak_mb": peak.map(|kb| kb * 1024.0 / 1e6)})
    );
    std::io::stdout().flush()?;
    Ok(())
}

fn write(histories: &Histories, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "user,item,rating,timestamp")?;
    for user in 0..histories.n_users() as u32 {
        let history = histories.user(user);
        for row in 0..history.len() {
            writeln!(
                file,
                "{user},{},{},{}",
                history.items[row],
                history.values[row],
                history.timestamps.at(row)
            )?;
        }
    }
    Ok(file.flush()?)
}
