//! One hot path at a time, for callgrind to count its instructions: `kernels NAME`. `nothing` does only the
//! setup that all of them share.
//!
//! Called by `cargo xtask bench instructions`, on one thread.

use foretaste_data::batch::{Batch, Batches};
use foretaste_data::{IdleGaps, Interactions, Parts, ReadOptions, SplitRule, embedded, read, store};
use foretaste_hpo::{Budget, Halt, Running, Space, Study, StudySettings};
use foretaste_metrics::{mae, rmse};
use foretaste_models::{Device, FitContext, Kind, Recommend};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;

/// The kernels.
const KERNELS: [&str; 11] =
    ["nothing", "read", "sessions", "batches", "pmf", "t-svd", "fm", "hrnn", "hrnn-gru", "lists", "tpe"];

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let data = embedded::load()?.of_users(|name| name.len() < 3)?;
    let parts = SplitRule::HoldOut { test: 0.1 }.split(&data, 0, 0.0)?.parts(&data);
    let folder = tempfile::tempdir()?;
    let path = ratings(&data, folder.path())?;
    match name.as_str() {
        "nothing" => {}
        "read" => drop(black_box(read(&path, &ReadOptions::default())?)),
        "sessions" => {
            store::write_sessions(&data, &IdleGaps::talk(), &folder.path().join("sessions.parquet"))?;
        }
        "batches" => {
            let (mut batches, mut batch) = (Batches::new(&parts.train, 64, 32, 0, 0), Batch::default());
            while batches.next_into(&mut batch) {
                black_box(&batch);
            }
        }
        "pmf" => trained(&parts, Kind::PMF, "epochs = 5")?,
        "t-svd" => trained(&parts, Kind::TSVD, "epochs = 1")?,
        "fm" => trained(&parts, Kind::FM, "iterations = 3\nburn_in = 1\nkept = 1\nfactors = 8")?,
        "hrnn" => trained(&parts, Kind::HRNN, "epochs = 1")?,
        "hrnn-gru" => trained(
            &parts,
            Kind::HRNN_GRU,
            "epochs = 1\nstationary = \"factors\"\nsize = 16\nitem_factors = 8",
        )?,
        "lists" => {
            let model =
                Kind::SIMS.defaults().fit(&parts.train, None, &FitContext::new(0, &Device::flex()))?.model;
            let users: Vec<(u32, i64)> = (0..data.n_users() as u32).map(|user| (user, i64::MAX)).collect();
            Recommend::new(model.as_ref(), data.n_items())
                .for_users(&parts.train, &users, |_, list| drop(black_box(list)));
        }
        "tpe" => {
            let space: Space = (0..8)
                .map(|i| format!("x{i} = {{ type = \"float\", low = 0.0, high = 1.0 }}\n"))
                .collect::<String>()
                .parse()?;
            let study = Study::in_memory(
                space,
                StudySettings { sampler: "tpe".parse()?, ..StudySettings::default() },
            )?;
            let sphere = |trial: &mut Running| {
                Ok::<_, Halt>(
                    trial.configuration().values().map(|v| (v.number().unwrap_or(0.0) - 0.3).powi(2)).sum(),
                )
            };
            study.optimize(&Budget::trials(40), sphere)?;
        }
        other => return Err(format!("no kernel is named {other:?}; there are {}", KERNELS.join(", ")).into()),
    }
    Ok(())
}

/// The ratings as a `ratings.dat` file.
fn ratings(data: &Interactions, folder: &Path) -> std::io::Result<std::path::PathBuf> {
    let line = |row: usize| {
        let (user, item) = (data.user_ids.name(data.users[row]), data.item_ids.name(data.items[row]));
        format!("{user}::{item}::{}::{}\n", data.values[row], data.timestamps.at(row))
    };
    let path = folder.join("ratings.dat");
    std::fs::write(&path, (0..data.len()).map(line).collect::<String>())?;
    Ok(path)
}

/// Trains a model, predicts with it and computes the error.
fn trained(parts: &Parts, kind: Kind, settings: &str) -> Result<(), Box<dyn Error>> {
    let model = kind
        .settings(settings.parse()?)?
        .fit(&parts.train, None, &FitContext::new(0, &Device::flex()))?
        .model;
    let predictions =
        model.ratings()?.predict(&parts.train, &parts.test, foretaste_models::Reading::Streaming);
    black_box((rmse(&predictions, parts.test.values()), mae(&predictions, parts.test.values())));
    Ok(())
}
