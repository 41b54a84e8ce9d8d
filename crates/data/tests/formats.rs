//! Every supported format and wrapping gives the same interactions.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use foretaste_data::{
    Format, Histories, IdleGaps, Interactions, Manifest, ReadOptions, Role, SplitRule, read, sessions,
    split::Window, store,
};
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};

/// (user, item, rating, date) rows; dates, since the Netflix Prize knows no seconds.
const ROWS: [(u32, u32, u32, &str); 6] = [
    (7, 1, 3, "2005-09-06"),
    (7, 2, 5, "2005-12-01"),
    (8, 1, 4, "2005-05-13"),
    (8, 3, 1, "2005-05-14"),
    (12, 3, 2, "2003-01-02"),
    (12, 1, 5, "2003-01-03"),
];

fn seconds(date: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| date[range].parse::<u32>().unwrap();
    foretaste_data::days_from_civil(i64::from(part(0..4)), part(5..7), part(8..10)).unwrap() * 86_400
}

fn lines(f: impl Fn(u32, u32, u32, i64) -> String) -> String {
    ROWS.iter().map(|(u, i, r, d)| f(*u, *i, *r, seconds(d))).collect()
}

fn netflix(movie: u32) -> String {
    let ratings: String =
        ROWS.iter().filter(|r| r.1 == movie).map(|(u, _, r, d)| format!("{u},{r},{d}\n")).collect();
    format!("{movie}:\n{ratings}")
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn load(path: &Path) -> Interactions {
    read(path, &ReadOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display())).0
}

fn assert_equal(path: &Path, expected: &Interactions) {
    let found = load(path);
    assert_eq!(found.content_hash(), expected.content_hash(), "{}", path.display());
    assert_eq!(found.user_ids.iter().collect::<Vec<_>>(), ["7", "8", "12"], "ids in canonical order");
}

#[test]
#[allow(clippy::too_many_lines)] // One log in every format.
fn all_formats_agree() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path();
    let dat = lines(|u, i, r, t| format!("{u}::{i}::{r}::{t}\n"));
    let expected = load(&file(f, "a/ratings.dat", dat.as_bytes()));
    assert_eq!(expected.len(), 6);

    assert_equal(
        &file(f, "b/u.data", lines(|u, i, r, t| format!("{u}\t{i}\t{r}\t{t}\n")).as_bytes()),
        &expected,
    );
    let csv =
        format!("userId,movieId,rating,timestamp\n{}", lines(|u, i, r, t| format!("{u},{i},{r}.0,{t}\n")));
    assert_equal(&file(f, "c/ratings.csv", csv.as_bytes()), &expected);
    assert_equal(&f.join("c"), &expected);
    file(f, "c/genome-scores.csv", b"movieId,tagId,relevance\n1,1,0.5\n");
    assert_equal(&f.join("c"), &expected);
    let inter = format!(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n{}",
        lines(|u, i, r, t| format!("{u}\t{i}\t{r}.0\t{t}.0\n"))
    );
    assert_equal(&file(f, "x.inter", inter.as_bytes()), &expected);
    let personalize = format!(
        "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n{}",
        lines(|u, i, r, t| format!("{u},{i},{t},watch,{r}\n"))
    );
    let path = file(f, "personalize.csv", personalize.as_bytes());
    assert_equal(&path, &expected);
    let events = load(&path).event_types.unwrap();
    assert_eq!((events.names.name(0), events.codes), ("watch", vec![0; 6]));
    // CRLF, a byte order mark, quotes, blank lines and a missing last line end change nothing.
    let odd = format!("\u{feff}{}", csv.replace('\n', "\r\n").replace("7,1,", "\"7\",\"1\",").trim_end());
    assert_equal(&file(f, "d/ratings.csv", format!("{odd}\r\n\r\n").as_bytes()), &expected);
    assert_equal(&file(f, "e/ratings.csv", odd.as_bytes()), &expected);

    // Compressed, and in archives.
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(dat.as_bytes()).unwrap();
    assert_equal(&file(f, "g/ratings.dat.gz", &gz.finish().unwrap()), &expected);
    assert_equal(&file(f, "h/ratings.dat.zst", &zstd::encode_all(dat.as_bytes(), 3).unwrap()), &expected);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in
        [("ml/README", "hello"), ("ml/ratings.dat", &dat), ("ml/movies.dat", "1::A (1990)::Drama\n")]
    {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    assert_equal(&file(f, "ml.zip", &zip.finish().unwrap().into_inner()), &expected);

    // The Netflix Prize: a folder, combined files, the tar, and the tar within the tar.
    for movie in 1..=3 {
        file(f, &format!("nf/training_set/mv_000000{movie}.txt"), netflix(movie).as_bytes());
    }
    assert_equal(&f.join("nf/training_set"), &expected);
    assert_equal(&f.join("nf"), &expected);
    file(f, "combined/combined_data_1.txt", format!("{}{}", netflix(1), netflix(2)).as_bytes());
    file(f, "combined/combined_data_2.txt", netflix(3).as_bytes());
    assert_equal(&f.join("combined"), &expected);
    let tar = |members: &[(&str, Vec<u8>)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let names = ["training_set/mv_0000001.txt", "training_set/mv_0000002.txt", "training_set/mv_0000003.txt"];
    let inner = tar(&names.iter().zip(1..).map(|(n, m)| (*n, netflix(m).into_bytes())).collect::<Vec<_>>());
    assert_equal(&file(f, "training_set.tar", &inner), &expected);
    assert_equal(
        &file(
            f,
            "nf_prize_dataset.tar",
            &tar(&[("download/probe.txt", b"1:\n7\n".to_vec()), ("download/training_set.tar", inner)]),
        ),
        &expected,
    );

    // Our own Parquet, both schemas, and Parquet with columns by other names.
    store::write_interactions(&expected, &f.join("i.parquet")).unwrap();
    assert_equal(&f.join("i.parquet"), &expected);
    let gaps: IdleGaps = "1m,1d".parse().unwrap();
    store::write_sessions(&expected, &gaps, &f.join("s.parquet")).unwrap();
    assert_equal(&f.join("s.parquet"), &expected);
    assert_eq!(store::idle_gaps(&f.join("s.parquet")).unwrap(), Some(gaps));
    assert_eq!(store::idle_gaps(&f.join("i.parquet")).unwrap(), None);

    // A folder of parts, as engines write them, with what else they leave there.
    let (first, second) = expected.user_ids.iter().partition::<Vec<&str>, _>(|name| *name != "8");
    for (part, users) in [("part-00000-a.snappy.parquet", second), ("part-00001-b.snappy.parquet", first)] {
        let part = file(f, &format!("parts/{part}"), b"");
        store::write_interactions(&expected.of_users(|name| users.contains(&name)).unwrap(), &part).unwrap();
    }
    for other in ["_SUCCESS", ".part-00000-a.snappy.parquet.crc", "_committed.parquet"] {
        file(f, &format!("parts/{other}"), b"");
    }
    assert_equal(&f.join("parts"), &expected);
}

#[test]
fn sessions_of_other_engines_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.parquet"), folder.path().join("theirs.parquet"));
    let gaps: IdleGaps = "1m,1d".parse().unwrap();
    let table = load(&file(
        folder.path(),
        "ratings.dat",
        lines(|u, i, r, t| format!("{u}::{i}::{r}::{t}\n")).as_bytes(),
    ));
    store::write_sessions(&table, &gaps, &ours).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        std::fs::File::open(&ours).unwrap(),
    )
    .unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let written = |batches: Vec<arrow_array::RecordBatch>| {
        let mut batches = batches.into_iter();
        store::write_session_batches(&theirs, &gaps, &mut || Ok(batches.next())).map_err(|e| e.to_string())
    };
    assert_eq!(written(vec![batch.slice(0, 2), batch.slice(2, 4)]), Ok(6));
    assert_equal(&theirs, &table);
    assert_eq!(store::idle_gaps(&theirs).unwrap(), Some(gaps.clone()));
    std::fs::remove_file(&theirs).unwrap();
    // A worker was lost, and the rows came twice.
    assert!(written(vec![batch.slice(0, 4), batch.clone()]).unwrap_err().contains("out of order"));
    assert!(written(vec![batch.project(&[0, 1, 2]).unwrap()]).unwrap_err().contains("hand over the columns"));
    assert!(!theirs.exists());
}

#[test]
fn columns_can_be_named_and_further_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "log.tsv",
        b"who\tdevice\twhat\twhen\tstars\nb\tphone\tx\t2000\t4\na\t\ty\t1000\t5\n",
    );
    let columns = foretaste_data::ColumnMapping {
        user: Some("who".into()),
        item: Some("what".into()),
        timestamp: Some("when".into()),
        value: Some("stars".into()),
        event_type: None,
    };
    let options = ReadOptions { columns, time_unit: foretaste_data::TimeUnit::Ms, ..ReadOptions::default() };
    let (table, _) = read(&path, &options).unwrap();
    assert_eq!((table.timestamps.all().to_vec(), table.values.all().to_vec()), (vec![1, 2], vec![5.0, 4.0]));
    store::write_interactions(&table, &folder.path().join("x.parquet")).unwrap();
    let again = load(&folder.path().join("x.parquet"));
    let (name, device) = &again.extra[0];
    let device = AsArray::as_string::<i32>(device.as_ref());
    assert_eq!((name.as_str(), device.value(1)), ("device", "phone"));
    assert!(arrow_array::Array::is_null(device, 0));
}

/// Ids cost by their number, never by their size.
#[test]
fn ids_may_lie_far_apart() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<u128> = (0..3000)
        .map(|row: u128| row * 1_000_000_007 * if row.is_multiple_of(2) { 1 } else { 1_000_000_009_000 })
        .collect();
    let text: String = ids.iter().map(|id| format!("{id}::{}::3::978300760\n", id / 7)).collect();
    let table = load(&file(folder.path(), "ratings.dat", text.as_bytes()));
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(table.user_ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<u128>>(), sorted);
    assert_eq!((table.len(), table.users[0], table.users[2999]), (3000, 0, 2999));
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = load(&file(folder.path(), "ratings.dat", b"1::2::3::4\n"));
    let path = folder.path().join("x.parquet");
    store::write_interactions(&table, &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"interactions/1";
    let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    bytes[at + needle.len() - 1] = b'7';
    std::fs::write(&path, bytes).unwrap();
    let error = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("interactions/7") && error.contains("update foretaste"), "{error}");
}

#[test]
fn a_data_sets_own_folds_split_it() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path();
    let rows: Vec<String> =
        (0..20).map(|i| format!("{}\t{}\t{}\t{}\n", i / 5 + 1, i % 7 + 1, i % 5 + 1, 1000 + i)).collect();
    let data = load(&file(f, "u.data", rows.concat().as_bytes()));
    let test = file(f, "u1.test", rows[3..7].concat().as_bytes());
    let rule = SplitRule::FoldFile { test: test.clone(), reading: Box::default() };
    let split = rule.split(&data, 0, 0.0).unwrap();
    let tested: Vec<usize> = (0..20).filter(|r| split.roles[*r] == Role::Test).collect();
    assert_eq!(tested, [3, 4, 5, 6]);
    file(f, "u1.test", b"99\t1\t1\t1000\n");
    assert!(rule.split(&data, 0, 0.0).unwrap_err().to_string().contains("does not know"));
    file(f, "u1.test", b"1\t1\t1\t77\n");
    assert!(rule.split(&data, 0, 0.0).unwrap_err().to_string().contains("holds only 0"));
}

/// Random ratings in the Netflix format around the windows' edges, split by the published rule as it
/// is written in `netflix_data_convert.py`, row by row.
#[test]
fn netflix_windows_follow_the_published_rule() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 12_345_u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for movie in 1..=30 {
        let mut text = format!("{movie}:\n");
        for user in 1..=60 {
            if draw(3) > 0 {
                continue;
            }
            let days = foretaste_data::days_from_civil(1999, 11, 25).unwrap() + draw(2_230) as i64;
            // Every third rating lies within a week of one of the edges.
            let edges = [
                (1999, 12, 1),
                (2004, 6, 1),
                (2005, 5, 31),
                (2005, 6, 30),
                (2005, 9, 1),
                (2005, 11, 30),
                (2005, 12, 31),
            ];
            let (y, m, d) = edges[draw(7) as usize];
            let days = if draw(3) == 0 {
                foretaste_data::days_from_civil(y, m, d).unwrap() + draw(5) as i64 - 2
            } else {
                days
            };
            text.push_str(&format!(
                "{user},{},{}\n",
                draw(5) + 1,
                foretaste_data::format_date(days * 86_400)
            ));
        }
        file(folder.path(), &format!("mv_{movie:07}.txt"), text.as_bytes());
    }
    let data = load(folder.path());
    for window in Window::ALL {
        let roles = SplitRule::Window(window).split(&data, 4, 0.0).unwrap().roles;
        let [first, last, test_first, test_last] =
            window.days().map(|(y, m, d)| foretaste_data::days_from_civil(y, m, d).unwrap() * 86_400);
        let in_train = |r: usize| data.timestamps.at(r) >= first && data.timestamps.at(r) <= last;
        let in_test = |r: usize| data.timestamps.at(r) >= test_first && data.timestamps.at(r) <= test_last;
        let (mut held, mut seen) = ([0, 0], 0);
        for row in 0..data.len() {
            let user_trains = (0..data.len()).any(|r| data.users[r] == data.users[row] && in_train(r));
            let item_trains = (0..data.len()).any(|r| data.items[r] == data.items[row] && in_train(r));
            match roles[row] {
                Role::Train => assert!(in_train(row)),
                Role::Validation | Role::Test => {
                    assert!(in_test(row) && user_trains && item_trains);
                    held[usize::from(roles[row] == Role::Test)] += 1;
                }
                Role::Given => panic!("windows give nothing"),
                Role::Unused => assert!(!(in_train(row) || (in_test(row) && user_trains && item_trains))),
            }
            seen += usize::from(in_train(row));
        }
        assert!(seen > 20 && held[0] > 0 && held[1] > 0, "{}: {seen} {held:?}", window.name());
    }
}

/// The real samples, where they are.
#[test]
fn real_files_have_their_counts() {
    let root = std::env::var_os("FORETASTE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if !root.join("ml-1m").is_dir() {
        eprintln!("skipped: no data");
        return;
    }
    let manifest = Manifest::find("ml-1m").unwrap();
    let (table, report, differences) = manifest.load(&root.join("ml-1m")).unwrap();
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!((report.duplicates, report.rejected), (0, 0));
    let stars: Vec<usize> =
        (1..=5).map(|s| table.values.iter().filter(|v| **v == s as f32).count()).collect();
    assert_eq!(stars, [56_174, 107_557, 261_197, 348_971, 226_310]);
    let movies = foretaste_data::catalogue::read(&root.join("ml-1m/movies.dat")).unwrap();
    assert_eq!(movies.num_rows(), 3_883);
    let (netflix, report) =
        read(&root.join("netflix-sample"), &Manifest::find("netflix").unwrap().read_options().unwrap())
            .unwrap();
    assert_eq!((netflix.n_items(), report.files, netflix.len()), (10, 10, 20_352));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sessions written are sessions computed, and interactions come back as they were.
    #[test]
    fn stores_round_trip(rows in proptest::collection::vec((0_u32..6, 0_u32..9, 0_i64..100_000, 1_u8..6),
        1..80)) {
        let folder = tempfile::tempdir().unwrap();
        let text: String = rows.iter().map(|(u, i, t, r)| format!("{u}::{i}::{r}::{t}\n")).collect();
        let table = load(&file(folder.path(), "ratings.dat", text.as_bytes()));
        let gaps = IdleGaps::new(vec![500, 9_000]).unwrap();
        let path = folder.path().join("s.parquet");
        store::write_sessions(&table, &gaps, &path).unwrap();
        prop_assert_eq!(load(&path).content_hash(), table.content_hash());
        let file = std::fs::File::open(&path).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap()
            .build().unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let histories = Histories::new(table.user_offsets(), table.items.clone(), table.values.clone(),
            table.timestamps.clone(), table.n_items());
        let marks = histories.marks(&gaps);
        for level in 0..2 {
            let written: Vec<i32> = batches.iter().flat_map(|b| {
                b.column_by_name(&format!("session_{level}")).unwrap().as_primitive::<Int32Type>().values()
                    .to_vec()
            }).collect();
            prop_assert_eq!(&written, &sessions::numbers(&marks, histories.offsets(), level));
            let begins: Vec<bool> = batches.iter().flat_map(|b| {
                AsArray::as_boolean(b.column_by_name(&format!("new_session_{level}"))
                    .unwrap().as_ref()).iter().map(Option::unwrap).collect::<Vec<_>>()
            }).collect();
            prop_assert_eq!(begins, marks.iter().map(|m| usize::from(*m) > level).collect::<Vec<_>>());
        }
    }

    /// No bytes whatever make a reader panic.
    #[test]
    fn readers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0_usize..8) {
        let folder = tempfile::tempdir().unwrap();
        let name = ["ratings.dat", "ratings.csv", "u.data", "x.inter", "mv_1.txt", "x.parquet", "x.zip",
            "x.tar"][which];
        let _ = read(&file(folder.path(), name, &bytes), &ReadOptions::default());
        let text = [b"1:\n2,3,2005-01-01\nuser,item,rating,timestamp\n1\t2\t3\t4\n".as_slice(),
            &bytes].concat();
        let _ = read(&file(folder.path(), name, &text), &ReadOptions { format: Some(Format::Delimited),
            ..ReadOptions::default() });
    }
}

/// A movie's ratings may continue in the next block, and a movie may occur twice.
#[test]
fn netflix_movies_cross_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (part, movie) in [5, 7, 5].into_iter().enumerate() {
        text.push_str(&format!("{movie}:\n"));
        for user in 0..60_000 {
            text.push_str(&format!("{},{},2005-01-0{}\n", user + 1, user % 5 + 1, part + 1));
        }
    }
    let data = load(&file(folder.path(), "combined_data_1.txt", text.as_bytes()));
    assert_eq!((data.len(), data.n_items(), data.n_users()), (180_000, 2, 60_000));
    assert_eq!(data.item_ids.iter().collect::<Vec<_>>(), ["5", "7"]);
    assert!(data.items.chunks(3).all(|items| items == [0, 1, 0]), "each user rated 5, then 7, then 5 again");
}
