//! What an earlier build wrote is read by this one: a study, a model, a user's state, sessions and a run, as
//! they stand in `tests/golden`. They are written anew only where a format's number changes:
//! `cargo test -p foretaste --test golden -- --ignored`.

use foretaste_bench::results::Cell;
use foretaste_data::{Histories, IdleGaps, Interactions, ReadOptions, store};
use foretaste_hpo::storage::{Journal, Memory};
use foretaste_hpo::{Budget, Study, StudySettings, sampler};
use foretaste_models::{Device, FitContext, Kind, Reading, load, save};
use std::path::PathBuf;
use std::sync::Arc;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Six ratings of two users.
fn table() -> Interactions {
    let text = "user,item,rating,timestamp\nann,tea,5,1700000000\nann,milk,4,1700000040\n\
        ann,cocoa,2,1700090000\nbob,tea,4,1700000100\nbob,cocoa,3,1700000160\nbob,cake,5,1700200000\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.csv");
    std::fs::write(&file, text).unwrap();
    foretaste_data::read(&file, &ReadOptions::default()).unwrap().0
}

fn study(journal: Arc<dyn Journal>) -> Study {
    let space = "x = { type = \"float\", low = 0.01, high = 1.0, log = true }\n\
                 k = { type = \"integer\", low = 1, high = 9 }";
    let settings = StudySettings {
        name: "golden".into(),
        task: "of rows that are gone".into(),
        seed: 5,
        sampler: Box::new(sampler::Random),
        ..StudySettings::default()
    };
    Study::open(journal, space.parse().unwrap(), settings).unwrap()
}

fn gaps() -> IdleGaps {
    IdleGaps::new(vec![3600, 86_400]).unwrap()
}

#[test]
#[ignore = "writes the golden files"]
fn write_golden_files() {
    let table = table();
    let journal: Arc<dyn Journal> = Arc::new(Memory::default());
    let study = study(Arc::clone(&journal));
    study.optimize(&Budget::trials(4), |trial| trial.report(1, 0.5).and(Ok(trial.float("x")?))).unwrap();
    std::fs::create_dir_all(golden("")).unwrap();
    std::fs::write(golden("study.jsonl"), journal.read("golden", 0).unwrap().join("\n") + "\n").unwrap();
    let (histories, device) = (table.histories(), Device::flex());
    let settings = Kind::PMF.settings("factors = 2\nepochs = 3".parse().unwrap()).unwrap();
    let model = settings.fit(&histories, None, &FitContext::new(0, &device)).unwrap().model;
    save(model.as_ref(), &table.user_ids, &table.item_ids, &golden("model")).unwrap();
    let mut state = model.start(u32::MAX, histories.user(0));
    model.update(&mut state, 3, 5.0, 1_700_300_000);
    std::fs::write(golden("state.bin"), model.state_to_bytes(&state)).unwrap();
    store::write_sessions(&table, &gaps(), &golden("sessions.parquet")).unwrap();
    let predictions = model.ratings().unwrap().predict(&histories, &histories, Reading::Frozen);
    let told = (predictions, model.ratings().unwrap().expected(&state, 0, 0));
    std::fs::write(golden("predictions.json"), serde_json::to_vec(&told).unwrap()).unwrap();
    let cell = foretaste_bench::results::sample_cell("pmf", 0, 0.88);
    std::fs::write(golden("cell.json"), serde_json::to_vec_pretty(&cell).unwrap()).unwrap();
}

#[test]
fn an_earlier_study_goes_on() {
    let journal: Arc<dyn Journal> = Arc::new(Memory::default());
    for (place, event) in std::fs::read_to_string(golden("study.jsonl")).unwrap().lines().enumerate() {
        assert!(journal.append("golden", place as u64, event).unwrap());
    }
    let study = study(journal);
    let trials = study.trials().unwrap();
    assert_eq!(trials.len(), 4);
    assert!(trials.iter().all(|trial| trial.value.is_some() && trial.reports.len() == 1));
    assert_eq!(study.optimize(&Budget::trials(5), |trial| Ok(trial.float("x")?)).unwrap(), 1);
}

#[test]
fn an_earlier_model_and_state_predict_as_they_did() {
    let saved = load(&golden("model")).unwrap();
    let histories: Histories = table().histories();
    let (expected, of_state): (Vec<f32>, f32) =
        serde_json::from_slice(&std::fs::read(golden("predictions.json")).unwrap()).unwrap();
    let ratings = saved.model.ratings().unwrap();
    assert_eq!(ratings.predict(&histories, &histories, Reading::Frozen), expected);
    let state = saved.model.state_from_bytes(&std::fs::read(golden("state.bin")).unwrap()).unwrap();
    assert_eq!(ratings.expected(&state, 0, 0), of_state);
    assert_eq!(saved.user_ids.index("bob"), Some(1));
}

#[test]
fn earlier_sessions_are_read() {
    let path = golden("sessions.parquet");
    let (read, report) = foretaste_data::read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(report.rows, 6);
    assert_eq!((&read.user_ids, &read.item_ids), (&table().user_ids, &table().item_ids));
    let rows = |table: &Interactions| (table.histories(), table.timestamps.iter().collect::<Vec<_>>());
    assert_eq!(rows(&read), rows(&table()));
    assert_eq!(store::idle_gaps(&path).unwrap(), Some(gaps()));
}

#[test]
fn an_earlier_runs_cell_is_read() {
    let cell: Cell = serde_json::from_slice(&std::fs::read(golden("cell.json")).unwrap()).unwrap();
    assert_eq!(cell.outcome.system, "pmf");
    assert_eq!(cell.outcome.errors[0].rmse, 0.88);
}
