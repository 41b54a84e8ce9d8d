//! The model appears among the others wherever the program lists them.

use std::path::Path;
use std::process::Command;

/// Runs the program; returns what it printed.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_own-model");
    let out = folder.join(arguments[0]);
    let output =
        Command::new(program).args(arguments).args(["--out", out.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_model_is_evaluated_tuned_and_raced() {
    let folder = tempfile::tempdir().unwrap();
    let table = run(
        folder.path(),
        &["reproduce", "--models", "biases,mood", "--regime", "random", "--seeds", "1", "--save-models"],
    );
    assert!(table.contains("Mood"), "{table}");
    let tuned = run(folder.path(), &["tune", "mood", "--trials", "6"]);
    assert!(tuned.contains("half_life"), "{tuned}");
    let race = run(
        folder.path(),
        &["automl", "--models", "rolling-average,mood", "--trials", "3", "--budget", "60s"],
    );
    assert!(race.contains("Mood"), "{race}");
}
