//! A log in parts, and the comparison of session files.

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use foretaste_data::{IdleGaps, ReadOptions, read, store};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes `rows` rows to Parquet parts in `folder`: ids that are numbers and ids that are not, equal times,
/// rows that come twice with another value, in no order.
pub fn parts(folder: &Path, rows: u32, parts: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for part in 0..parts {
        let mut text = String::from("user,item,rating,timestamp\n");
        for row in (part..rows).step_by(parts as usize) {
            let draw = row.wrapping_mul(2_654_435_761) >> 8;
            let user = match draw % 5 {
                0 => format!("u{}", draw % 97),
                1 => format!("0{}", draw % 31),
                _ => (draw % 1_000).to_string(),
            };
            let (item, time) = (draw / 7 % 300, 1_000_000_000 + u64::from(draw / 11 % 5_000) * 37_000);
            writeln!(text, "{user},{item},{},{time}", 1 + draw % 5).unwrap();
            if row % 40 == 0 {
                writeln!(text, "{user},{item},{},{time}", 1 + row % 5).unwrap();
            }
        }
        let csv = folder.with_extension("csv");
        std::fs::write(&csv, text).unwrap();
        // A table in memory is sorted: a part holds the rows of its users in their order, and users overlap
        // between parts.
        let (table, _) = read(&csv, &ReadOptions::default()).unwrap();
        store::write_interactions(&table, &folder.join(format!("part-{part:05}.parquet"))).unwrap();
        std::fs::remove_file(csv).unwrap();
    }
}

/// The session file that the native builder makes of a log.
pub fn native(input: &Path, gaps: &IdleGaps, out: PathBuf) -> PathBuf {
    let (table, _) = read(input, &ReadOptions::default()).unwrap();
    store::write_sessions(&table, gaps, &out).unwrap();
    out
}

/// All rows of a Parquet file.
pub fn rows(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let batch = concat_batches(&schema, &batches).unwrap();
    // The metadata is compared apart.
    RecordBatch::try_new(
        std::sync::Arc::new(arrow::datatypes::Schema::new(schema.fields().clone())),
        batch.columns().to_vec(),
    )
    .unwrap()
}

/// Asserts that two session files hold the same rows in the same order, and the same gaps.
pub fn assert_equal(ours: &Path, expected: &Path) {
    let (a, b) = (rows(ours), rows(expected));
    assert_eq!(a.schema(), b.schema());
    assert_eq!(a.num_rows(), b.num_rows());
    for (at, field) in a.schema().fields().iter().enumerate() {
        assert!(a.column(at) == b.column(at), "column {} differs", field.name());
    }
    assert_eq!(store::idle_gaps(ours).unwrap(), store::idle_gaps(expected).unwrap());
}
