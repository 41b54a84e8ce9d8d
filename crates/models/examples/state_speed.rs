//! Times one update of one user's state, and the size of its bytes, after short and long histories.
//!
//! `cargo run --release -p foretaste-models --example state_speed` prints one line a model and length.

use foretaste_data::History;
use foretaste_data::simulate::Simulation;
use foretaste_models::{Device, FitContext, Kind};
use std::time::Instant;

/// Updates that are timed together.
const UPDATES: u32 = 2_000;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let items = 1_000;
    let train = Simulation { users: 500, items, events: 20_000 }.run(1);
    let device = Device::flex();
    let models = [
        ("HRNN", Kind::HRNN, "epochs = 1"),
        ("HRNN with machines", Kind::HRNN_GRU, "epochs = 1\nsize = 64"),
        ("HRNN, GRU alone", Kind::HRNN_GRU, "epochs = 1\nsize = 64\nstationary = \"factors\""),
        ("RNN", Kind::RNN, "epochs = 1\nsize = 64"),
        ("PMF", Kind::PMF, "epochs = 1\nfactors = 64"),
        ("iALS", Kind::IALS, "epochs = 1\nfactors = 64"),
    ];
    println!("| model | rows before | microseconds an update | bytes of the state |\n|---|---|---|---|");
    for (name, kind, settings) in models {
        let settings = kind.settings(settings.parse()?)?;
        let model = settings.fit(&train, None, &FitContext::new(0, &device))?.model;
        for rows in [10_u32, 1_000, 100_000] {
            let mut state = model.start(u32::MAX, History::default());
            let row = |at: u32| (at.wrapping_mul(2_654_435_761) % items as u32, (at % 5 + 1) as f32);
            for at in 0..rows {
                let (item, value) = row(at);
                model.update(&mut state, item, value, i64::from(at) * 60);
            }
            let clock = Instant::now();
            for at in rows..rows + UPDATES {
                let (item, value) = row(at);
                model.update(&mut state, item, value, i64::from(at) * 60);
            }
            let each = clock.elapsed().as_secs_f64() * 1e6 / f64::from(UPDATES);
            println!("| {name} | {rows} | {each:.1} | {} |", model.state_to_bytes(&state).len());
        }
    }
    Ok(())
}
