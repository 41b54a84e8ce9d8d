//! Criterion benchmarks of the hot paths: parsing, sessions, splits, batches, training, prediction.
//!
//! All run on the embedded data set, in minutes: `cargo xtask bench`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foretaste_bench::metrics::rmse;
use foretaste_data::batch::{Batch, Batches};
use foretaste_data::{IdleGaps, Interactions, Parts, ReadOptions, SplitRule, embedded, read, store};
use foretaste_models::{Device, FitContext, Kind, ModelSettings, Reading};
use std::hint::black_box;
use std::path::PathBuf;

fn data() -> Interactions {
    embedded::load().expect("the embedded data set loads")
}

fn parts(data: &Interactions) -> Parts {
    SplitRule::HoldOut { test: 0.1 }.split(data, 0, 0.0).expect("ratings split").parts(data)
}

/// The embedded ratings as a `ratings.dat` file in a folder that lives as long as the answer.
fn ratings_file(folder: &std::path::Path) -> PathBuf {
    let data = data();
    let text: String = (0..data.len())
        .map(|r| format!("{}::{}::{}::{}\n", data.user_ids.name(data.users[r]), data.item_ids.name(data.items[r]), data.values[r], data.timestamps[r]))
        .collect();
    let path = folder.join("ratings.dat");
    std::fs::write(&path, text).expect("a temporary file is written");
    path
}

fn reading(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = ratings_file(folder.path());
    let data = data();
    let mut group = c.benchmark_group("data");
    group.throughput(Throughput::Elements(data.len() as u64)).sample_size(20);
    group.bench_function("read ratings.dat", |b| b.iter(|| read(&path, &ReadOptions::default()).expect("ratings read")));
    group.bench_function("write sessions", |b| {
        b.iter(|| store::write_sessions(&data, &IdleGaps::talk(), &folder.path().join("s.parquet")).expect("sessions are written"));
    });
    let offsets = data.user_offsets();
    group.bench_function("session marks", |b| b.iter(|| IdleGaps::talk().marks(black_box(&data.timestamps), &offsets)));
    group.bench_function("split and copy parts", |b| b.iter(|| parts(black_box(&data))));
    let train = parts(&data).train;
    group.bench_function("batches of an epoch", |b| {
        b.iter(|| {
            let mut batches = Batches::new(&train, 64, 32, 0, 0);
            let mut batch = Batch::default();
            while batches.next_into(&mut batch) {
                black_box(&batch);
            }
        });
    });
    group.finish();
}

fn models(c: &mut Criterion) {
    let data = data();
    let parts = parts(&data);
    let device = Device::flex();
    let settings = |kind: Kind, text: &str| -> ModelSettings { kind.settings(text.parse().expect("TOML")).expect("settings in range") };
    let mut group = c.benchmark_group("models");
    group.sample_size(10);
    for (name, settings) in [
        ("rolling average", Kind::RollingAverage.defaults()),
        ("biases", Kind::Biases.defaults()),
        ("pmf, 10 epochs", settings(Kind::Pmf, "epochs = 10")),
        ("rnn, 1 epoch", settings(Kind::Rnn, "epochs = 1")),
    ] {
        let context = FitContext::new(0, &device);
        group.throughput(Throughput::Elements(parts.train.len() as u64));
        group.bench_function(format!("fit {name}"), |b| b.iter(|| settings.fit(&parts.train, None, &context).expect("the model trains")));
        let model = settings.fit(&parts.train, None, &context).expect("the model trains").model;
        group.throughput(Throughput::Elements(parts.test.len() as u64));
        for reading in Reading::ALL {
            group.bench_function(format!("predict {}, {name}", reading.name()), |b| {
                b.iter(|| model.ratings().unwrap().predict(&parts.train, &parts.test, reading));
            });
        }
    }
    group.finish();
    let predictions = vec![3.5; parts.test.len()];
    c.bench_function("rmse", |b| b.iter_batched(|| &predictions, |p| rmse(p, parts.test.values()), BatchSize::SmallInput));
}

criterion_group!(benches, reading, models);
criterion_main!(benches);
