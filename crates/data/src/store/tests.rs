use super::*;
use arrow_array::types::Int32Type;

/// Sessions are numbered on across row groups, wherever these end.
#[test]
fn numbers_do_not_mind_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.parquet");
    let gaps = IdleGaps::new(vec![10, 100]).unwrap();
    let users = [0_u32, 0, 0, 0, 1, 2, 2, 2];
    let times = [0_i64, 5, 50, 500, 500, 7, 200, 205];
    let offsets = [0, 4, 5, 8];
    let marks = gaps.marks(times[..].into(), &offsets);
    let ids: Vocabulary = ["1", "2", "3"].into_iter().collect();
    for cut in 0..=users.len() {
        let mut writer = RowGroups::new(
            std::fs::File::create(&path).unwrap(),
            &path,
            Vec::new(),
            Some(&gaps),
            [Some(&ids), Some(&ids), None],
        )
        .unwrap();
        for rows in [0..cut, cut..users.len()] {
            let (users, timestamps, marks) =
                (&users[rows.clone()], times[rows.clone()].into(), &marks[rows.clone()]);
            let values = [4.0; 8];
            writer
                .write(&Rows {
                    users,
                    items: users,
                    timestamps,
                    values: values[rows].into(),
                    codes: &[],
                    extra: &[],
                    marks,
                })
                .unwrap();
        }
        writer.close().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap())
            .unwrap()
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        for level in 0..gaps.levels() {
            let column = |batch: &RecordBatch| {
                batch
                    .column_by_name(&format!("session_{level}"))
                    .unwrap()
                    .as_primitive::<Int32Type>()
                    .values()
                    .to_vec()
            };
            let numbers: Vec<i32> = batches.iter().flat_map(column).collect();
            assert_eq!(
                numbers,
                crate::sessions::numbers(&marks, &offsets, level),
                "cut at {cut}, level {level}"
            );
        }
        assert_eq!(crate::sessions::numbers(&marks, &offsets, 0), [0, 0, 1, 2, 0, 0, 1, 1]);
    }
}
