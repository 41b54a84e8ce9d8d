//! Ids of a saved model as Parquet.

use super::names::MOST_BYTES;
use super::{VOCABULARY, properties};
use crate::{DataError, Result, Vocabulary, atomic};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use std::path::Path;
use std::sync::Arc;

/// Writes user and item ids as `(field, index, name)` rows, atomically.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be written.
pub fn write_vocabulary(path: &Path, user_ids: &Vocabulary, item_ids: &Vocabulary) -> Result<()> {
    write_in_parts(path, user_ids, item_ids, MOST_BYTES)
}

/// [`write_vocabulary`] with at most `most` bytes of names at once.
fn write_in_parts(path: &Path, user_ids: &Vocabulary, item_ids: &Vocabulary, most: usize) -> Result<()> {
    let rows: Vec<(&str, i32, &str)> = [("user_id", user_ids), ("item_id", item_ids)]
        .into_iter()
        .flat_map(|(field, ids)| ids.iter().enumerate().map(move |(i, name)| (field, i as i32, name)))
        .collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("field", DataType::Utf8, false),
        Field::new("index", DataType::Int32, false),
        Field::new("name", DataType::Utf8, false),
    ]));
    let fail = |e: ParquetError| DataError::parquet(path, e);
    atomic::write_with(path, |file| {
        let properties = properties(VOCABULARY, None).as_ref().clone();
        let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(fail)?;
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|row| {
                bytes += row.0.len().max(row.2.len());
                bytes <= most
            });
            let (part, others) = rest.split_at(fits.count().max(1));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(part.iter().map(|r| r.0))),
                Arc::new(Int32Array::from_iter_values(part.iter().map(|r| r.1))),
                Arc::new(StringArray::from_iter_values(part.iter().map(|r| r.2))),
            ];
            let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|e| fail(e.into()))?;
            writer.write(&batch).map_err(fail)?;
            rest = others;
        }
        writer.close().map_err(fail)?;
        Ok(())
    })
}

/// Reads user and item ids written by [`write_vocabulary`].
///
/// # Errors
/// [`DataError::Io`], [`DataError::Parquet`], and [`DataError::File`] for another schema.
pub fn read_vocabulary(path: &Path) -> Result<(Vocabulary, Vocabulary)> {
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|e| DataError::parquet(path, e))?;
    let (mut users, mut items) = (Vec::new(), Vec::new());
    for batch in reader {
        let batch = batch.map_err(|e| DataError::parquet(path, e.into()))?;
        let column = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>().cloned());
        let (Some(fields), Some(names)) = (column("field"), column("name")) else {
            return Err(DataError::file(path.display(), "is no vocabulary", "save the model again"));
        };
        for (field, name) in fields.iter().zip(names.iter()) {
            if field == Some("user_id") { &mut users } else { &mut items }
                .push(name.unwrap_or_default().to_owned());
        }
    }
    let collect = |names: &[String]| names.iter().map(String::as_str).collect();
    Ok((collect(&users), collect(&items)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names beyond an array's bytes, here lowered, come back whole.
    #[test]
    fn names_in_parts_come_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let users: Vocabulary = ["ann", "bob", "a name that is longer than the limit"].into_iter().collect();
        let items: Vocabulary = ["x", "y"].into_iter().collect();
        let path = folder.path().join("vocabulary.parquet");
        for most in [8, 20, MOST_BYTES] {
            write_in_parts(&path, &users, &items, most).unwrap();
            assert_eq!(read_vocabulary(&path).unwrap(), (users.clone(), items.clone()));
        }
    }
}
