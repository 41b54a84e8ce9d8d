//! The worked examples run, and print a helpful error for a wrong call.

use std::path::Path;
use std::process::{Command, Output};

/// Runs an example that cargo built beside this test.
fn example(name: &str, arguments: &[&str]) -> Output {
    let here = std::env::current_exe().unwrap();
    let built = here
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    Command::new(&built).args(arguments).output().unwrap_or_else(|e| panic!("{}: {e}", built.display()))
}

#[test]
fn next_items_of_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.parquet");
    let table = foretaste_data::embedded::load().unwrap().of_users(|name| name.len() < 2).unwrap();
    foretaste_data::store::write_interactions(&table, &file).unwrap();
    let file = file.to_str().unwrap();
    let found = example("next_items", &[file, "7", "1"]);
    let lines: Vec<String> = String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    assert!(found.status.success() && lines.len() == 10 && lines[0].starts_with(" 1. "), "{found:?}");
    let user = table.user_ids.index("7").unwrap();
    let seen = |line: &String| {
        let name = line.split_whitespace().nth(1).unwrap();
        table.histories().user(user).items.contains(&table.item_ids.index(name).unwrap())
    };
    assert!(!lines.iter().any(seen), "nothing the user has had: {lines:?}");
    let refused = example("next_items", &[file, "nobody", "1"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("has no user nobody"),
        "{refused:?}"
    );
}

#[test]
fn ten_items_from_a_csv() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ratings.csv");
    let table = foretaste_data::embedded::load().unwrap().of_users(|name| name.len() < 3).unwrap();
    let mut text = String::from("user,item,timestamp\n");
    for row in 0..table.len() {
        text.push_str(&format!(
            "{},{},{}\n",
            table.user_ids.name(table.users[row]),
            table.item_ids.name(table.items[row]),
            table.timestamps.at(row)
        ));
    }
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let found = example("ten_items", &[file, "42", "1"]);
    let lines: Vec<String> = String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    assert!(
        found.status.success()
            && lines.len() == 22
            && lines[0] == "for user 42:"
            && lines[11] == "like item 1:",
        "{found:?}"
    );
    let refused = example("ten_items", &[file, "42", "none"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("has no item none"),
        "{refused:?}"
    );
}
