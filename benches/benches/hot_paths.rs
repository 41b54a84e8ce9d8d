//! Criterion benchmarks of the hot paths: parsing, sessions, splits, batches, simulation; training and
//! prediction of every kind of model; lists and their metrics; samplers and storages of a search.
//!
//! All run on the embedded data set, in minutes: `cargo xtask bench`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foretaste_data::batch::{Batch, Batches};
use foretaste_data::simulate::{Effects, Shape, World};
use foretaste_data::{IdleGaps, Interactions, Parts, ReadOptions, SplitRule, bounded, embedded, read, store};
use foretaste_hpo::storage::{self, Journal, Memory};
use foretaste_hpo::{Budget, Halt, Running, Space, Study, StudySettings};
use foretaste_metrics::lists::{Judged, Metric};
use foretaste_metrics::rmse;
use foretaste_models::{Device, FitContext, Kind, ModelSettings, Reading, Recommend};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn data() -> Interactions {
    embedded::load().expect("the embedded data set loads")
}

fn parts(data: &Interactions) -> Parts {
    SplitRule::HoldOut { test: 0.1 }.split(data, 0, 0.0).expect("ratings split").parts(data)
}

/// The embedded ratings as a `ratings.dat` file in a folder that lives as long as the returned value.
fn ratings_file(folder: &std::path::Path) -> PathBuf {
    let data = data();
    let text: String = (0..data.len())
        .map(|r| {
            format!(
                "{}::{}::{}::{}\n",
                data.user_ids.name(data.users[r]),
                data.item_ids.name(data.items[r]),
                data.values[r],
                data.timestamps.at(r)
            )
        })
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
    group.throughput(Throughput::Elements(data.len() as u64));
    group.bench_function("read ratings.dat", |b| {
        b.iter(|| read(&path, &ReadOptions::default()).expect("ratings read"));
    });
    group.bench_function("write sessions", |b| {
        b.iter(|| {
            store::write_sessions(&data, &IdleGaps::talk(), &folder.path().join("s.parquet"))
                .expect("sessions are written");
        });
    });
    group.bench_function("sessions within 64 MB", |b| {
        let out = folder.path().join("b.parquet");
        b.iter(|| {
            bounded::convert(
                &path,
                &ReadOptions::default(),
                Some(&IdleGaps::talk()),
                &out,
                bounded::LEAST,
                &mut |_| true,
            )
            .expect("sessions are written")
        });
    });
    let world = World::new(Shape::movielens_20m(0.005).expect("a scale"), Effects::all(), 0);
    group.throughput(Throughput::Elements(world.shape.ratings as u64));
    group.bench_function("simulate", |b| b.iter(|| world.events(0..world.shape.users)));
    group.throughput(Throughput::Elements(data.len() as u64));
    let offsets = data.user_offsets();
    group.bench_function("session marks", |b| {
        b.iter(|| IdleGaps::talk().marks(black_box(data.timestamps.all()), &offsets));
    });
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
    let settings = |kind: Kind, text: &str| -> ModelSettings {
        kind.settings(text.parse().expect("TOML")).expect("settings in range")
    };
    let mut group = c.benchmark_group("models");
    for (name, settings) in [
        ("rolling average", Kind::ROLLING_AVERAGE.defaults()),
        ("biases", Kind::BIASES.defaults()),
        ("pmf, 10 epochs", settings(Kind::PMF, "epochs = 10")),
        ("t-svd, 2 epochs", settings(Kind::TSVD, "epochs = 2")),
        ("fm, 4 iterations", settings(Kind::FM, "iterations = 4\nburn_in = 1\nkept = 2\nfactors = 8")),
        ("i-autorec, 1 epoch", settings(Kind::AUTOREC, "epochs = 1")),
        ("deepfm, 1 epoch", settings(Kind::DEEPFM, "epochs = 1")),
        ("rnn, 1 epoch", settings(Kind::RNN, "epochs = 1")),
        ("hrnn, 1 epoch", settings(Kind::HRNN, "epochs = 1")),
        ("hrnn-gru alone, 1 epoch", settings(Kind::HRNN_GRU, "epochs = 1\nstationary = \"factors\"")),
    ] {
        let context = FitContext::new(0, &device);
        group.throughput(Throughput::Elements(parts.train.len() as u64));
        group.bench_function(format!("fit {name}"), |b| {
            b.iter(|| settings.fit(&parts.train, None, &context).expect("the model trains"));
        });
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
    c.bench_function("rmse", |b| {
        b.iter_batched(|| &predictions, |p| rmse(p, parts.test.values()), BatchSize::SmallInput);
    });
}

/// Recommenders: training, ten items for every user, and the ranking metrics of all lists.
fn lists(c: &mut Criterion) {
    let data = data();
    let parts = parts(&data);
    let device = Device::flex();
    let mut group = c.benchmark_group("lists");
    for kind in [Kind::POPULARITY, Kind::SIMS, Kind::USER_KNN, Kind::IALS, Kind::EASE] {
        let context = FitContext::new(0, &device);
        let fit = || kind.defaults().fit(&parts.train, None, &context).expect("the model trains").model;
        if kind != Kind::EASE {
            group.throughput(Throughput::Elements(parts.train.len() as u64));
            group.bench_function(format!("fit {}", kind.name()), |b| b.iter(fit));
        }
        let model = fit();
        let users: Vec<(u32, i64)> = (0..data.n_users() as u32).map(|user| (user, i64::MAX)).collect();
        group.throughput(Throughput::Elements(users.len() as u64));
        group.bench_function(format!("ten items for every user, {}", kind.name()), |b| {
            b.iter(|| {
                Recommend::new(model.as_ref(), data.n_items())
                    .for_users(&parts.train, &users, |_, list| drop(black_box(list)));
            });
        });
    }
    // One list per user, evaluated on the user's next items.
    let list: Vec<u32> = (0..10).collect();
    let judged: Vec<Judged> =
        (0..data.n_users() as u32).map(|user| Judged::new(&list, parts.test.user(user).items)).collect();
    group.throughput(Throughput::Elements(judged.len() as u64));
    group.bench_function("NDCG@10", |b| {
        b.iter(|| judged.iter().map(|list| Metric::Ndcg(10).of(list)).sum::<f64>());
    });
    group.finish();
}

/// The search itself: asking for a trial after a hundred others, and events of a study in its storages.
fn search(c: &mut Criterion) {
    let space: Space = (0..8)
        .map(|i| format!("x{i} = {{ type = \"float\", low = 0.0, high = 1.0 }}\n"))
        .collect::<String>()
        .parse()
        .expect("a space");
    let sphere = |trial: &mut Running| {
        Ok::<_, Halt>(trial.configuration().values().map(|v| (v.number().unwrap_or(0.0) - 0.3).powi(2)).sum())
    };
    let mut group = c.benchmark_group("search");
    // Each call adds a trial to the study: as samples are few and short, it stays about as long as it
    // was.
    for sampler in ["random", "sobol", "tpe", "gp"] {
        let settings = |sampler: &str| StudySettings {
            sampler: sampler.parse().expect("a sampler"),
            ..StudySettings::default()
        };
        let asking = Study::in_memory(space.clone(), settings(sampler)).expect("a study");
        asking.optimize(&Budget::trials(if sampler == "gp" { 40 } else { 100 }), sphere).expect("trials");
        group.bench_function(format!("one more trial, {sampler}"), |b| {
            b.iter(|| asking.optimize_once(&Budget::default(), sphere).expect("a trial"));
        });
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, address) in [
        ("memory", "memory".to_owned()),
        ("sqlite", folder.path().join("studies.sqlite").display().to_string()),
    ] {
        let journal: Arc<dyn Journal> = if name == "memory" {
            Arc::new(Memory::default())
        } else {
            storage::open(&address).expect("a storage")
        };
        let settings =
            StudySettings { sampler: "random".parse().expect("a sampler"), ..StudySettings::default() };
        let study = Study::open(journal, space.clone(), settings).expect("a study");
        group.bench_function(format!("a trial's events, {name}"), |b| {
            b.iter(|| study.optimize_once(&Budget::default(), sphere).expect("a trial"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // All of it takes minutes: to measure one path precisely, give its name and `--measurement-time`.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000);
    targets = reading, models, lists, search
}
criterion_main!(benches);
