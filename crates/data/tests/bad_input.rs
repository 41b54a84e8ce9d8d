//! Malformed inputs: each has its message, none panics, none leaves a file behind.
//!
//! The messages are a golden file: `INSTA_UPDATE=always cargo xtask test` writes it anew.

use foretaste_data::{DataError, Format, IdleGaps, Manifest, ReadOptions, catalogue, read, store};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// 2026-01-01.
const NOW: i64 = 1_767_225_600;

fn options() -> ReadOptions {
    ReadOptions { now: Some(NOW), ..ReadOptions::default() }
}

fn scaled() -> ReadOptions {
    ReadOptions { scale: Some((1.0, 5.0)), ..options() }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const DAT: &str = "1::10::5::978300760\n1::11::3::978302109\n2::10::4::978301968\n";

/// A Parquet file of another writer.
fn foreign(columns: Vec<(&str, arrow_array::ArrayRef)>) -> Vec<u8> {
    let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Name of the file, its bytes, and how it is read.
#[allow(clippy::too_many_lines)] // A table of cases.
fn cases() -> Vec<(&'static str, &'static str, Vec<u8>, ReadOptions)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let truncated_gzip = {
        let long: String = (0..5_000).map(|i| format!("{i}::{}::3::978300760\n", i * 7919 % 1009)).collect();
        let whole = gzip(&long);
        whole[..whole.len() / 2].to_vec()
    };
    let cut_parquet = {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ratings.dat"), DAT).unwrap();
        let (table, _) = read(&folder.path().join("ratings.dat"), &options()).unwrap();
        store::write_interactions(&table, &folder.path().join("x.parquet")).unwrap();
        let whole = std::fs::read(folder.path().join("x.parquet")).unwrap();
        whole[..whole.len() - 20].to_vec()
    };
    let numbers = || -> arrow_array::ArrayRef { Arc::new(arrow_array::Int64Array::from(vec![1, 2])) };
    let words =
        || -> arrow_array::ArrayRef { Arc::new(arrow_array::StringArray::from(vec!["yesterday", "today"])) };
    let lists = || -> arrow_array::ArrayRef {
        Arc::new(arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>([
            Some([Some(1)]),
            Some([Some(2)]),
        ]))
    };
    let named = |format: Format| ReadOptions { format: Some(format), ..options() };
    let column = |user: &str| ReadOptions {
        columns: foretaste_data::ColumnMapping { user: Some(user.into()), ..Default::default() },
        ..options()
    };
    vec![
        ("truncated gzip", "ratings.dat.gz", truncated_gzip, options()),
        ("no gzip at all", "ratings.dat.gz", text(DAT), options()),
        ("no zstd at all", "ratings.dat.zst", text(DAT), options()),
        ("no zip at all", "ml.zip", text(DAT), options()),
        ("no tar at all", "nf.tar", text("hello"), options()),
        ("wrong delimiter", "ratings.dat", text("1,10,5,978300760\n"), options()),
        ("one colon", "ratings.dat", text("1:10:5:978300760\n"), options()),
        ("empty file", "ratings.dat", text(""), options()),
        ("only blank lines", "ratings.dat", text("\n\n  \n"), options()),
        ("empty CSV", "ratings.csv", text(""), options()),
        ("header alone", "ratings.csv", text("userId,movieId,rating,timestamp\n"), options()),
        ("missing column", "ratings.csv", text("userId,rating,timestamp\n1,5,978300760\n"), options()),
        ("mapped column is not there", "x.csv", text("u,item,rating,timestamp\n1,2,3,4\n"), column("who")),
        ("too few fields", "ratings.dat", text("1::10::5::978300760\n1::11::3\n"), options()),
        ("too many fields", "x.csv", text("user,item,rating,timestamp\n1,10,3,5,978300760\n"), options()),
        ("rating 11", "ratings.dat", text("1::10::11::978300760\n"), scaled()),
        ("rating -1", "ratings.dat", text("1::10::-1::978300760\n"), scaled()),
        ("rating is a word", "ratings.dat", text("1::10::good::978300760\n"), options()),
        ("rating is NaN", "ratings.dat", text("1::10::NaN::978300760\n"), options()),
        ("rating is empty", "ratings.dat", text("1::10::::978300760\n"), options()),
        ("negative time", "ratings.dat", text("1::10::5::-3\n"), options()),
        ("milliseconds", "ratings.dat", text("1::10::5::978300760000\n"), options()),
        ("time is a word", "u.data", text("1\t10\t5\tyesterday\n"), options()),
        ("empty user", "ratings.dat", text("::10::5::978300760\n"), options()),
        ("blank item", "ratings.csv", text("userId,movieId,rating,timestamp\n1, ,5,978300760\n"), options()),
        ("NUL bytes", "ratings.dat", b"1::10::5::978300760\n1\0::11::3::978302109\n".to_vec(), options()),
        ("not UTF-8", "x.csv", b"user,item,rating,timestamp\nJos\xe9,2,3,978300760\n".to_vec(), options()),
        ("UTF-16", "x.csv", b"\xff\xfeu\0s\0e\0r\0".to_vec(), named(Format::MovieLensDat)),
        (
            "a quote that swallows rows",
            "x.csv",
            text("user,item,rating,timestamp\n1,\"two,3,978300760\n2,\"x, y\",3,978300760\n"),
            ReadOptions { skip_bad_rows: 9, ..options() },
        ),
        (
            "text behind a quote",
            "x.csv",
            text("user,item,rating,timestamp\n1,\"two, a\" b,3,978300760\n1,\"x, y\",3,978300760\n"),
            options(),
        ),
        (
            "a quote that never closes",
            "x.csv",
            text("user,item,rating,timestamp\n1,\"x, y\",3,978300760\n1,\"two, z,3,978300760"),
            options(),
        ),
        (
            "day or month first",
            "x.csv",
            text("user,item,rating,date\n1,2,3,6/7/2014 8:20:18 AM\n"),
            options(),
        ),
        ("a first row as names", "x.csv", text("1,2,3,978300760\n1,3,3,978300761\n"), options()),
        (
            "names of a first row",
            "x.csv",
            text("ann,x,978300760\nbob,y,978300761\n"),
            ReadOptions {
                columns: foretaste_data::ColumnMapping {
                    user: Some("ann".into()),
                    item: Some("x".into()),
                    timestamp: Some("978300760".into()),
                    ..Default::default()
                },
                ..options()
            },
        ),
        (
            "a header or a row",
            "x.txt",
            text("alice alien\nbob matrix\n"),
            ReadOptions {
                columns: foretaste_data::ColumnMapping {
                    user: Some("1".into()),
                    item: Some("2".into()),
                    ..Default::default()
                },
                ..options()
            },
        ),
        (
            "one column in two roles",
            "x.csv",
            text("who,item,rating,timestamp\n1,2,3,978300760\n"),
            ReadOptions {
                columns: foretaste_data::ColumnMapping {
                    user: Some("who".into()),
                    item: Some("who".into()),
                    ..Default::default()
                },
                ..options()
            },
        ),
        (
            "as many names as columns",
            "x.csv",
            text("1,2,3,978300760\n"),
            ReadOptions { names: Some(vec!["user".into(), "item".into()]), ..options() },
        ),
        ("no line ends", "x.csv", "user,item ".repeat(200_000).into_bytes(), options()),
        ("missing values as ids", "x.csv", text("user,item\nNULL,2\n"), options()),
        ("no JSON", "x.jsonl", text("user,item\n1,2\n"), options()),
        (
            "a JSON line that is none",
            "x.jsonl",
            text("{\"user\": 1, \"item\": 2}\n{\"user\": 1,\n"),
            options(),
        ),
        ("a JSON array", "x.json", text("[{\"user\": 1, \"item\": 2}]\n"), options()),
        ("a binary file", "ratings.dat", vec![0x7f, b'E', b'L', b'F', 0, 1, 2, 3], options()),
        ("unknown ending", "ratings.xlsx", text("PK"), options()),
        (
            "Netflix: rating before a movie",
            "mv_0000001.txt",
            text("1488844,3,2005-09-06\n1:\n1,2,2005-09-06\n"),
            scaled(),
        ),
        ("Netflix: no such date", "mv_0000001.txt", text("1:\n1488844,3,2005-02-30\n"), scaled()),
        ("Netflix: rating 7", "mv_0000001.txt", text("1:\n1488844,7,2005-09-06\n"), scaled()),
        ("Netflix: movie is a word", "mv_0000001.txt", text("one:\n1488844,7,2005-09-06\n"), scaled()),
        ("Netflix: user is a word", "mv_0000001.txt", text("1:\nbob,3,2005-09-06\n"), scaled()),
        ("cut Parquet", "x.parquet", cut_parquet, options()),
        (
            "foreign Parquet, times in words",
            "x.parquet",
            foreign(vec![("user", numbers()), ("item", numbers()), ("timestamp", words())]),
            options(),
        ),
        (
            "foreign Parquet, ratings in words",
            "x.parquet",
            foreign(vec![
                ("user", words()),
                ("item", words()),
                ("rating", words()),
                ("timestamp", numbers()),
            ]),
            options(),
        ),
        (
            "foreign Parquet, users in lists",
            "x.parquet",
            foreign(vec![("user", lists()), ("item", words()), ("timestamp", numbers())]),
            options(),
        ),
        ("no Parquet at all", "x.parquet", text(DAT), options()),
    ]
}

fn message(error: &DataError, folder: &Path) -> String {
    error
        .to_string()
        .replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn every_malformed_input_has_its_message() {
    let mut golden = String::new();
    for (what, name, bytes, options) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &options).map(|_| ()).expect_err(what);
        let _ = writeln!(golden, "{what}:\n  {}\n", message(&error, folder.path()).replace('\n', "\n  "));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{what} left a file behind");
    }
    insta::assert_snapshot!(golden);
}

#[test]
fn places_that_cannot_be_read_have_their_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut golden = String::new();
    let mut tell = |what: &str, error: DataError| {
        let _ = writeln!(golden, "{what}:\n  {}\n", message(&error, folder.path()).replace('\n', "\n  "));
    };
    tell("no such file", read(&folder.path().join("nothing.csv"), &options()).map(|_| ()).unwrap_err());
    tell("an empty folder", read(folder.path(), &options()).map(|_| ()).unwrap_err());
    let parquet = ReadOptions { format: Some(Format::Parquet), ..options() };
    std::fs::write(folder.path().join("a.csv"), "user,item,rating,timestamp\n1,2,3,4\n").unwrap();
    std::fs::write(folder.path().join("b.csv"), "item,user,rating,timestamp\n1,2,3,4\n").unwrap();
    tell("two files with other headers", read(folder.path(), &options()).map(|_| ()).unwrap_err());
    std::fs::write(folder.path().join("c.csv"), "user,item,rating,timestamp,mood\n1,2,3,4,5\n").unwrap();
    let (mut table, _) = read(&folder.path().join("c.csv"), &options()).unwrap();
    // A reader gives it another name.
    table.extra[0].0 = "timestamp".into();
    tell(
        "a second time stamp column",
        store::write_interactions(&table, &folder.path().join("c.parquet")).unwrap_err(),
    );
    tell("a folder as Parquet", read(folder.path(), &parquet).map(|_| ()).unwrap_err());
    let parts = folder.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    let plain = |text: &str| {
        std::fs::write(folder.path().join("d.csv"), text).unwrap();
        read(&folder.path().join("d.csv"), &options()).unwrap().0
    };
    store::write_interactions(&plain("user,item,rating,timestamp\n1,2,3,4\n"), &parts.join("part-0.parquet"))
        .unwrap();
    store::write_interactions(
        &plain("user,item,rating,timestamp,colour\n1,2,3,4,red\n"),
        &parts.join("part-1.parquet"),
    )
    .unwrap();
    tell("parts with other columns", read(&parts, &options()).map(|_| ()).unwrap_err());
    std::fs::create_dir(parts.join("_temporary")).unwrap();
    tell("the folder of a job that has not ended", read(&parts, &options()).map(|_| ()).unwrap_err());
    tell("a folder as an item table", catalogue::read(folder.path()).unwrap_err());
    tell(
        "a data set's folder without its files",
        Manifest::find("ml-1m").unwrap().locate(folder.path()).unwrap_err(),
    );
    insta::assert_snapshot!(golden);
}

/// As root nothing is forbidden, so the thread switches to another file-system user for the test.
#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code)]
fn no_permission_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.dat");
    std::fs::write(&path, DAT).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let told = std::thread::spawn(move || {
        // Of this thread (and those it starts) alone; the test's thread keeps its rights.
        unsafe { libc::setfsuid(65_534) };
        read(&path, &options()).map(|_| ()).unwrap_err().to_string()
    });
    let told = told.join().unwrap();
    assert!(told.contains("ratings.dat: cannot open: Permission denied"), "{told}");
}

/// A full device is reported as such, and neither the file nor a part of it remains.
#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code)]
fn a_full_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("ratings.dat");
    let long: String = (0..60_000)
        .map(|i| {
            format!("{}::{}::{}::{}\n", i / 20, i * 7919 % 5003, 1 + i % 5, 978_300_760 + i * 7919 % 90_001)
        })
        .collect();
    std::fs::write(&input, long).unwrap();
    let (table, _) = read(&input, &options()).unwrap();
    let out = folder.path().join("sessions.parquet");
    let gaps = IdleGaps::talk();
    // A process of its own, since the limit on file sizes is the process'. A write beyond it fails
    // with "file too large" where a full disk says "no space left": the same path through our code.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let limit = libc::rlimit { rlim_cur: 40_000, rlim_max: 40_000 };
        let failed = unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            // One thread, this one: rayon's workers did not survive the fork.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
            pool.install(|| store::write_sessions(&table, &gaps, &out)).map_err(|e| e.to_string())
        };
        let expected = matches!(&failed, Err(message) if message.contains("sessions.parquet")
            && message.contains("File too large"));
        unsafe { libc::_exit(i32::from(!expected)) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child saw another outcome than the message");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the input is there");
}

#[test]
fn bad_rows_move_into_the_rejects_file_up_to_the_allowed_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.dat");
    std::fs::write(&path, "1::10::5::978300760\nbroken\n1::11::9::978302109\n2::10::4::978301968\n").unwrap();
    let rejects = folder.path().join("rejects.txt");
    let with = |allowed| ReadOptions { skip_bad_rows: allowed, rejects: Some(rejects.clone()), ..scaled() };
    let error = read(&path, &with(1)).unwrap_err().to_string();
    assert!(error.contains("ratings.dat:3") && error.contains("more than the 1 lines allowed"), "{error}");
    assert!(!rejects.exists(), "nothing is written when the limit is passed");
    let (table, report) = read(&path, &with(2)).unwrap();
    assert_eq!((table.len(), report.rejected, report.rejects), (2, 2, Some(rejects.clone())));
    let text = std::fs::read_to_string(&rejects).unwrap();
    assert!(
        text.contains("ratings.dat:2\ttoo few fields\tbroken\n")
            && text.contains("ratings.dat:3\trating off the scale"),
        "{text}"
    );
}

/// Line numbers count through blocks, whatever their size and the number of threads.
#[test]
fn line_numbers_are_right_far_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.dat");
    let mut text: String = (0..200_000).map(|i| format!("{i}::{}::3::978300760\n", i % 977)).collect();
    text.push_str("oops\n");
    std::fs::write(&path, text).unwrap();
    let error = read(&path, &options()).unwrap_err().to_string();
    assert!(error.contains("ratings.dat:200001"), "{error}");
}
