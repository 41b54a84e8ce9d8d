//! `foretaste tune` and `foretaste automl` as their users run them.

mod support;

use std::path::Path;
use std::process::Stdio;
use support::{foretaste, run, succeed, text};

fn refused(folder: &Path, arguments: &str, reason: &str) {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments}\n{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(reason), "{arguments}\n{}", text(&output.stderr));
}

fn json(folder: &Path, file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

const PMF: &str = "tune biased-mf --device flex --set biased-mf.epochs=6 --set biased-mf.factors=12 --space \
    factors=8..16 --only factors,learning_rate,regularization";

#[test]
fn a_search_ends_with_a_report_and_goes_on() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let said = succeed(folder, &format!("{PMF} --trials 6 --out found"));
    assert!(
        said.contains("6 trials") && said.contains("| defaults |") && said.contains("learning_rate ="),
        "{said}"
    );
    for file in [
        "tuned.json",
        "table.md",
        "settings.toml",
        "report.html",
        "study.sqlite",
        "history.svg",
        "slices.png",
        "importance.svg",
        "parallel.svg",
        "curves.svg",
    ] {
        assert!(folder.join("found").join(file).is_file(), "{file}");
    }
    let tuned = json(folder, "found/tuned.json");
    assert!(
        tuned["best"].as_f64() <= tuned["default"].as_f64() && tuned["best_test"].as_f64().unwrap() < 1.0,
        "{tuned}"
    );
    let settings: toml::Table =
        std::fs::read_to_string(folder.join("found/settings.toml")).unwrap().parse().unwrap();
    assert!((8..=16).contains(&settings["factors"].as_integer().unwrap()));

    // An existing study is not overwritten; resuming keeps its trials and ends with the result of one run.
    refused(folder, &format!("{PMF} --trials 8 --out found"), "--resume continues");
    refused(folder, &format!("{PMF} --trials 8 --out found --resume --seed 3"), "its seed is 0, not 3");
    succeed(folder, &format!("{PMF} --trials 8 --out found --resume"));
    succeed(folder, &format!("{PMF} --trials 8 --out straight --threads 1"));
    let outcome = |name: &str| {
        let trials = json(folder, &format!("{name}/tuned.json"))["trials"].as_array().unwrap().clone();
        trials
            .iter()
            .map(|t| (t["configuration"].clone(), t["value"].clone(), t["reports"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(outcome("found"), outcome("straight"));
}

#[test]
fn wrong_searches_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    refused(folder, "tune svd", "unknown model");
    refused(folder, "tune biased-mf --device flex --sampler bayes", "known are auto, gp, tpe");
    refused(folder, "tune biased-mf --space size=1..3", "no such setting; searched are");
    refused(folder, "tune biased-mf --only size", "size is no setting");
    refused(folder, "tune biased-mf --metric recall --device flex", "unknown metric");
    refused(folder, "tune biased-mf --budget soon --device flex", "write a time");
    refused(folder, "automl --models ease", "ease predicts no ratings");
    refused(folder, "automl --budget 0", "write a time");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().filter(|e| e.as_ref().unwrap().file_name() != "runs").count(),
        0
    );
}

const RACE: &str = "automl --device flex --models rolling-average,biases,biased-mf --trials 3 --budget 10m \
    --set biased-mf.epochs=6 --set biased-mf.factors=8";

#[test]
fn a_race_joins_tests_and_saves_its_winner() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let said = succeed(folder, &format!("{RACE} --out race"));
    assert!(said.contains("winner: ") && said.contains("asked once: 0."), "{said}");
    let board = json(folder, "race/leaderboard.json");
    let values: Vec<f64> =
        board["lines"].as_array().unwrap().iter().map(|line| line["value"].as_f64().unwrap()).collect();
    assert!(values.len() == 3 && values.windows(2).all(|pair| pair[0] <= pair[1]), "{values:?}");
    // What validation chose is tested, and saved as any model.
    let members = board["members"].as_array().unwrap().len();
    let saved = foretaste_models::load(&folder.join("race/model")).unwrap();
    assert_eq!(saved.model.settings().to_toml(), board["settings"].as_str().unwrap());
    assert!(members == 1 || saved.model.settings().kind() == foretaste_models::Kind::ENSEMBLE);
    for file in ["leaderboard.md", "settings.toml", "time-line.svg", "report.html"] {
        assert!(folder.join("race").join(file).is_file(), "{file}");
    }
    // And it recommends to known users and for a log it has not seen.
    let list = succeed(folder, "recommend --from race/model --user 42 --top 5 --device flex");
    assert!(list.starts_with("for user 42:") && list.lines().count() == 6, "{list}");
    std::fs::write(
        folder.join("new.csv"),
        "user,item,rating,timestamp\nnew,260,5,1000000000\nnew,nothing,1,1000000001\n",
    )
    .unwrap();
    let list = succeed(folder, "recommend ./new.csv --from race/model --user new --top 3 --device flex");
    assert!(list.lines().count() == 4 && !list.contains("\n  260 "), "{list}");
    let output = run(folder, "recommend --from nowhere --user 42");
    assert!(
        !output.status.success() && text(&output.stderr).contains("nowhere: is no saved model"),
        "{}",
        text(&output.stderr)
    );
    refused(folder, &format!("{RACE} --out race"), "--resume continues");
    let again = succeed(folder, &format!("{RACE} --out race --resume --json"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(again.trim()).unwrap()["test"], board["test"]);
}

#[test]
#[allow(unsafe_code)]
fn an_interrupted_race_shows_how_it_stands() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let long = format!("{RACE} --out race").replace("--trials 3", "--trials 500");
    let child = foretaste(folder, &long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once something is kept, there is something to show.
    let begin = std::time::Instant::now();
    let kept = || std::fs::read_dir(folder.join("race/predictions")).is_ok_and(|files| files.count() > 3);
    while !kept() && begin.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--resume"), "{}", text(&output.stderr));
    let board = json(folder, "race/leaderboard.json");
    assert!(board["test"].is_null() && !folder.join("race/model").exists(), "nothing was tested: {board}");
    assert!(succeed(folder, &format!("{RACE} --out race --resume")).contains("asked once"));
}

#[test]
fn a_table_of_tuned_systems_goes_on_and_holds_what_was_joined() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let run = "reproduce --tune=3 --models biases,biased-mf --regime random --seeds 1 --device flex --set \
        biased-mf.epochs=6 --set biased-mf.factors=8 --out tuned";
    let said = succeed(folder, run);
    assert!(
        said.contains("PMF with biases, tuned") && said.contains("AutoML") && !said.contains("AutoML, tuned"),
        "{said}"
    );
    let manifest = json(folder, "tuned/manifest.json");
    let systems = manifest["tuned"][0]["systems"].as_array().unwrap();
    assert_eq!(
        systems.iter().map(|s| s["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["biases", "biased-mf", "automl"]
    );
    let board = folder.join("tuned/tuning/ml-latest-small-random-90_10-seed-0/leaderboard.json");
    assert!(board.is_file(), "{board:?}");
    let again = succeed(folder, &format!("{run} --resume"));
    let figures = |text: &str| {
        text.lines().filter(|l| l.contains("0.8") || l.contains("0.9")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(figures(&said), figures(&again));
}

/// Judged by lists, the best are fused by rank where that is better; the winner is saved and recommends
/// either way.
#[test]
fn a_race_by_lists_ends_with_one_that_recommends() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let race = "automl --metric NDCG@10 --regime last-session --models popular,sims,user-knn --trials 2 \
        --budget 10m --device flex --out race";
    let said = succeed(folder, race);
    assert!(said.contains("winner: ") && said.contains("asked once: 0."), "{said}");
    let board = json(folder, "race/leaderboard.json");
    // Either the best alone was chosen, or the ensemble is reported beside it and won only if it is better.
    let methods = board["methods"].as_array().unwrap();
    let better = methods.len() == 2 && methods[1][1].as_f64() > methods[0][1].as_f64();
    assert_eq!(board["members"].as_array().unwrap().len() > 1, better, "{board}");
    let list = succeed(folder, "recommend --from race/model --user 42 --top 5 --device flex");
    assert!(list.starts_with("for user 42:") && list.lines().count() == 6, "{list}");
}

/// A search of which every trial failed says so, with the status of a failure.
#[test]
fn a_search_of_failures_fails() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let rows: String = (0..12).map(|row| format!("ann,item{row},{},{}\n", 1 + row % 5, 1000 + row)).collect();
    std::fs::write(folder.join("one.csv"), format!("user,item,rating,timestamp\n{rows}")).unwrap();
    let output = run(folder, "tune hrnn-machines-short ./one.csv --trials 2 --device flex --out found");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("all 2 trials failed") && said.contains("one user alone"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where nobody sees them");
}
