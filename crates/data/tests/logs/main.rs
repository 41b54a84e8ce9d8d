//! Logs as people have them: each small log with how it is read, and what it must come to.
//!
//! A row is written `user item value time`, with `-` for what it lacks, fractions of a second behind the
//! time, and the event type behind a slash. Rows come by user, then time.

mod cases;
mod published;
mod words;

use foretaste_data::{Interactions, LoadReport, ReadOptions, read};
use std::path::Path;
use words::{options, rows};

/// A log and what it must come to.
pub(crate) struct Log {
    /// What is particular about it.
    pub(crate) what: &'static str,
    /// Name of the file.
    pub(crate) file: &'static str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Options, as `user=1 item=2 quote=none`.
    pub(crate) options: &'static str,
    /// The rows, or `error: ` and a part of the message.
    pub(crate) expected: &'static str,
}

/// A log of text.
pub(crate) fn log(
    what: &'static str,
    file: &'static str,
    text: &str,
    options: &'static str,
    expected: &'static str,
) -> Log {
    Log { what, file, bytes: text.as_bytes().to_vec(), options, expected }
}

/// Reads a log from a folder of its own.
pub(crate) fn outcome(log: &Log, folder: &Path) -> Result<(Interactions, LoadReport), String> {
    let path = folder.join(log.file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &log.bytes).unwrap();
    let mut options = options(log.options);
    options.rejects = Some(folder.join("rejects"));
    read(&path, &options).map_err(|error| error.to_string())
}

fn check(logs: &[Log]) {
    let mut wrong = Vec::new();
    for log in logs {
        let folder = tempfile::tempdir().unwrap();
        let found = outcome(log, folder.path());
        let right = match (&found, log.expected.strip_prefix("error: ")) {
            (Ok((table, _)), None) => rows(table) == log.expected,
            (Err(error), Some(part)) => error.contains(part),
            _ => false,
        };
        if !right {
            let found = found.map_or_else(|error| format!("error: {error}"), |(table, _)| rows(&table));
            wrong.push(format!("{}\n  expected {}\n  found    {found}", log.what, log.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} logs:\n{}", wrong.len(), logs.len(), wrong.join("\n"));
}

#[test]
fn logs_of_all_kinds() {
    let logs = cases::logs();
    assert!(logs.len() >= 80, "{} logs", logs.len());
    check(&logs);
}

#[test]
fn public_layouts() {
    check(&published::logs());
}

/// What is guessed is said, and what is dropped is counted by reason.
#[test]
fn guesses_and_losses_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |text: &str, file: &'static str, options: &'static str| {
        outcome(&log("", file, text, options, ""), folder.path()).unwrap().1
    };
    let report = told("1|2|3\n4|5|6\n", "a.txt", "user=1 item=2 value=3");
    assert!(
        report.remarks[0].contains("divided by \"|\"") && report.remarks[0].contains("first line is a row")
    );
    assert!(report.remarks[1].contains("no column of times"));
    let report = told("user\titem\n1\t\"Weird Al\" Yankovic\n", "b.tsv", "");
    assert!(report.remarks[0].contains("quotes are part of the text"), "{:?}", report.remarks);
    let text =
        "user,item,rating,timestamp\n1,2,x,978300760\n,2,3,978300760\n1,2,y,978300760\n1,2,3,978300760\n";
    let report = told(text, "c.csv", "skip=3");
    assert_eq!(
        report.left_out(),
        "3 bad lines were left out (2: rating is not a finite number; 1: empty id)"
    );
    let report = told("user,item,rating,date\n1,2,3,2014\n", "d.csv", "");
    assert!(report.remarks[0].contains("years"), "{:?}", report.remarks);
    let report = told("user,item,rating,timestamp\n1,2,3,978300760\n", "e.csv", "");
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
    let report = told("user_id,session_id,item\n1,2,3\n", "f.csv", "user=session_id");
    assert_eq!(report.remarks[1], "the further column user_id is called user_id_2: its name is taken");
}

/// Fractions of a second, event types and rows without times survive Parquet, within a memory limit, too.
#[test]
fn parquet_keeps_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "user,item,time\n1,2,1402129218.25\n1,2,1402129218.5\n1,3,1402129218\n",
        "user,item,time,event\n1,2,1402129218,view\n1,2,1402129218,buy\n1,3,1402129219,\n",
        "user,item,rating\n1,2,3\n2,3,4\n",
    ];
    for (at, text) in texts.iter().enumerate() {
        let log =
            Log { what: "", file: "log.csv", bytes: text.as_bytes().to_vec(), options: "", expected: "" };
        let (table, _) = outcome(&log, folder.path()).unwrap();
        let parquet = folder.path().join(format!("{at}.parquet"));
        foretaste_data::store::write_interactions(&table, &parquet).unwrap();
        let (again, _) = read(&parquet, &options("")).unwrap();
        assert_eq!(rows(&again), rows(&table));
        let bounded = folder.path().join(format!("{at}-bounded.parquet"));
        foretaste_data::bounded::convert(
            &folder.path().join("log.csv"),
            &options(""),
            None,
            &bounded,
            foretaste_data::bounded::LEAST,
            &mut |_| true,
        )
        .unwrap();
        assert!(std::fs::read(&bounded).unwrap() == std::fs::read(&parquet).unwrap(), "{text}");
    }
}

/// Further columns are refused within a memory limit, whatever the format, and can be left out.
#[test]
fn further_columns_within_a_memory_limit() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        ("log.csv", "user,item,mood\n1,2,good\n"),
        ("log.jsonl", "{\"user\": 1, \"item\": 2, \"mood\": \"good\"}\n"),
    ];
    for (name, text) in texts {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let bounded = folder.path().join(format!("{name}.parquet"));
        let convert = |words: &str| {
            let options = options(words);
            let limit = foretaste_data::bounded::LEAST;
            foretaste_data::bounded::convert(&path, &options, None, &bounded, limit, &mut |_| true)
        };
        let told = convert("").unwrap_err().to_string();
        assert!(told.contains("further columns") && told.contains("no_further"), "{told}");
        assert!(!bounded.exists());
        convert("no-further").unwrap();
        let (table, _) = read(&path, &options("no-further")).unwrap();
        assert!(table.extra.is_empty());
        let parquet = folder.path().join("whole.parquet");
        foretaste_data::store::write_interactions(&table, &parquet).unwrap();
        assert!(std::fs::read(&bounded).unwrap() == std::fs::read(&parquet).unwrap());
    }
}

/// A folder's tables of one format are read; what is left out is said, and two formats are of no one log.
#[test]
fn folders_of_several_formats() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.csv", "user,item\n1,2\n");
    write("b.csv", "user,item\n1,3\n");
    write("._a.csv", "left by a system");
    write("about.json", "{\"title\": \"clicks\"}\n");
    let (table, report) = read(folder.path(), &options("")).unwrap();
    assert_eq!(table.len(), 2);
    assert!(
        report.remarks.iter().any(|remark| remark.ends_with("left out: about.json")),
        "{:?}",
        report.remarks
    );
    write("c.jsonl", "{\"user\": 1, \"item\": 4}\n");
    let told = read(folder.path(), &options("")).unwrap_err().to_string();
    assert!(told.contains("several formats") && told.contains("c.jsonl"), "{told}");
    let (table, report) = read(folder.path(), &options("format=csv")).unwrap();
    assert_eq!(table.len(), 2);
    assert!(report.remarks.iter().any(|remark| remark.ends_with("left out: about.json, c.jsonl")));
}

/// A bad line goes whole into the rejects file, so that it can be mended.
#[test]
fn rejects_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(500);
    let text = format!("user,item,note\n1,2,\n,\"3\",\"{long}\"\n");
    let log = Log { what: "", file: "log.csv", bytes: text.into_bytes(), options: "skip=1", expected: "" };
    let report = outcome(&log, folder.path()).unwrap().1;
    let rejects = std::fs::read_to_string(report.rejects.unwrap()).unwrap();
    assert!(rejects.ends_with(&format!("\tempty id\t,\"3\",\"{long}\"\n")), "{rejects}");
}

/// Compressed and archived logs are known by their bytes, and what macOS adds to an archive is not read.
#[test]
fn packed_logs() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"user,item\n1,2\n").unwrap();
    let path = folder.path().join("clicks.csv");
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    assert_eq!(read(&path, &options("")).unwrap().0.len(), 1);
    let path = folder.path().join("clicks.zip");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, text) in [("__MACOSX/._clicks.csv", "\0\x05"), ("clicks.csv", "user,item\n1,2\n")] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    assert_eq!(read(&path, &options("")).unwrap().0.len(), 1);
}

/// Bad lines never go where the log is, also through a link.
#[test]
fn the_rejects_file_is_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "user,item\n1,2\n,3\n").unwrap();
    let mut places = vec![path.clone()];
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        places.push(link);
    }
    for place in places {
        let options = ReadOptions { rejects: Some(place), ..options("skip=5") };
        let told = read(&path, &options).unwrap_err().to_string();
        assert!(told.contains("is the input"), "{told}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"user,item\n1,2\n,3\n");
}

/// A log is what it says, in whatever order its lines stand and whatever unit its times have.
#[test]
fn shuffled_lines_and_other_units_are_the_same_log() {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    let folder = tempfile::tempdir().unwrap();
    let hash = |lines: &[String], words: &str| {
        let path = folder.path().join("log.csv");
        std::fs::write(&path, format!("user,item,rating,timestamp\n{}\n", lines.join("\n"))).unwrap();
        read(&path, &options(words)).unwrap().0.content_hash()
    };
    let lines = |per_second: i64| -> Vec<String> {
        let line = |row: i64| {
            format!("{},{},{},{}", row % 23, row % 31, row % 5, (1_400_000_000 + row) * per_second)
        };
        (0..2000).map(line).collect()
    };
    let told = hash(&lines(1), "");
    assert_eq!(hash(&lines(1000), "unit=ms"), told);
    assert_eq!(hash(&lines(1_000_000_000), "unit=ns"), told);
    let mut shuffled = lines(1);
    shuffled.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
    assert_eq!(hash(&shuffled, ""), told);
}

/// What needs times is refused by name for a log without; the rest works.
#[test]
fn splits_without_times() {
    use foretaste_data::SplitRule;
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..40).map(|row| format!("{},{},{}\n", row % 5, row / 5, 1 + row % 3)).collect();
    let log = Log {
        what: "",
        file: "log.csv",
        bytes: format!("user,item,rating\n{text}").into_bytes(),
        options: "",
        expected: "",
    };
    let (table, _) = outcome(&log, folder.path()).unwrap();
    for rule in [
        SplitRule::HoldOut { test: 0.2 },
        SplitRule::KFold { folds: 4, fold: 1 },
        SplitRule::HeldUsers { users: 0.4, asked: 0.2 },
    ] {
        assert!(rule.split(&table, 0, 0.0).is_ok(), "{}", rule.name());
    }
    for rule in [
        SplitRule::Cut { test: 0.1 },
        SplitRule::LeaveLast { test: 1 },
        SplitRule::LastSession { gap: 60 },
        SplitRule::PerUserShare { train: 0.7 },
    ] {
        let told = rule.split(&table, 0, 0.0).unwrap_err().to_string();
        assert!(told.contains("needs times") && told.contains("ColumnMapping::timestamp"), "{told}");
    }
}
