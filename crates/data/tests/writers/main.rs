//! Logs as Python's `csv` module, pandas, Polars and DuckDB write them, in their dialects: read back equal;
//! and with one byte changed either refused, or changed in the rows that the byte belongs to.

#[path = "../logs/words.rs"]
mod words;

use foretaste_data::read;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::Command;
use words::{options, row};

const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Logs written.
const LOGS: usize = 400;
/// Bytes changed in each.
const CHANGES: usize = 12;

/// A log as it was written.
#[derive(serde::Deserialize)]
struct Written {
    file: String,
    writer: String,
    options: Vec<String>,
    rows: Vec<Row>,
}

/// User, item, value, nanoseconds since 1970, event.
type Row = (String, String, Option<f64>, i64, Option<String>);

/// A row in the notation of [`words::row`].
fn notation((user, item, value, time, event): &Row) -> String {
    let value = value.map_or("-".to_owned(), |value| (value as f32).to_string());
    let (seconds, fraction) = (time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000));
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:09}") };
    let fraction = fraction.trim_end_matches('0');
    format!("{user} {item} {value} {seconds}{fraction}/{}", event.as_deref().unwrap_or("-"))
}

/// Whether two logs hold the same rows, in any order.
fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// A Python with the writers, made once; `None` where there is no Python, or no packages for it.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("writers-venv");
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == REQUIREMENTS) {
        return Some(python);
    }
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/writers/requirements.txt");
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let made = succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        && succeeds(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(requirements));
    made.then(|| std::fs::write(stamp, REQUIREMENTS).unwrap()).map(|()| python)
}

/// The logs of a seed, in a folder.
#[allow(clippy::print_stderr)] // A skipped test says so.
fn written(seed: u64, folder: &Path) -> Option<Vec<Written>> {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "no Python with pandas, Polars and DuckDB");
        eprintln!("skipped: no Python 3 whose pip brings pandas, Polars and DuckDB");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/writers/write.py");
    let output = Command::new(python)
        .arg(script)
        .args([seed.to_string(), LOGS.to_string()])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = std::fs::read_to_string(folder.join("logs.jsonl")).unwrap();
    Some(list.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What reading comes to: rows, or the message.
fn outcome(path: &Path, words: &str) -> Result<Vec<String>, String> {
    let read = std::panic::catch_unwind(|| read(path, &options(words)));
    match read.unwrap_or_else(|_| panic!("{} is too much for the reader", path.display())) {
        Ok((table, _)) => Ok((0..table.len()).map(|at| row(&table, at)).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// Options without the dialect, which the first rows show. They do not show whether a backslash escapes
/// anything in fields without quotes.
fn guessed(words: &str) -> String {
    let told = words.contains("escaped") || words.contains("backslash");
    let keep = |word: &&str| told || !(word.starts_with("delimiter") || word.starts_with("quote"));
    words.split(' ').filter(keep).collect::<Vec<_>>().join(" ")
}

#[test]
fn files_of_other_writers_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(logs) = written(7, folder.path()) else { return };
    let (mut wrong, mut right) = (Vec::new(), 0);
    for log in &logs {
        let words = log.options.join(" ");
        let expected = sorted(log.rows.iter().map(notation).collect());
        let found = outcome(&folder.path().join(&log.file), &words).map(sorted);
        // A guess may fail, and say so, but must not be wrong.
        let guess = outcome(&folder.path().join(&log.file), &guessed(&words)).map(sorted);
        if found.as_ref() != Ok(&expected) || guess.as_ref().is_ok_and(|guess| *guess != expected) {
            wrong.push(format!("{}: {} [{words}]\n  {expected:?}\n  {found:?}", log.writer, log.file));
        }
        right += usize::from(guess.is_ok());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), logs.len(), wrong.join("\n"));
    assert!(right * 100 >= logs.len() * 98, "the dialect of {right} of {} was guessed", logs.len());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for log in logs.iter().filter(|log| !log.file.ends_with(".parquet")) {
        // A changed header must not make a column one of those that nobody asked for.
        let columns = "user=user item=item value=value time=time event=event";
        let told = log.options.join(" ");
        for words in [format!("{} {columns}", guessed(&told)), format!("{told} {columns}")] {
            let path = folder.path().join(&log.file);
            // A file whose dialect is not guessed has no rows to compare with.
            if let Ok(before) = outcome(&path, &words) {
                wrong.extend(one_byte_changed(&path, &words, &before, &mut random));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Rows of a Parquet file share dictionaries and pages: a changed byte may belong to many of them.
    for log in logs.iter().filter(|log| log.file.ends_with(".parquet")) {
        let path = folder.path().join(&log.file);
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..CHANGES {
            let mut bytes = whole.clone();
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
            std::fs::write(&path, &bytes).unwrap();
            let _ = outcome(&path, &log.options.join(" "));
        }
    }
}

/// Changes single bytes of a log of text: each time it is refused, or only the row that holds the byte
/// differs.
fn one_byte_changed(path: &Path, words: &str, before: &[String], random: &mut impl RngExt) -> Vec<String> {
    let whole = std::fs::read(path).unwrap();
    let mut wrong = Vec::new();
    for _ in 0..CHANGES {
        let mut bytes = whole.clone();
        let at = random.random_range(0..bytes.len());
        // A byte that means something is changed, or comes, more often than chance has it.
        bytes[at] = if random.random_bool(0.5) {
            b"\",\n\t;|\\'"[random.random_range(0..8)]
        } else {
            random.random()
        };
        std::fs::write(path, &bytes).unwrap();
        let Ok(after) = outcome(path, words) else { continue };
        let lost = difference(before, &after);
        let come = difference(&after, before);
        // The changed byte is in one row, or between two. A row that it turns into another's equal replaces
        // that one, as any later row does.
        let key = |row: &str| row.rsplit_once(' ').map(|(rest, _)| rest.to_owned());
        let replaced = lost.iter().filter(|row| come.iter().any(|new| key(new) == key(row))).count();
        let allowed = 2 + usize::from(replaced > 0);
        if lost.len() > allowed || come.len() > 2 {
            wrong.push(format!(
                "{} [{words}]: byte {at} of {} from {:?} to {:?}\n  lost {lost:?}\n  come {come:?}",
                path.display(),
                whole.len(),
                whole[at] as char,
                bytes[at] as char,
            ));
        }
    }
    std::fs::write(path, whole).unwrap();
    wrong
}

/// The rows of one log that the other lacks, counted.
fn difference(one: &[String], other: &[String]) -> Vec<String> {
    let mut others: Vec<&String> = other.iter().collect();
    let mut there =
        |row: &String| others.iter().position(|other| *other == row).map(|at| others.swap_remove(at));
    one.iter().filter(|row| there(row).is_none()).cloned().collect()
}
