//! What people do with logs of their own.

use crate::support::{foretaste, list, ratings, run, succeed, text};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

/// The program with these arguments, which may hold blanks.
fn with(folder: &Path, command: &str, arguments: &[&str]) -> Output {
    foretaste(folder, command).args(arguments).output().unwrap()
}

fn refused(folder: &Path, command: &str) -> String {
    let output = run(folder, command);
    assert_eq!(output.status.code(), Some(2), "{command}\n{}", text(&output.stderr));
    text(&output.stderr)
}

/// Ids with commas and a hyphen, and three users with tastes in common.
fn drinks(folder: &Path) {
    let log = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n\
        \"Doe, J\",tea,1700000000,View\n\"Doe, J\",milk,1700000001,buy\n\
        -7,tea,1700000002,view\n-7,milk,1700000003,view\n-7,cocoa,1700000004,view\nann,tea,1700000005,view\n\
        ann,cocoa,1700000006,buy\nann,cake,1700000007,view\n";
    let items = "ITEM_ID,TITLE,GENRES,PRICE\ntea,Green tea,hot|plain,2\nmilk,Milk,cold,1\ncocoa,Cocoa,hot,3\n\
        cake,Cake,cold,4\n";
    let users = "USER_ID,TASTE\n\"Doe, J\",hot\n-7,cold\nann,hot\n";
    std::fs::write(folder.join("interactions.csv"), log).unwrap();
    std::fs::write(folder.join("items.csv"), items).unwrap();
    std::fs::write(folder.join("users.csv"), users).unwrap();
}

const POPULAR: &str = "recommend ./interactions.csv --model popular --device flex --json";

/// The items of each list, by whom it is for.
fn lists(output: &Output) -> Vec<(String, Vec<String>)> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let of = |line: &str| {
        let list: serde_json::Value = serde_json::from_str(line).unwrap();
        let ids = list["items"].as_array().unwrap().iter();
        let items = ids.map(|item| item["item"].as_str().unwrap().to_owned()).collect();
        (list["user"].as_str().unwrap().to_owned(), items)
    };
    text(&output.stdout).lines().map(of).collect()
}

#[test]
fn users_are_named_as_they_are() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    drinks(folder);
    let one = |user: &str| lists(&with(folder, POPULAR, &["--user", user]))[0].clone();
    assert_eq!(one("Doe, J").0, "Doe, J");
    assert_eq!(one("-7"), ("-7".into(), vec!["cake".into()]));
    // Strangers cost nothing but a note.
    let output = with(folder, POPULAR, &["--user", "ann,nobody,-7"]);
    assert_eq!(lists(&output).len(), 2);
    assert!(text(&output.stderr).contains("no user \\\"nobody\\\"; left out"), "{}", text(&output.stderr));
    let output = with(folder, POPULAR, &["--user", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    std::fs::write(folder.join("some.txt"), "ann\n\nDoe, J\n").unwrap();
    let names: Vec<String> =
        lists(&with(folder, POPULAR, &["--users-file", "some.txt"])).into_iter().map(|list| list.0).collect();
    assert_eq!(names, ["ann", "Doe, J"]);
}

#[test]
fn lists_for_everyone_go_into_files() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    drinks(folder);
    let printed = with(folder, POPULAR, &["--user", "all"]);
    assert_eq!(lists(&printed).len(), 3);
    for file in ["all.jsonl", "all.csv", "all.parquet"] {
        let output = with(folder, POPULAR, &["--user", "all", "--out", file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(std::fs::read_to_string(folder.join("all.jsonl")).unwrap(), text(&printed.stdout));
    let csv = std::fs::read_to_string(folder.join("all.csv")).unwrap();
    assert!(csv.starts_with("of,rank,item,score,deviation\n") && csv.contains("\n\"Doe, J\",1,"), "{csv}");
    // Both tables hold the same lists: read as logs, whose ranks are values.
    let columns = "--user-column of --item-column item --value-column rank --no-further-columns";
    for (from, to) in [("all.csv", "a.parquet"), ("all.parquet", "b.parquet")] {
        succeed(folder, &format!("import {from} {columns} --out {to}"));
    }
    assert!(
        std::fs::read(folder.join("a.parquet")).unwrap() == std::fs::read(folder.join("b.parquet")).unwrap()
    );
    assert!(
        list(folder).iter().all(|name| !name.starts_with('.')),
        "nothing half-written: {:?}",
        list(folder)
    );
}

#[test]
fn tables_beside_a_log_serve_titles_and_filters() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    drinks(folder);
    let shown =
        with(folder, "recommend ./interactions.csv --model popular --user ann --seen --device flex", &[]);
    assert!(text(&shown.stdout).contains("tea Green tea ("), "{}", text(&shown.stdout));
    assert!(text(&shown.stderr).contains("score: "), "{}", text(&shown.stderr));
    let of = |filter: &str, values: &[&str], user: &str| {
        let mut arguments = vec!["--seen", "--user", user, "--filter", filter];
        values.iter().for_each(|value| arguments.extend(["--filter-value", value]));
        let output = with(folder, POPULAR, &arguments);
        let mut items = lists(&output)[0].1.clone();
        items.sort();
        (items, text(&output.stderr))
    };
    assert_eq!(of("INCLUDE ItemID WHERE Items.GENRES IN ($G)", &["G=\"hot\""], "ann").0, ["cocoa", "tea"]);
    assert_eq!(of("INCLUDE ItemID WHERE Items.PRICE >= 3", &[], "ann").0, ["cake", "cocoa"]);
    let by_user = "INCLUDE ItemID WHERE Items.GENRES IN (\"cold\") IF CurrentUser.TASTE = \"cold\"";
    assert_eq!(of(by_user, &[], "-7").0, ["cake", "milk"]);
    // Event types are compared without case; expressions follow each other in a pipe.
    let bought = "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (\"BUY\") | EXCLUDE ItemID WHERE \
        Items.GENRES \
        IN (\"plain\")";
    assert_eq!(of(bought, &[], "ann").0, ["cake", "milk"]);
    let (items, told) = of("EXCLUDE ItemID WHERE Items.GENRES IN (\"luke\")", &[], "ann");
    assert!(items.len() == 4 && told.contains("luke"), "{told}");
    // What a list has none of is refused.
    let asked = ["--item", "tea", "--filter", by_user];
    let refusal = with(folder, "recommend ./interactions.csv --device flex", &asked);
    assert!(text(&refusal.stderr).contains("--item has none"), "{}", text(&refusal.stderr));
    let asked =
        ["--user", "ann", "--filter", "INCLUDE ItemID WHERE Items.PRICE > $P", "--filter-value", "P=abc"];
    assert!(text(&with(folder, POPULAR, &asked).stderr).contains("is no number"));
    // A table elsewhere is named; one about other items is refused.
    std::fs::rename(folder.join("items.csv"), folder.join("drinks.csv")).unwrap();
    let titled = with(folder, POPULAR, &["--user", "ann", "--seen", "--items", "drinks.csv"]);
    assert!(text(&titled.stdout).contains("Green tea"));
    std::fs::write(folder.join("other.csv"), "ITEM_ID,GENRES\nbeer,cold\n").unwrap();
    let told = with(folder, POPULAR, &["--user", "ann", "--items", "other.csv"]);
    assert!(!told.status.success() && text(&told.stderr).contains("other.csv: no item of the log"));
}

#[test]
fn a_log_may_come_from_standard_input() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let path = ratings(folder);
    let mut child = foretaste(folder, "import - --out piped.parquet")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(&path).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // A compressed log, and one that is told by its first byte; neither has a name.
    let mut packed = std::process::Command::new("sh");
    packed.arg("-c").arg(
        "printf '{\"user\": 1, \"item\": 2}\\n' | \"$FORETASTE\" import - --out json.parquet && \
         gzip -c ratings.csv | \"$FORETASTE\" import - --out packed.parquet",
    );
    let told = packed.env("FORETASTE", env!("CARGO_BIN_EXE_foretaste")).current_dir(folder).output().unwrap();
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(text(&told.stdout).contains("standard input: no field of times"), "{}", text(&told.stdout));
    succeed(folder, "import ratings.csv --out named.parquet");
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("piped.parquet") == bytes("named.parquet"));
    assert!(bytes("packed.parquet") == bytes("named.parquet"));
}

/// Rows without rating neither spoil nor stop a rating model's list.
#[test]
fn a_missing_rating_spoils_no_list() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    succeed(
        folder,
        "reproduce ./ratings.csv --models biases --seeds 1 --regime random --save-models --out run",
    );
    std::fs::write(folder.join("new.csv"), "user,item,rating\nnew,1,\nnew,2,4\n").unwrap();
    let several = refused(folder, "recommend ./new.csv --from run --user new --device flex");
    let model = several.split(": ").last().unwrap().trim().to_owned();
    let shown =
        succeed(folder, &format!("recommend ./new.csv --from {model} --user new --top 3 --device flex"));
    assert_eq!(shown.lines().count(), 4, "{shown}");
}

/// A table in another encoding is told, and no row of it read.
#[test]
fn a_table_in_another_encoding_is_told() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    drinks(folder);
    std::fs::write(folder.join("latin.csv"), b"item_id,title\ntea,Th\xe9\n").unwrap();
    let told = with(folder, POPULAR, &["--user", "ann", "--items", "latin.csv"]);
    assert!(text(&told.stderr).contains("latin.csv:2") && text(&told.stderr).contains("--encoding"));
}

/// No input is written over, by its name or through a link.
#[test]
fn the_output_is_never_an_input() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    drinks(folder);
    succeed(folder, "import ratings.csv --out results.parquet");
    #[cfg(unix)]
    std::os::unix::fs::symlink("ratings.csv", folder.join("link.csv")).unwrap();
    #[cfg(not(unix))]
    std::fs::hard_link(folder.join("ratings.csv"), folder.join("link.csv")).unwrap();
    std::fs::create_dir(folder.join("parts")).unwrap();
    std::fs::copy(folder.join("ratings.csv"), folder.join("parts/a.csv")).unwrap();
    std::fs::write(folder.join("some.txt"), "ann\n").unwrap();
    let files = |folder: &Path| -> Vec<Vec<u8>> {
        let all = list(folder).into_iter().chain(["parts/a.csv".to_owned()]);
        all.filter_map(|name| std::fs::read(folder.join(name)).ok()).collect()
    };
    let before = files(folder);
    for command in [
        "import ratings.csv --out ratings.csv",
        "import ratings.csv --out ./link.csv",
        "sessions link.csv --out ratings.csv",
        "import ratings.csv --rejects x --skip-bad-rows 1 --out x",
        "recommend ./interactions.csv --model popular --user ann --out interactions.csv",
        "reproduce ./results.parquet --models biases --seeds 1 --device flex --out .",
        "recommend ./interactions.csv --model popular --user ann --out items.csv",
        "recommend ./interactions.csv --model popular --users-file users.csv --out users.csv",
        "import parts --out parts/a.csv.parquet",
        "sessions parts --gaps 1h --out parts/b.parquet",
        "recommend ./parts --model popular --user 1 --out parts/lists.csv",
        "tune biases ./results.parquet --trials 1 --device flex --out .",
        "automl ./results.parquet --budget 1s --device flex --out .",
    ] {
        let told = refused(folder, command);
        assert!(told.contains("input") || told.contains("the same file"), "{command}: {told}");
    }
    for command in [
        "import ratings.csv --skip-bad-rows 1 --rejects some.txt --out x.parquet",
        "import ratings.csv --skip-bad-rows 1 --rejects items.csv --out x.parquet",
    ] {
        let output = run(folder, command);
        assert!(text(&output.stderr).contains("holds no rejects"), "{command}: {}", text(&output.stderr));
    }
    assert!(before == files(folder));
}

/// What an option belongs to is said where it would do nothing.
#[test]
fn options_that_would_do_nothing_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    for (command, part) in [
        ("reproduce ./ratings.csv --regime future --folds 3", "--folds"),
        ("reproduce ./ratings.csv --regime random --window netflix-full", "--window"),
        ("reproduce ./ratings.csv --regime random --session-gap 1h", "--session-gap"),
        ("reproduce ./ratings.csv --regime per-user --test 0.2", "--test"),
        ("reproduce ranking ./ratings.csv --no-clip", "--no-clip"),
        ("reproduce ./ratings.csv --models biases --set pmf.factors=3", "pmf"),
        ("reproduce --user-column who", "part of the program"),
        ("reproduce ./ratings.csv --rejects bad.txt", "--rejects"),
        ("import ratings.csv --items items.csv", "--items"),
        ("tune biases ./ratings.csv --trials 0", "--trials"),
        ("tune biases ./ratings.csv --jobs 0", "--jobs"),
        ("tune biases ./ratings.csv --users 1-5", "--users"),
        ("recommend ./ratings.csv --user 1 --filter-value G=x", "--filter"),
        ("recommend ./ratings.csv --user 1 --events view", "no event types"),
        ("recommend ./ratings.csv --item 1 --seen", "--seen"),
        ("recommend ./ratings.csv --user 1 --why --out lists.csv", "--why"),
        ("import ratings.csv --out ratings.tsv", "Parquet is written"),
    ] {
        let told = refused(folder, command);
        assert!(told.contains(part), "{command}: {told}");
    }
    assert_eq!(list(folder), ["ratings.csv"]);
}
