//! Plans in this process against the native builder.

mod common;

use common::{assert_equal, native, parts, rows};
use foretaste_data::{IdleGaps, ReadOptions, Role, SplitRule, read, store};
use std::path::Path;
use std::process::{Command, Output};

fn cluster(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foretaste-cluster")).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn built(arguments: &[&str]) {
    let output = cluster(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sessions_are_those_of_the_native_builder() {
    let folder = tempfile::tempdir().unwrap();
    let (log, out) = (folder.path().join("log"), folder.path().join("cluster.parquet"));
    parts(&log, 60_000, 3);
    let gaps: IdleGaps = "60,86400,2592000".parse().unwrap();
    let expected = native(&log, &gaps, folder.path().join("native.parquet"));
    let names = folder.path().join("names.parquet");
    // Many partitions, one, and a bounded memory.
    for options in
        [&["--partitions", "7"][..], &["--partitions", "1"], &["--partitions", "2", "--memory", "40000000"]]
    {
        built(
            &[&["sessions", text(&log), "--out", text(&out), "--vocabulary", text(&names)], options].concat(),
        );
        assert_equal(&out, &expected);
    }
    let (table, _) = read(&log, &ReadOptions::default()).unwrap();
    assert_eq!(store::read_vocabulary(&names).unwrap(), (table.user_ids.clone(), table.item_ids.clone()));
    // What it wrote is read like any sessions file.
    assert_eq!(read(&out, &ReadOptions::default()).unwrap().0.content_hash(), table.content_hash());
}

#[test]
fn splits_are_those_of_the_native_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (log, out) = (folder.path().join("log"), folder.path().join("out.parquet"));
    parts(&log, 20_000, 2);
    let (table, _) = read(&log, &ReadOptions::default()).unwrap();
    for (text_of_rule, rule) in
        [("leave-last:2", SplitRule::LeaveLast { test: 2 }), ("newest:0.1", SplitRule::Cut { test: 0.1 })]
    {
        built(&["sessions", text(&log), "--out", text(&out), "--gaps", "3600", "--split", text_of_rule]);
        let split = rule.split(&table, 0, 0.0).unwrap();
        let count = |role| split.roles.iter().filter(|r| **r == role).count();
        let [train, test] =
            ["out.train.parquet", "out.test.parquet"].map(|name| rows(&folder.path().join(name)));
        assert_eq!(
            (train.num_rows(), test.num_rows()),
            (count(Role::Train), count(Role::Test)),
            "{text_of_rule}"
        );
        let (tested, _) = read(&folder.path().join("out.test.parquet"), &ReadOptions::default()).unwrap();
        let expected = table
            .timestamps
            .iter()
            .zip(&split.roles)
            .filter(|(_, role)| **role == Role::Test)
            .map(|(time, _)| time);
        assert!(tested.timestamps.iter().eq(expected), "{text_of_rule}: the same rows");
    }
}

#[test]
fn csv_is_read_in_the_order_of_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(
        &log,
        "user,item,rating,timestamp\n10,b,2,50\n9,a,3,70\n10,a,4,50\n10,b,5,50\nx,a,1,70\n10,c,1,40\n",
    )
    .unwrap();
    let gaps: IdleGaps = "60".parse().unwrap();
    let out = folder.path().join("out.parquet");
    built(&["sessions", text(&log), "--out", text(&out), "--gaps", "60"]);
    assert_equal(&out, &native(&log, &gaps, folder.path().join("native.parquet")));
}

#[test]
fn csv_ids_are_text_whatever_they_look_like() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    // A thousand rows that look like numbers, and dates, before one that does not; leading zeros are part of
    // a name.
    let mut rows: Vec<String> =
        (0..1_200).map(|row| format!("0{},2001-01-0{},4,{}", row % 7, 1 + row % 9, 1_000 + row)).collect();
    rows.extend(["anna,99999999999999999999,3,77", "1.50,true,3,78"].map(String::from));
    std::fs::write(&log, format!("user,item,rating,timestamp\n{}\n", rows.join("\n"))).unwrap();
    let out = folder.path().join("out.parquet");
    built(&["sessions", text(&log), "--out", text(&out), "--gaps", "60"]);
    assert_equal(&out, &native(&log, &"60".parse().unwrap(), folder.path().join("native.parquet")));
}

#[test]
fn bad_input_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, out) = (folder.path().join("log.csv"), folder.path().join("out.parquet"));
    let told = |text_of_log: &str| {
        std::fs::write(&log, text_of_log).unwrap();
        let output = cluster(&["sessions", text(&log), "--out", text(&out)]);
        assert!(!output.status.success() && !out.exists());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        told("user,when\n1,2\n").contains("has no column known as item id"),
        "{}",
        told("user,when\n1,2\n")
    );
    assert!(told("user,item,timestamp\n1,2,3\n,2,3\n").contains("1 rows with an empty user or item id"));
    assert!(told("user,item,timestamp\n1,2,99999999999\n").contains("after tomorrow"));
    assert!(told("user,item,timestamp\n1,2,x\n").contains("the engine failed"));
    let output = cluster(&["sessions", text(&folder.path().join("nothing.parquet")), "--out", text(&out)]);
    assert!(!output.status.success());
    let output = cluster(&["sessions", text(&log), "--out", text(&out), "--split", "leave-last:0"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave-last:N"));
}
