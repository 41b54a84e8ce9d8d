//! The network of the example `hrnn_speed` from burn's own parts, for `cargo xtask bench rivals-hrnn`: burn's
//! GRU, an embedding with dense gradients, Adam over every row.
//!
//! `hrnn_stock USERS ITEMS EVENTS SIZE WINDOW EPOCHS` prints the same line of JSON. Its layers are a crate
//! that nothing else needs, so it is built with the feature `stock-gru` alone.

use burn_nn::gru::GruConfig;
use burn_tensor::{Distribution, Int, Tensor, TensorData};
use foretaste_data::Histories;
use foretaste_data::batch::{Batch, Batches};
use foretaste_data::simulate::Simulation;
use std::io::Write;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = "hrnn_stock USERS ITEMS EVENTS SIZE WINDOW EPOCHS";
    let numbers: Vec<usize> = words.iter().map(|w| w.parse()).collect::<Result<_, _>>().map_err(|_| usage)?;
    let [users, items, events, size, window, epochs] = numbers[..] else { return Err(usage.into()) };
    stock(&Simulation { users, items, events }.run(1), size, window, epochs)
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

/// The same network from burn's stock parts. Adam updates every row of both tables; the recurrent
/// weights get their gradients but are not updated, which flatters its speed.
fn stock(
    histories: &Histories,
    size: usize,
    window: usize,
    epochs: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    const ROWS: usize = 256;
    let device = burn_tensor::Device::flex();
    let gru = GruConfig::new(2 * size + 4, size, true).init(&device.clone().autodiff());
    let random = |rows: usize| -> Tensor<2> {
        Tensor::random([rows, size], Distribution::Uniform(-0.1, 0.1), &device)
    };
    let mut tables: Vec<[Tensor<2>; 3]> = [histories.n_items(), histories.n_items(), size]
        .map(|rows| [random(rows), random(rows) * 0.0, random(rows) * 0.0])
        .into();
    let mut times = vec![Instant::now()];
    let mut last = 0.0;
    for epoch in 0..epochs {
        let mut batches = Batches::new(histories, ROWS, window, 0, epoch as u64);
        let mut batch = Batch::default();
        let (mut squares, mut step) = (0.0, 0);
        while batches.next_into(&mut batch) {
            let entries = ROWS * window;
            let column = |values: Vec<f32>| -> Tensor<2> {
                Tensor::from_data(TensorData::new(values, [entries, 1]), &device)
            };
            let places: Tensor<1, Int> = Tensor::from_data(
                TensorData::new(batch.items.iter().map(|i| *i as i32).collect::<Vec<_>>(), [entries]),
                &device,
            );
            let leaves: Vec<Tensor<2>> =
                tables.iter().map(|[value, ..]| value.clone().autodiff().require_grad()).collect();
            let value = column(batch.values.iter().map(|v| v - 3.0).collect());
            let item = leaves[0].clone().select(0, places.clone());
            let x = Tensor::cat(
                vec![
                    item.clone(),
                    item * value.clone(),
                    value.clone(),
                    value.clone() * 0.5,
                    value.clone() * 0.1,
                    value.clone(),
                ],
                1,
            );
            let states = gru
                .forward(x.reshape([window, ROWS, 2 * size + 4]).swap_dims(0, 1), None)
                .swap_dims(0, 1)
                .reshape([entries, size]);
            let prediction =
                (states.matmul(leaves[2].clone()) * leaves[1].clone().select(0, places)).sum_dim(1);
            let error = (prediction - value) * column(batch.mask.clone());
            let loss = (error.clone() * error).sum_dim(0);
            squares += f64::from(loss.clone().inner().into_scalar::<f32>());
            let mut gradients = (loss * (1.0 / entries as f32)).backward();
            step += 1;
            let corrections = [0.9_f32, 0.999].map(|beta| 1.0 / (1.0 - beta.powi(step)));
            for (leaf, [value, first, second]) in leaves.iter().zip(&mut tables) {
                let Some(gradient) = leaf.grad_remove(&mut gradients) else { continue };
                *first = first.clone() * 0.9 + gradient.clone() * 0.1;
                *second = second.clone() * 0.999 + gradient.clone() * gradient * 0.001;
                *value = value.clone()
                    - first.clone() * corrections[0] / ((second.clone() * corrections[1]).sqrt() + 1e-8)
                        * 0.001;
            }
        }
        last = (squares / histories.len() as f64).sqrt();
        times.push(Instant::now());
    }
    tell(histories.len(), &times, last)
}
